"""What a server said just before it closed: read after a failed write, before the socket is closed.

The one rule: nothing here may fail or block; at worst the answer stays lost.

When a write meets a reset, asyncio forgets the connection at once, and an answer that already lay
in the kernel's receive queue would be lost: a refusal (413, 401) would look like a bad line. The
socket itself is closed one turn of the event loop later, so right after the write it can still be
read (Linux gives what was queued before the reset).
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp.abc import AbstractStreamWriter

_PIECE_BYTES: Final = 64 * 1024
_MOST_BYTES: Final = 1024 * 1024


def is_lost(transport: asyncio.BaseTransport) -> bool:
    """Whether the connection has gone, also when only the socket below TLS knows it yet."""
    below = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None)
    return transport.is_closing() or (
        isinstance(below, asyncio.BaseTransport) and below.is_closing()
    )


def read_what_is_left(writer: AbstractStreamWriter) -> None:
    """Give aiohttp's parser what the peer sent before the connection was lost."""
    transport = writer.transport
    protocol = getattr(writer, "protocol", None)
    if transport is None or not isinstance(protocol, asyncio.Protocol):
        return
    take: Callable[[bytes], None] = protocol.data_received
    # Over TLS the bytes go through asyncio's TLS protocol, which hands plain text to aiohttp's.
    tls = getattr(transport, "_ssl_protocol", None)
    if isinstance(tls, asyncio.BufferedProtocol):
        take = _into(tls)
    sock = transport.get_extra_info("socket")
    left = _MOST_BYTES
    while sock is not None and left > 0:
        try:
            data = os.read(sock.fileno(), _PIECE_BYTES)
        except OSError:  # nothing more, or the reset itself
            return
        if not data:
            return
        left -= len(data)
        take(data)


def _into(tls: asyncio.BufferedProtocol) -> Callable[[bytes], None]:
    def take(data: bytes) -> None:
        while data:
            buffer = memoryview(tls.get_buffer(len(data)))
            count = min(len(buffer), len(data))
            buffer[:count] = data[:count]
            tls.buffer_updated(count)
            data = data[count:]

    return take
