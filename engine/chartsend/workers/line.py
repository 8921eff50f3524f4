"""The line between an engine and one worker: messages over a socket pair, in order, in batches.

The one rule: what is said in one turn of the event loop travels in one write, and nothing is lost
without both ends knowing: a line that breaks is over.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH: Final = struct.Struct("<I")


class Line(asyncio.Protocol):
    """One end of a line, bound to an event loop by `create_connection`.

    Args:
        hear: Called with each message.
        lost: Called once, when the other end has gone.
    """

    def __init__(self, hear: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._hear = hear
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._said: list[Any] = []
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  # what sockets have
        self._transport = transport

    def say(self, message: object) -> None:
        """Send a message, with all others of this turn of the loop. On a line that broke: nothing."""
        if not self._said:
            self._loop.call_soon(self.flush)
        self._said.append(message)

    def flush(self) -> None:
        """Send what was said now, without waiting for the end of the turn."""
        said, self._said = self._said, []
        transport = self._transport
        if said and transport is not None and not transport.is_closing():
            content = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
            transport.write(_LENGTH.pack(len(content)) + content)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        heard = self._heard
        heard += data
        at = 0
        while len(heard) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(heard, at)
            end = at + _LENGTH.size + length
            if len(heard) < end:
                break
            with memoryview(heard) as view, view[at + _LENGTH.size : end] as content:
                messages = pickle.loads(content)  # noqa: S301  # see wire.py: our own other half
            at = end
            for message in messages:
                self._hear(message)
        if at:
            del heard[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # gone is gone
        """See `asyncio.Protocol`."""
        self._transport = None
        self._lost()

    def close(self) -> None:
        """Say what was said last, and go."""
        self.flush()
        if self._transport is not None:
            self._transport.close()
