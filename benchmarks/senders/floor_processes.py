"""The floor in several processes: what the machine can do with so many cores.

The one rule: the same blocking loop as `floor_embed` in each process; nothing is shared between them.

Fair: one connection for each process, which is all that a blocking loop can serve, and its share of the
documents. What a gigabyte costs here more than in one process, the machine costs: its cores share
memory, caches and the sink.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from ..mortality import die_with
from . import floor_embed
from .stage import SendError, only, play

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job

_SAY: Final = b"."


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Start the processes; each connects, and sends one small document."""
    only(job, "embed")
    share, rest = divmod(job.count, job.workers)
    ends: list[socket.socket] = []
    for number in range(job.workers):
        ours, theirs = socket.socketpair()
        if os.fork() == 0:
            for each in (ours, *ends):
                each.close()  # the end of the parent's is the end of the child
            _child(msgspec.structs.replace(job, count=share + (number < rest)), theirs)
        theirs.close()
        ends.append(ours)

    def send() -> None:
        for each in ends:
            each.sendall(_SAY)
        _hear(ends)

    _hear(ends)
    yield send
    for each in ends:
        each.close()


def _hear(ends: list[socket.socket]) -> None:
    if not all(each.recv(1) for each in ends):
        raise SendError("a process of the floor failed")


def _child(job: Job, parent: socket.socket) -> None:
    """Get ready, say so, wait for the word, send, say so, and stay to be measured."""
    try:
        die_with(os.getppid())
        with floor_embed.sender(job) as send:
            parent.sendall(_SAY)
            if parent.recv(1):
                send()
                parent.sendall(_SAY)
                parent.recv(1)
    finally:
        os._exit(0)  # whoever waits hears that the connection ends


if __name__ == "__main__":
    play(sender)
