"""What every sender process does around its sending: hear the job, get ready, go, tell.

The one rule: the clocks run from the line `go` until the last document is answered; a document that
fails ends the process with an error, and there is no figure.

A sender is a context manager that prepares (imports, connections, one small warm-up document) and
gives a function that sends `job.count` documents.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Literal, NamedTuple

import anyio
import msgspec

from ..job import Job, Sample
from ..mortality import die_with
from . import measuring
from .stalls import Stalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager, AbstractContextManager


class SendError(SystemExit):
    """A document was not accepted, or the job is not one for this sender: the process ends with 1."""


class _Start(NamedTuple):
    at_s: float
    cpu_s: float
    idle_rss_bytes: int


def play(
    sender: Callable[[Job], AbstractContextManager[Callable[[], None]]], *, spawns: bool = False
) -> None:
    """Run a blocking sender; `spawns`: its work is done by processes that it starts."""
    job = hear()
    if job.duration_s is not None:
        raise SendError("a blocking sender cannot be cancelled: give no duration")
    with sender(job) as send:
        start = _wait_for_go()
        with measuring.watched_children() if spawns else nullcontext(measuring.Watch()) as watch:
            send()
        sample = _sample(job, start, documents=job.count)
        sample.peak_rss_bytes += watch.most_bytes
        _tell(sample)


def play_async(
    sender: Callable[[Job], AbstractAsyncContextManager[Callable[[], Awaitable[None]]]],
) -> None:
    """Run a sender that has an event loop, the one that the job asks for."""
    job = hear()
    factory = None
    if job.loop == "uvloop":
        import uvloop  # noqa: PLC0415  # asked for

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_play(job, sender))


async def _play(
    job: Job, sender: Callable[[Job], AbstractAsyncContextManager[Callable[[], Awaitable[None]]]]
) -> None:
    stalls = Stalls()
    async with sender(job) as send:
        start = _wait_for_go()
        if job.options.get("stalls") == "1":
            stalls.begin()
        with anyio.CancelScope() as scope:
            if job.duration_s is not None:
                scope.deadline = anyio.current_time() + job.duration_s
                asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _enough, scope)
            await send()
        late_ms = stalls.end()
        sample = _sample(job, start, documents=0 if scope.cancelled_caught else job.count)
        sample.stalls_ms = late_ms
        _tell(sample)


def _enough(scope: anyio.CancelScope) -> None:
    """The harness has said so, or has gone."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    scope.cancel()


def hear() -> Job:
    """The job, from stdin."""
    die_with(os.getppid())  # a parent that has gone before would have closed stdin
    logging.basicConfig(level=logging.ERROR)  # advice about sizes is not for a benchmark
    return msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)


def only(job: Job, *routes: Literal["embed", "raw", "multipart", "notes", "embed_notes"]) -> None:
    """Refuse a route that this sender does not know.

    Raises:
        SendError: It is another one.
    """
    if job.route not in routes:
        raise SendError(f"this sender knows the routes {', '.join(routes)}")


def path_of(job: Job, number: int) -> str:
    """The file of a document: the job's files in turn."""
    return job.files[number % len(job.files)]


def raw_bytes_of(job: Job) -> int:
    """Bytes of all files that a job sends."""
    sizes = [os.stat(path).st_size for path in job.files]  # noqa: PTH116
    rounds, rest = divmod(job.count, len(sizes))
    return rounds * sum(sizes) + sum(sizes[:rest])


def _wait_for_go() -> _Start:
    gc.collect()
    measuring.forget_peak()
    idle = measuring.rss_bytes()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    if sys.stdin.buffer.readline() != b"go\n":
        raise SendError("the harness has gone")
    return _Start(time.perf_counter(), measuring.cpu_s(), idle)


def _sample(job: Job, start: _Start, *, documents: int) -> Sample:
    seconds = time.perf_counter() - start.at_s
    return Sample(
        seconds=seconds,
        cpu_s=measuring.cpu_s() - start.cpu_s,
        documents=documents,
        raw_bytes=raw_bytes_of(job) if documents else 0,
        idle_rss_bytes=start.idle_rss_bytes,
        peak_rss_bytes=measuring.peak_rss_bytes(),
    )


def _tell(sample: Sample) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(sample) + b"\n")
    sys.stdout.flush()
