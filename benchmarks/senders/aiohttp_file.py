"""aiohttp with an open file as the body: its documented way to stream uploads.

The one rule: aiohttp reads and sends the file by itself, in whatever pieces it likes.

Fair: one session, as many at once as chartsend; the small message that names the upload follows.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
    only(job, "raw")
    async with session(job) as opened:
        await post(opened, message.BINARY_PATH, message.WARM_UP, "application/pdf")

        async def send_one(number: int) -> None:
            path = path_of(job, number)
            with Path(path).open("rb") as file:  # noqa: ASYNC230  # as aiohttp's pages do
                size = os.fstat(file.fileno()).st_size
                if job.hashes:
                    hashlib.file_digest(file, "sha256").hexdigest()
                    file.seek(0)
                url = await post(opened, message.BINARY_PATH, file, "application/pdf")
            body = message.naming(path, number, size, url)
            await post(opened, message.EMBED_PATH, body, message.FHIR_JSON)

        yield lambda: at_once(job, send_one)


if __name__ == "__main__":
    play_async(sender)
