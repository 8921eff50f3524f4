"""What asyncio does not tell of a connection: is it lost, what waits below TLS, what was said last.

The one rule: nothing here may fail or block; where the platform cannot tell, the answer is the
careful one. The only place that looks below asyncio's transports.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys
import types
from typing import TYPE_CHECKING, Final

if sys.platform == "linux":
    import fcntl
    import termios

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aiohttp.abc import AbstractStreamWriter

CLOSED: Final = -1
_PIECE_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 1024 * 1024


def abort(transport: asyncio.WriteTransport) -> None:
    """Drop the connection and what it holds back, unless it has gone already.

    asyncio's own `abort` fails on a transport that was closed while it still had to write and has
    finished since (CPython 3.11 to 3.13).
    """
    if _descriptor(transport) != CLOSED:
        transport.abort()


def is_lost(transport: asyncio.BaseTransport) -> bool:
    """Whether the connection has gone, also when only the socket below TLS knows it yet."""
    if transport.is_closing():
        return True
    below = _below_tls(transport)
    return below is not None and below.is_closing()


def waiting_bytes(transport: asyncio.WriteTransport) -> int:
    """Bytes in this process that wait for the socket; over TLS those of both layers."""
    below = _below_tls(transport)
    extra = 0 if below is None else below.get_write_buffer_size()
    return transport.get_write_buffer_size() + extra


def unacknowledged_bytes(transport: asyncio.BaseTransport) -> int:
    """Bytes in the kernel that the peer's kernel has not acknowledged; 0 where nobody can tell.

    A server that has read the whole body has acknowledged it with or before its answer (every
    segment carries the acknowledgement, RFC 9293 section 3.4). So if there are any when a success
    has arrived, that success came before the server could have the whole body.
    """
    fd = _descriptor(transport)
    if sys.platform != "linux" or fd is None or fd == CLOSED:
        return 0
    try:
        answer = fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count


def hear_last_words(writer: AbstractStreamWriter) -> None:
    """From now on, when this connection is reset, read what the peer said just before.

    When a write meets a reset, asyncio forgets the connection at once, and an answer that already
    lay in the kernel's receive queue would be lost: a refusal (413, 401) would look like a bad
    line. asyncio tells the protocol next to the socket *before* it closes the socket, so there,
    and only there, the answer can still be read (Linux gives what was queued before the reset).
    """
    transport = writer.transport
    protocol = getattr(writer, "protocol", None)
    tls = getattr(transport, "_ssl_protocol", None)
    if transport is None or not isinstance(protocol, asyncio.Protocol):
        return
    if tls is None and transport.get_extra_info("sslcontext") is not None:
        return  # uvloop's: what lies in the socket is not what the protocol is to hear
    lowest: asyncio.BaseProtocol
    if isinstance(tls, asyncio.BufferedProtocol):
        lowest, take = tls, _into(tls)
    else:
        lowest, take = protocol, protocol.data_received
    if "connection_lost" in vars(lowest):
        return  # a reused connection: it listens already
    told = lowest.connection_lost

    def connection_lost(exc: Exception | None) -> None:
        fd = _descriptor(transport)
        if isinstance(exc, OSError) and fd is not None:
            _read_what_is_left(fd, take)
        told(exc)

    vars(lowest)["connection_lost"] = connection_lost  # this connection only


def _read_what_is_left(fd: int, take: Callable[[bytes], None]) -> None:
    left = _MOST_BYTES
    while fd >= 0 and left > 0:
        try:
            data = os.read(fd, _PIECE_BYTES)
        except OSError:  # nothing more, or the reset itself
            return
        if not data:
            return
        left -= len(data)
        take(data)


def _descriptor(transport: asyncio.BaseTransport) -> int | None:
    """The socket's descriptor, `CLOSED` when it has gone, None where there is no socket."""
    try:
        sock = transport.get_extra_info("socket")
    except AttributeError:  # CPython: a TLS transport whose lower one has gone
        return CLOSED
    return None if sock is None else int(sock.fileno())


def _below_tls(transport: asyncio.BaseTransport) -> asyncio.WriteTransport | None:
    """The socket's transport below a TLS transport of asyncio; None where there is none."""
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return below if isinstance(below, asyncio.WriteTransport) else None


def _into(tls: asyncio.BufferedProtocol) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        while data:
            buffer = memoryview(tls.get_buffer(len(data)))
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            tls.buffer_updated(count)
            data = data[count:]

    return take


@types.coroutine
def two_turns() -> Generator[None, None, None]:
    """Two turns of the event loop: `asyncio.sleep(0)` twice, at a third of its price."""
    yield
    yield
