"""The floor of a raw upload: blocking reads and `sendall`, in one thread.

The one rule: read into one buffer, send; then the small message that names the upload.

Fair: the same requests as chartsend's `upload`, over one keep-alive connection, with the best buffer.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from . import message
from .floor_embed import CHUNK_BYTES
from .stage import only, path_of, play
from .wire import connected, field

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from io import FileIO

    from ..job import Job
    from .wire import Wire


@contextmanager
def sender(
    job: Job, send_file: Callable[[Job, Wire, FileIO, memoryview, int], None] | None = None
) -> Generator[Callable[[], None]]:
    """Connect, and send one small document."""
    only(job, "raw")
    buffer = memoryview(bytearray(int(job.options.get("chunk", CHUNK_BYTES))))
    with connected(job) as wire:
        size = len(message.WARM_UP)
        wire.socket.sendall(message.head(job, message.BINARY_PATH, "application/pdf", size))
        wire.socket.sendall(message.WARM_UP)
        wire.answer()

        def send() -> None:
            for number in range(job.count):
                path = path_of(job, number)
                with Path(path).open("rb", buffering=0) as file:
                    size = os.fstat(file.fileno()).st_size
                    (send_file or read_and_send)(job, wire, file, buffer, size)
                url = field(wire.answer(), b"location")
                body = message.naming(path, number, size, url)
                head = message.head(job, message.EMBED_PATH, message.FHIR_JSON, len(body))
                wire.socket.sendall(head + body)
                wire.answer()

        yield send


def read_and_send(job: Job, wire: Wire, file: FileIO, buffer: memoryview, size: int) -> None:
    """The upload's request."""
    digest = hashlib.sha256() if job.hashes else None
    wire.socket.sendall(message.head(job, message.BINARY_PATH, "application/pdf", size))
    while count := file.readinto(buffer):
        if digest is not None:
            digest.update(buffer[:count])
        wire.socket.sendall(buffer[:count])
    if digest is not None:
        digest.hexdigest()


if __name__ == "__main__":
    play(sender)
