"""aiohttp's own base64: a `MultipartWriter` part with `Content-Transfer-Encoding: base64`.

The one rule: aiohttp encodes and sends the open file by itself.

Fair: one session, as many at once as chartsend. It is no embedded message, and no `form-data` either,
for which aiohttp refuses an encoding (RFC 7578): Redox would not take it. It shows what aiohttp's
encoder costs, for who thinks of using it.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

import aiohttp
from multidict import CIMultiDict

from . import message
from .at_once import at_once
from .sessions import post, session
from .stage import only, path_of, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from ..job import Job


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the session, and send one small document."""
    only(job, "multipart")
    async with session(job) as opened:
        await _upload(opened, io.BytesIO(message.WARM_UP), "w.pdf")

        async def send_one(number: int) -> None:
            path = path_of(job, number)
            with Path(path).open("rb") as file:  # noqa: ASYNC230  # as aiohttp's pages do
                if job.hashes:
                    hashlib.file_digest(file, "sha256").hexdigest()
                    file.seek(0)
                await _upload(opened, file, Path(path).name)

        yield lambda: at_once(job, send_one)


async def _upload(opened: aiohttp.ClientSession, file: IO[bytes], name: str) -> None:
    with aiohttp.MultipartWriter("mixed") as form:
        headers = {"Content-Type": "application/pdf", "Content-Transfer-Encoding": "base64"}
        part = form.append(file, CIMultiDict(headers))
        part.set_content_disposition("form-data", name="file", filename=name)
        await post(opened, message.UPLOAD_PATH, form, form.content_type)


if __name__ == "__main__":
    play_async(sender)
