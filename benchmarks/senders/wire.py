"""One keep-alive connection of a floor: a blocking socket, plain or TLS, and answers' heads.

The one rule: what a C programmer would write, and no more; the socket blocks, nothing is checked but
the status.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from .stage import SendError

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..job import Job

_END: Final = b"\r\n\r\n"


class Wire:
    """A connection.

    Attributes:
        socket: Write a request to it, then `answer`.
    """

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected

    def answer(self) -> bytes:
        """Read one answer; give its head.

        Raises:
            SendError: The server refused, or has gone.
        """
        text = b""
        while _END not in text:
            text += self._more()
        head, _, body = text.partition(_END)
        left = _length_of(head) - len(body)
        while left > 0:
            left -= len(self._more())
        if head[9:10] != b"2":
            raise SendError("the server refused")
        return head

    def _more(self) -> bytes:
        piece = self.socket.recv(65536)
        if not piece:
            raise SendError("the server has gone")
        return piece


@contextmanager
def connected(job: Job) -> Generator[Wire]:
    """Connect; TLS when the job says so."""
    port = urlsplit(job.api_url).port
    assert port is not None
    plain = socket.create_connection(("127.0.0.1", port))
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with plain:
        if job.ca_file is None:
            yield Wire(plain)
            return
        context = ssl.create_default_context(cafile=job.ca_file)
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            yield Wire(secured)


def field(head: bytes, name: bytes) -> str:
    """The value of a field in an answer's head.

    Raises:
        SendError: It is not there.
    """
    for line in head.split(b"\r\n"):
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().decode("ascii")
    raise SendError("the answer lacks a field")


def _length_of(head: bytes) -> int:
    return int(field(head, b"content-length"))
