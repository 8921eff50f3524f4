"""Below the floor: `os.sendfile`, where no byte of the file enters the process.

The one rule: plain connections and no digest only; neither could be had this way.

Fair: it is what a web server would do; nobody who must look at the bytes can do it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import floor_raw, message
from .stage import SendError, play

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from io import FileIO

    from ..job import Job
    from .wire import Wire


def sender(job: Job) -> AbstractContextManager[Callable[[], None]]:
    """As the floor of raw uploads, with another way to send the file."""
    if job.hashes or job.ca_file is not None:
        raise SendError("sendfile can neither hash nor encrypt")
    return floor_raw.sender(job, _send_file)


def _send_file(job: Job, wire: Wire, file: FileIO, buffer: memoryview, size: int) -> None:
    del buffer
    wire.socket.sendall(message.head(job, message.BINARY_PATH, "application/pdf", size))
    sent = 0
    while sent < size:
        sent += os.sendfile(wire.socket.fileno(), file.fileno(), sent, size - sent)


if __name__ == "__main__":
    play(sender)
