"""Bytes from an async iterator of declared size.

The one rule: exactly the declared number of bytes is taken. One byte more or fewer is an error
before the last chunk of a body leaves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, TypeGuard

import anyio

from ..aio import close_within
from ..errors import (
    SourceChangedError,
    SourceUnreadableError,
    StallTimeoutError,
    TransferError,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..document import Stream

CLOSE_S = 5.0


class StreamSource:
    """A source over an async iterator, or over a function that gives fresh ones."""

    __slots__ = ("_read_s", "_started", "_stream")

    def __init__(self, stream: Stream, *, read_s: float) -> None:
        self._stream = stream
        self._read_s = read_s
        self._started = False

    @property
    def size_bytes(self) -> int:
        return self._stream.size_bytes

    @property
    def read_s(self) -> float:
        """How long one piece may take, in seconds."""
        return self._read_s

    @property
    def head(self) -> bytes:
        return b""  # an iterator cannot be peeked without starting it

    @property
    def can_reopen(self) -> bool:
        return callable(self._stream.open) or not self._started

    def reader(self) -> StreamReader:
        if callable(self._stream.open):
            return StreamReader(self._opened(self._stream.open), self.size_bytes, read_s=self._read_s)
        if not self.can_reopen:
            raise SourceChangedError(
                "the iterator was read already and cannot be read again for another attempt; pass"
                " a function that opens a fresh one",
                verdict=Verdict.GIVE_UP,
            )
        return OneShotReader(self._stream.open, self)

    def started(self) -> None:
        """The iterator was asked for its first bytes: from now on they are gone."""
        self._started = True

    def _opened(self, open_stream: Callable[[], object]) -> AsyncIterator[bytes]:
        try:
            iterator = open_stream()
        except Exception as exc:
            raise _failed(exc) from exc
        if not _is_iterator(iterator):
            raise SourceUnreadableError(
                f"the stream's function gave {type(iterator).__name__} instead of an async iterator"
            )
        return iterator


class StreamReader:
    """One pass over an async iterator."""

    __slots__ = ("_iterator", "_left_bytes", "_piece", "_read_s", "_taken")

    def __init__(self, iterator: AsyncIterator[bytes], size_bytes: int, *, read_s: float) -> None:
        self._iterator = iterator
        self._piece: bytes | bytearray = b""
        self._taken = 0  # bytes of the piece that were given already
        self._left_bytes = size_bytes
        self._read_s = read_s

    @property
    def whole(self) -> memoryview | None:
        return None

    async def read_into(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if self._taken >= len(self._piece) and not await self._next():
                break
            filled += self._give(buffer[filled:])
        self._left_bytes -= filled
        return filled

    def _give(self, buffer: memoryview) -> int:
        # The view is released at once: whoever yields one bytearray again and again may resize it.
        with memoryview(self._piece) as view:
            count = min(len(buffer), len(view) - self._taken)
            buffer[:count] = view[self._taken : self._taken + count]
        self._taken += count
        return count

    async def verify(self) -> None:
        if self._left_bytes != 0 or self._taken < len(self._piece) or await self._next():
            raise SourceChangedError(
                "the stream gives more bytes than were declared; declare its exact size",
                verdict=Verdict.GIVE_UP,
            )

    async def _next(self) -> bool:
        """Take the next piece that is not empty; False at the end."""
        self._piece, self._taken = b"", 0
        while True:
            piece = await self._pull(anext(self._iterator, None))
            if piece is None:
                return False
            self._piece = _checked(piece)
            if self._piece:
                return True

    async def _pull(self, pending: Awaitable[bytes | None]) -> bytes | None:
        with anyio.move_on_after(self._read_s):
            try:
                return await pending
            except (TransferError, anyio.get_cancelled_exc_class()):
                raise
            except Exception as exc:
                raise _failed(exc) from exc
        raise StallTimeoutError(f"the stream gave nothing for {self._read_s:.0f} s")

    async def aclose(self) -> None:
        self._piece = b""
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close_within(CLOSE_S, close)


class OneShotReader(StreamReader):
    """The only pass over an iterator; until it was asked for anything, the pass can be made anew."""

    __slots__ = ("_has_started", "_source")

    def __init__(self, iterator: AsyncIterator[bytes], source: StreamSource) -> None:
        super().__init__(iterator, source.size_bytes, read_s=source.read_s)
        self._source = source
        self._has_started = False

    async def read_into(self, buffer: memoryview) -> int:
        self._has_started = True
        self._source.started()
        return await super().read_into(buffer)

    async def aclose(self) -> None:
        if self._has_started:  # closed before it ran, it could not be read by a later attempt
            await super().aclose()


def _is_iterator(value: object) -> TypeGuard[AsyncIterator[bytes]]:
    return isinstance(value, AsyncIterator)


def _checked(piece: object) -> bytes | bytearray:
    """What a stream really gave, which its annotation does not tell."""
    if isinstance(piece, memoryview):
        return piece.tobytes()
    if not isinstance(piece, bytes | bytearray):
        raise SourceUnreadableError(f"the stream gave {type(piece).__name__} instead of bytes")
    return piece


def _failed(exc: Exception) -> SourceUnreadableError:
    return SourceUnreadableError(f"the stream raised {type(exc).__name__} while it was read")
