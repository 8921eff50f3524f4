"""Bare aiohttp with bodies as bytes: the least that a small document costs with this client.

The one rule: nothing but reading, the digest when asked, SIMD base64, joining, and `session.post`.

Fair: one session, as many at once as chartsend, no retry, no checks but the status. With the option
`prepared` the bodies are made before the run, and only the digest and the post are in the figures.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pybase64

from . import message
from .at_once import at_once
from .sessions import post, session
from .stage import only, path_of, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    import aiohttp

    from ..job import Job


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the session, send one small document; make the bodies when that is asked for."""
    only(job, "embed", "raw")
    prepared: dict[str, tuple[bytes, bytes]] = {}
    if job.options.get("prepared") == "1":
        prepared = {path: _made(job, path, 0) for path in job.files}
    async with session(job) as opened:
        await _post(
            opened, job, "w.pdf", 0, _body(job, "w.pdf", message.WARM_UP, 0), len(message.WARM_UP)
        )

        async def send_one(number: int) -> None:
            path = path_of(job, number)
            content, body = prepared.get(path) or _made(job, path, number)
            if job.hashes:
                hashlib.sha256(content).hexdigest()
            await _post(opened, job, path, number, body, len(content))

        yield lambda: at_once(job, send_one)


def _made(job: Job, path: str, number: int) -> tuple[bytes, bytes]:
    with Path(path).open("rb", buffering=0) as file:
        content = file.read()
    return content, _body(job, path, content, number)


def _body(job: Job, path: str, content: bytes, number: int) -> bytes:
    if job.route == "raw":
        return content
    prefix, suffix = message.around(path, number, len(content))
    return b"".join((prefix, pybase64.b64encode(content), suffix))


async def _post(
    opened: aiohttp.ClientSession, job: Job, path: str, number: int, body: bytes, size: int
) -> None:
    if job.route == "embed":
        await post(opened, message.EMBED_PATH, body, message.FHIR_JSON)
        return
    url = await post(opened, message.BINARY_PATH, body, "application/pdf")
    await post(opened, message.EMBED_PATH, message.naming(path, number, size, url), message.FHIR_JSON)


if __name__ == "__main__":
    play_async(sender)
