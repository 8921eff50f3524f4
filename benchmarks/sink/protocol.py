"""One connection to the sink: heads are parsed, bodies counted and thrown away.

The one rule: a body's bytes are touched once, by the kernel, in one buffer that all connections of
the process share.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import anyio

from .answers import BAD, CONTINUE, answer
from .chunks import Chunks
from .heads import BadHeadError, Head, read_head

if TYPE_CHECKING:
    from .counts import Counts
    from .keeping import Keeper, Kept

BUFFER_BYTES: Final = 1 << 20
STALL_BYTES: Final = 64 * 1024
_LONGEST_HEAD_BYTES: Final = 64 * 1024
_END: Final = b"\r\n\r\n"
_FORM_END: Final = b"--\r\n"


class Shared:
    """What all connections of a process have in common.

    Attributes:
        counts: Where requests are counted.
        buffer: What everything is read into; 64 KiB of it when bodies stall.
        base_url: The sink's own address.
        stalls: Whether reading of bodies above 64 KiB stops.
        keeper: Keeps bodies in files, for tests; None for none.
    """

    def __init__(self, *, base_url: str, counts: Counts, stalls: bool, keeper: Keeper | None) -> None:
        self.counts = counts
        self.base_url = base_url
        self.stalls = stalls
        self.keeper = keeper
        self.buffer = memoryview(bytearray(STALL_BYTES if stalls else BUFFER_BYTES))


class Connection(asyncio.BufferedProtocol):
    """Reads requests from one connection, one after the other."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._transport: asyncio.Transport | None = None
        self._text = bytearray()  # a head, as far as it has come
        self._head: Head | None = None
        self._left = 0
        self._chunks: Chunks | None = None
        self._body_bytes = 0
        self._last = b""
        self._kept: Kept | None = None
        self.closed = anyio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """End; inside a request that is worth a note."""
        del exc
        if self._head is not None or self._text:
            self._shared.counts.broken += 1
        if self._kept is not None:
            self._kept.drop()
        self._transport = None
        self.closed.set()

    def get_buffer(self, sizehint: int) -> memoryview:
        """The one buffer."""
        del sizehint
        return self._shared.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        piece = self._shared.buffer[:nbytes]
        try:
            while piece:
                piece = self._take_head(piece) if self._head is None else self._take_body(piece)
        except BadHeadError:
            # Counted as broken when the connection is lost: the head, or its text, is still here.
            self._text += b"?"
            if self._transport is not None:
                self._transport.write(BAD)
                self._transport.close()

    def _take_head(self, piece: memoryview) -> memoryview:
        before = len(self._text)
        self._text += piece[:_LONGEST_HEAD_BYTES]
        end = self._text.find(_END)
        if end < 0:
            if len(self._text) > _LONGEST_HEAD_BYTES:
                raise BadHeadError("the head is too long")
            return piece[_LONGEST_HEAD_BYTES:]
        head = read_head(bytes(self._text[:end]))
        self._text.clear()
        self._begin(head)
        return piece[end + len(_END) - before :]

    def _begin(self, head: Head) -> None:
        self._head = head
        self._body_bytes, self._last = 0, b""
        self._chunks = Chunks() if head.length_bytes is None else None
        self._left = head.length_bytes or 0
        if self._shared.keeper is not None:
            self._kept = self._shared.keeper.begin(head)
        if head.waits and self._transport is not None:
            self._transport.write(CONTINUE)
        if self._chunks is None and not self._left:
            self._end(head)

    def _take_body(self, piece: memoryview) -> memoryview:
        assert self._head is not None
        chunks = self._chunks
        if chunks is not None:
            for data in chunks.feed(piece):
                self._see(data)
            rest, is_over = piece[len(piece) - chunks.rest :], chunks.is_over
        else:
            data = piece[: self._left]
            self._left -= len(data)
            self._see(data)
            rest, is_over = piece[len(data) :], not self._left
        if is_over:
            self._end(self._head)
        elif self._shared.stalls and self._is_large() and self._transport is not None:
            self._shared.counts.stalled += 1
            self._transport.pause_reading()
        return rest

    def _is_large(self) -> bool:
        return self._chunks is not None or self._body_bytes + self._left > STALL_BYTES

    def _see(self, data: memoryview) -> None:
        self._body_bytes += len(data)
        self._last = (self._last + bytes(data[-len(_FORM_END) :]))[-len(_FORM_END) :]
        if self._kept is not None:
            self._kept.write(data)

    def _end(self, head: Head) -> None:
        counts = self._shared.counts
        counts.add(head.kind, self._body_bytes)
        if ("json" in head.content_type and not self._last.endswith(b"}")) or (
            head.content_type.startswith("multipart/") and self._last != _FORM_END
        ):
            counts.odd += 1
        if self._kept is not None:
            self._kept.finish()
            self._kept = None
        self._head = self._chunks = None
        if self._transport is not None:
            self._transport.write(answer(head, self._shared.base_url))
