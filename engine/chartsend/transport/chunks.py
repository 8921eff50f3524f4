"""The raw chunks of one attempt, as they come from the source: in order, counted and hashed.

The one rule: what is hashed is what is handed on, and a chunk is whole or there is none.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from ..errors import SourceChangedError
from .buffers import Buffers

if TYPE_CHECKING:
    from ..ports import Reader


class Chunks:
    """A pass over a source. It does not own the reader: whoever opened that closes it.

    Args:
        reader: A fresh one.
        hashes: Whether to take the sha256 of the raw bytes.
        buffers: Where those for chunks come from; by default its own.

    Attributes:
        waited_s: Seconds spent waiting for the source.
    """

    __slots__ = ("_at", "_buffers", "_digest", "_reader", "waited_s")

    def __init__(self, reader: Reader, *, hashes: bool = False, buffers: Buffers | None = None) -> None:
        self._reader: Reader | None = reader
        self._buffers = buffers or Buffers()
        self._digest = hashlib.sha256(usedforsecurity=False) if hashes else None
        self._at = 0
        self.waited_s = 0.0

    def borrow(self, size_bytes: int) -> memoryview | None:
        """A buffer for a chunk; None when the source is in memory and needs none."""
        assert self._reader is not None  # noqa: S101  # nobody reads after `let_go`
        return self._buffers.take(size_bytes) if self._reader.whole is None else None

    def give_back(self, buffer: memoryview | None) -> None:
        """Nobody holds a view of it any more, neither the encoder nor a connection.

        One whose reading has failed or was cancelled is not given back: a thread may be in it.
        """
        if buffer is not None:
            self._buffers.give_back(buffer)

    async def read(self, buffer: memoryview | None, count: int) -> memoryview:
        """The next `count` bytes: at the beginning of the buffer, or in the source's own memory.

        Raises:
            SourceChangedError: There are fewer.
            TransferError: What the reader raises.
        """
        assert self._reader is not None  # noqa: S101  # nobody reads after `let_go`
        if buffer is None:
            whole = self._reader.whole
            raw = memoryview(b"") if whole is None else whole[self._at : self._at + count]
        else:
            raw = await self._filled(buffer[:count])
        if len(raw) != count:
            raise SourceChangedError(
                f"the source ended early: it has {self._at + len(raw)} bytes, fewer than when it was"
                " opened; the last chunk was held back, so nothing was applied"
            )
        self._at += count
        if self._digest is not None:
            self._digest.update(raw)
        return raw

    async def _filled(self, buffer: memoryview) -> memoryview:
        if not buffer:
            return buffer
        assert self._reader is not None  # noqa: S101  # nobody reads after `let_go`
        asked_s = time.perf_counter()
        try:
            return buffer[: await self._reader.read_into(buffer)]
        finally:
            self.waited_s += time.perf_counter() - asked_s

    async def end(self) -> str | None:
        """Prove that the source did not change meanwhile.

        Returns:
            The sha256 of all that was read, in hex, if it is taken.

        Raises:
            SourceChangedError: It did.
            TransferError: What the reader raises.
        """
        assert self._reader is not None  # noqa: S101  # nobody reads after `let_go`
        await self._reader.verify()
        return None if self._digest is None else self._digest.hexdigest()

    def let_go(self) -> None:
        """Hold nothing of the source any longer."""
        self._reader = self._digest = None
