"""The same as `naive_aiohttp`, with `httpx.AsyncClient`.

The one rule: the standard library and httpx as their own pages show them.

Fair: one client, as many connections as documents at once, no time limits.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

from . import message
from .at_once import at_once
from .naive_aiohttp import body_of, read_body
from .stage import only, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from ..job import Job


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the client, and send one small document."""
    only(job, "embed")
    context = True if job.ca_file is None else ssl.create_default_context(cafile=job.ca_file)
    limits = httpx.Limits(max_connections=max(100, job.concurrency))
    async with httpx.AsyncClient(
        base_url=job.api_url, headers=message.HEADERS, verify=context, limits=limits, timeout=None
    ) as client:

        async def post(body: dict[str, object]) -> None:
            headers = {"Content-Type": message.FHIR_JSON}
            answer = await client.post(message.EMBED_PATH, json=body, headers=headers)
            answer.raise_for_status()

        async def send_one(number: int) -> None:
            await post(read_body(job, number))

        await post(body_of("w.pdf", message.WARM_UP, 0))
        yield lambda: at_once(job, send_one)


if __name__ == "__main__":
    play_async(sender)
