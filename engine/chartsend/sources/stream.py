"""Bytes from an async iterator of declared size.

The one rule: exactly the declared number of bytes is taken. One byte more or fewer is an error
before the last chunk of a body leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from ..aio import close_within
from ..errors import (
    InvalidDocumentError,
    SourceChangedError,
    SourceUnreadableError,
    StallTimeoutError,
    TransferError,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from ..document import Stream

CLOSE_S = 5.0


class StreamSource:
    """A source over an async iterator, or over a function that gives fresh ones."""

    __slots__ = ("_read_s", "_started", "_stream")

    def __init__(self, stream: Stream, *, read_s: float) -> None:
        if stream.size_bytes < 0:
            raise InvalidDocumentError("a stream's size_bytes is 0 or more")
        self._stream = stream
        self._read_s = read_s
        self._started = False

    @property
    def size_bytes(self) -> int:
        return self._stream.size_bytes

    @property
    def head(self) -> bytes:
        return b""  # an iterator cannot be peeked without starting it

    @property
    def can_reopen(self) -> bool:
        return callable(self._stream.open)

    def reader(self) -> StreamReader:
        if callable(self._stream.open):
            return StreamReader(self._stream.open(), self.size_bytes, read_s=self._read_s)
        if self._started:
            raise SourceChangedError(
                "the iterator was read already and cannot be read again for another attempt; pass"
                " a function that opens a fresh one",
                verdict=Verdict.GIVE_UP,
            )
        self._started = True
        return StreamReader(self._stream.open, self.size_bytes, read_s=self._read_s)


class StreamReader:
    """One pass over an async iterator."""

    __slots__ = ("_iterator", "_left", "_left_bytes", "_read_s")

    def __init__(self, iterator: AsyncIterator[bytes], size_bytes: int, *, read_s: float) -> None:
        self._iterator = iterator
        self._left = memoryview(b"")
        self._left_bytes = size_bytes
        self._read_s = read_s

    async def read_into(self, buffer: memoryview) -> int:
        filled = 0
        while filled < len(buffer):
            if not self._left:
                piece = await self._next()
                if piece is None:
                    break
                self._left = piece
            taken = self._left[: len(buffer) - filled]
            buffer[filled : filled + len(taken)] = taken
            filled += len(taken)
            self._left = self._left[len(taken) :]
        self._left_bytes -= filled
        return filled

    async def verify(self) -> None:
        if self._left_bytes != 0 or self._left or await self._next() is not None:
            raise SourceChangedError(
                "the stream gives more bytes than were declared; declare its exact size",
                verdict=Verdict.GIVE_UP,
            )

    async def _next(self) -> memoryview | None:
        """The next non-empty piece, or None at the end."""
        while True:
            piece = await self._pull(anext(self._iterator, None))
            if piece is None:
                return None
            view = memoryview(piece).cast("B")
            if view:
                return view

    async def _pull(self, pending: Awaitable[bytes | None]) -> bytes | None:
        with anyio.move_on_after(self._read_s):
            try:
                return await pending
            except (TransferError, anyio.get_cancelled_exc_class()):
                raise
            except Exception as exc:
                raise SourceUnreadableError(
                    f"the stream raised {type(exc).__name__} while it was read"
                ) from exc
        raise StallTimeoutError(f"the stream gave nothing for {self._read_s:.0f} s")

    async def aclose(self) -> None:
        self._left = memoryview(b"")
        close = getattr(self._iterator, "aclose", None)
        if close is not None:
            await close_within(CLOSE_S, close)
