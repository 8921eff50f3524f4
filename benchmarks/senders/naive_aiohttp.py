"""What most people write: read the file, `base64.b64encode`, a dict, `session.post(json=...)`.

The one rule: the standard library and aiohttp as their own pages show them.

Fair: one session, as many documents at once as chartsend has, no needless copies beyond those that
this style implies.
"""

from __future__ import annotations

import base64
import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import message
from .at_once import at_once
from .sessions import session
from .stage import SendError, only, path_of, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import aiohttp

    from ..job import Job


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the session, and send one small document."""
    only(job, "embed")
    async with session(job) as opened:
        await _post(opened, body_of("w.pdf", message.WARM_UP, 0))

        async def send_one(number: int) -> None:
            await _post(opened, read_body(job, number))

        yield lambda: at_once(job, send_one)


def read_body(job: Job, number: int) -> dict[str, object]:
    """The message with the whole file in it."""
    path = path_of(job, number)
    content = Path(path).read_bytes()
    if job.hashes:
        hashlib.sha256(content).hexdigest()
    return body_of(path, content, number)


def body_of(path: str, content: bytes, number: int) -> dict[str, object]:
    """The message of this content."""
    data = base64.b64encode(content).decode("ascii")
    title = Path(path).name
    return message.fhir_message({"data": data}, number=number, size_bytes=len(content), title=title)


async def _post(opened: aiohttp.ClientSession, body: dict[str, object]) -> None:
    headers = {"Content-Type": message.FHIR_JSON}
    async with opened.post(message.EMBED_PATH, json=body, headers=headers) as answer:
        await answer.read()
        if answer.status // 100 != 2:
            raise SendError(f"the server answered {answer.status}")


if __name__ == "__main__":
    play_async(sender)
