"""The floor of an embedded document: blocking reads, SIMD base64, `sendall`, in one thread.

The one rule: read into one buffer, encode, send; there is nothing left to leave out.

Fair: the same bytes as chartsend's, over one keep-alive connection. The buffer is the best of 48, 96,
192, 384 and 768 KiB over all floors here, plain, TLS and hashing: larger ones leave the processor's
cache (768 KiB cost raw uploads half as much again). It is a multiple of 3, so base64 has no remainder;
the option `chunk` sets another. Python's part is a few microseconds per buffer: the rest is the kernel
and the encoder, as in C.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pybase64

from . import message
from .stage import only, path_of, play
from .wire import connected

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..job import Job
    from .wire import Wire

CHUNK_BYTES: Final = 192 * 1024


@contextmanager
def sender(job: Job) -> Generator[Callable[[], None]]:
    """Connect, and send one small document."""
    only(job, "embed")
    buffer = memoryview(bytearray(int(job.options.get("chunk", CHUNK_BYTES))))
    with connected(job) as wire:
        _send_warm_up(job, wire)

        def send() -> None:
            for number in range(job.count):
                _send(job, wire, buffer, number)

        yield send


def _send(job: Job, wire: Wire, buffer: memoryview, number: int) -> None:
    path = path_of(job, number)
    digest = hashlib.sha256() if job.hashes else None
    with Path(path).open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        prefix, suffix = message.around(path, number, size)
        length = len(prefix) + (size + 2) // 3 * 4 + len(suffix)
        head = message.head(job, message.EMBED_PATH, message.FHIR_JSON, length)
        wire.socket.sendall(head + prefix)
        while count := file.readinto(buffer):
            piece = buffer[:count]
            if digest is not None:
                digest.update(piece)
            wire.socket.sendall(pybase64.b64encode(piece))
        wire.socket.sendall(suffix)
    if digest is not None:
        digest.hexdigest()
    wire.answer()


def _send_warm_up(job: Job, wire: Wire) -> None:
    prefix, suffix = message.around("w.pdf", 0, len(message.WARM_UP))
    body = prefix + pybase64.b64encode(message.WARM_UP) + suffix
    wire.socket.sendall(message.head(job, message.EMBED_PATH, message.FHIR_JSON, len(body)) + body)
    wire.answer()


if __name__ == "__main__":
    play(sender)
