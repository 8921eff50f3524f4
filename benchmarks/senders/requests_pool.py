"""requests in a thread pool: what people write who do not want asyncio.

The one rule: requests as its own pages show it, a session for each thread.

Fair: as many threads as chartsend sends at once.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import requests

from . import message
from .naive_aiohttp import body_of, read_body
from .stage import only, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Start the pool, and send one small document."""
    only(job, "embed")
    mine = threading.local()
    with ExitStack() as closing:
        pool = closing.enter_context(ThreadPoolExecutor(max_workers=job.concurrency))

        def session() -> requests.Session:
            found: requests.Session | None = getattr(mine, "session", None)
            if found is None:
                found = mine.session = closing.enter_context(requests.Session())
                found.headers.update(message.HEADERS)
                found.trust_env = False
                found.verify = job.ca_file or True
            return found

        def post(body: dict[str, Any]) -> None:
            url, headers = job.api_url + message.EMBED_PATH, {"Content-Type": message.FHIR_JSON}
            session().post(url, json=body, headers=headers).raise_for_status()

        def send_one(number: int) -> None:
            post(read_body(job, number))

        def send() -> None:
            for _ in pool.map(send_one, range(job.count)):
                pass

        pool.submit(post, body_of("w.pdf", message.WARM_UP, 0)).result()
        yield send


if __name__ == "__main__":
    play(sender)
