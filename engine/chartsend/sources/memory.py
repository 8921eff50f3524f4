"""Bytes already in memory. The one rule: they are read in place, never copied as a whole."""

from __future__ import annotations

from ..errors import InvalidDocumentError

HEAD_BYTES = 4096
"""Enough for every magic number that we know (tar has the furthest, at 257)."""


class MemorySource:
    """A source over a buffer that its owner does not change meanwhile."""

    __slots__ = ("_view",)

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data)
        if not view.contiguous:
            raise InvalidDocumentError("a buffer must be contiguous")
        self._view = view.cast("B")

    @property
    def size_bytes(self) -> int:
        return self._view.nbytes

    @property
    def head(self) -> bytes:
        return bytes(self._view[:HEAD_BYTES])

    @property
    def can_reopen(self) -> bool:
        return True

    def reader(self) -> MemoryReader:
        return MemoryReader(self._view)


class MemoryReader:
    """One pass over a buffer."""

    __slots__ = ("_at", "_view")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._at = 0

    @property
    def whole(self) -> memoryview | None:
        return self._view.toreadonly()

    async def read_into(self, buffer: memoryview) -> int:
        piece = self._view[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    async def verify(self) -> None:
        """A buffer has the size it had; its owner promised not to change it."""

    async def aclose(self) -> None:
        self._view = memoryview(b"")
