"""An aiohttp session as a competent user opens it: one, with enough connections and certificates.

The one rule: no limit below what is to be sent at once, and none of the client's checks switched off.
"""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

from . import message
from .stage import SendError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..job import Job


@asynccontextmanager
async def session(job: Job) -> AsyncGenerator[aiohttp.ClientSession]:
    """A session with the headers that every request needs."""
    context = True if job.ca_file is None else ssl.create_default_context(cafile=job.ca_file)
    connector = aiohttp.TCPConnector(limit=max(100, job.concurrency), ssl=context)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        base_url=job.api_url, connector=connector, headers=message.HEADERS, timeout=timeout
    ) as opened:
        yield opened


async def post(opened: aiohttp.ClientSession, path: str, data: object, content_type: str) -> str:
    """Post a body, read the answer; give its Location, or nothing.

    Raises:
        SendError: The server refused.
    """
    headers = {"Content-Type": content_type}
    async with opened.post(path, data=data, headers=headers) as answer:
        await answer.read()
        if answer.status // 100 != 2:
            raise SendError(f"the server answered {answer.status}")
        return answer.headers.get("Location", "")
