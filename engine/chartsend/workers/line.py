"""The line between an engine and one worker: messages over a socket pair, in order, in batches.

The one rule: what is said in one turn of the event loop travels in one write, and nothing is lost
without both ends knowing: a line that breaks is over, and what was said on it before is heard.
"""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_LENGTH: Final = struct.Struct("<I")
_PIECE_BYTES: Final = 256 * 1024


class Line(asyncio.Protocol):
    """One end of a line, bound to an event loop by `create_connection`.

    Args:
        hear: Called with each message.
        lost: Called once, when the other end has gone and all that it said was heard.
    """

    def __init__(self, hear: Callable[[Any], None], lost: Callable[[], None]) -> None:
        self._hear = hear
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._is_over = False
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._said: list[Any] = []
        self._heard = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        # What sockets have; uvloop's is one without inheriting from it.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)  # so that `deliver` hears when nothing waits

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._has_room.clear()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._has_room.set()

    def say(self, message: object) -> None:
        """Send a message, with all others of this turn of the loop. On a line that broke: nothing."""
        if not self._said:
            self._loop.call_soon(self.flush)
        self._said.append(message)

    def flush(self) -> None:
        """Send what was said now, without waiting for the end of the turn."""
        said, self._said = self._said, []
        transport = self._transport
        if not said or transport is None or self._is_over:
            return
        try:
            content = _pickled(said)
        except Exception:
            transport.abort()  # what cannot be said must not be missed in silence
            raise
        transport.write(_LENGTH.pack(len(content)) + content)

    async def deliver(self) -> None:
        """Send what was said, and return when it will arrive whatever becomes of this process.

        Raises:
            BrokenPipeError: It may not: the line is over.
        """
        self.flush()
        await self._has_room.wait()
        if self._transport is None or self._transport.is_closing():
            raise BrokenPipeError("the engine has gone")

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
        transport, self._transport = self._transport, None
        self._has_room.set()
        try:
            if transport is not None:
                self._hear_the_rest(transport)
        finally:
            self._lost()

    def _hear_the_rest(self, transport: asyncio.Transport) -> None:
        """A write that fails ends the reading too, with what the other end said last still unread."""
        descriptor = transport.get_extra_info("socket").fileno()
        with suppress(OSError):  # it has nothing more to say, or is not dead yet
            while piece := os.read(descriptor, _PIECE_BYTES):
                self.data_received(piece)

    def close(self) -> None:
        """Say what was said last, and nothing more; the other end is heard until it goes as well."""
        self.flush()
        if self._transport is not None and not self._is_over:
            self._is_over = True
            self._transport.write_eof()

    def abort(self) -> None:
        """The other end is dead, or as good as dead: hear what it said, and wait for nothing."""
        self._is_over = True
        if self._transport is not None:
            self._transport.abort()


class _Pickler(pickle.Pickler):
    """Texts of a class of the caller's own, such as an enumeration of `__main__`, cross as texts."""

    def reducer_override(self, obj: object) -> Any:
        return (str, (str.__str__(obj),)) if isinstance(obj, str) else NotImplemented


def _pickled(messages: list[Any]) -> bytes:
    content = io.BytesIO()
    _Pickler(content, pickle.HIGHEST_PROTOCOL).dump(messages)
    return content.getvalue()
