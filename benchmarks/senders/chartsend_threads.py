"""chartsend in threads: an event loop and an engine in each. What workers would be without processes.

The one rule: the same engine and the same documents as with workers; only where they run differs.

Fair: each thread has its share of the sends at once and of the documents; nothing crosses between
them, as it has to with workers.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from . import chartsend
from .stage import SendError, only, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Open an engine in each thread, and let it send one small document."""
    only(job, "embed", "raw", "multipart", "notes", "embed_notes")
    share, rest = divmod(job.count, job.workers)
    jobs = [
        msgspec.structs.replace(
            job,
            workers=1,
            count=share + (number < rest),
            concurrency=max(1, job.concurrency // job.workers),
        )
        for number in range(job.workers)
    ]
    ready, go = threading.Barrier(job.workers + 1), threading.Event()
    failures: list[BaseException] = []
    threads = [
        threading.Thread(target=_thread, args=(each, ready, go, failures), daemon=True) for each in jobs
    ]
    for each in threads:
        each.start()
    ready.wait(60)

    def send() -> None:
        go.set()
        for each in threads:
            each.join()
        if failures:
            raise SendError(f"a thread failed: {type(failures[0]).__name__}")

    yield send


def _thread(
    job: Job, ready: threading.Barrier, go: threading.Event, failures: list[BaseException]
) -> None:
    async def work() -> None:
        async with chartsend.sender(job) as send:
            ready.wait()
            go.wait()
            await send()

    try:
        asyncio.run(work())
    except BaseException as exc:  # noqa: BLE001  # told where the run ends
        failures.append(exc)
        ready.abort()


if __name__ == "__main__":
    play(sender)
