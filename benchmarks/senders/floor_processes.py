"""The floor in several processes: what the machine can do with so many cores.

The one rule: the same blocking loop as `floor_embed` in each process; nothing is shared between them.

Fair: one connection for each process, which is all that a blocking loop can serve, and its share of the
documents. What a gigabyte costs here more than in one process, the machine costs: its cores share memory,
caches and the sink.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from ..mortality import die_with
from . import floor_embed
from .stage import SendError, only, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Start the processes; each connects, and sends one small document."""
    only(job, "embed")
    share, rest = divmod(job.count, job.workers)
    told, telling = os.pipe()
    waiting, going = os.pipe()
    children: list[int] = []
    for number in range(job.workers):
        child = os.fork()
        if child == 0:
            die_with(os.getppid())
            os.close(going)  # else none of them would hear that the parent has closed its own
            _child(msgspec.structs.replace(job, count=share + (number < rest)), telling, waiting)
        children.append(child)
    os.close(telling)
    os.close(waiting)
    ready = 0
    while ready < job.workers:
        heard = os.read(told, job.workers)
        if not heard:
            raise SendError("a process of the floor did not start")
        ready += len(heard)

    def send() -> None:
        os.close(going)
        failed = [os.waitpid(child, 0)[1] for child in children]
        if any(failed):
            raise SendError("a process of the floor failed")

    yield send


def _child(job: Job, telling: int, waiting: int) -> None:
    """Get ready, say so, wait for the end of `waiting`, send, and leave for good."""
    code = 1
    try:
        with floor_embed.sender(job) as send:
            os.write(telling, b".")
            os.close(telling)
            os.read(waiting, 1)
            send()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    play(sender, spawns=True)
