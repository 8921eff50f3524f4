"""The bytes of one attempt, pulled by the socket: prefix, the source's bytes (encoded), suffix.

The one rule: the last chunk is held back until the source has been proven unchanged and the gate
(the durable intent) has been passed. With a Content-Length, a server can then never hold a whole
body that should not exist.

Theory of operation. aiohttp runs `write_with_length` in a task of its own while it waits for the
answer. Before each chunk (before the last one: after the gate) the body gives the event loop two full
turns: asyncio runs what was ready before it runs what the selector just found, so after one turn the
next write would still come before the read of an early answer, and meet the reset behind it. Reading,
hashing, encoding and writing a chunk follow each other without a turn between them, while its bytes
are in the processor's cache. After the last chunk it waits until the connection's buffer is empty: only
an answer that comes after that can be a success. `released` and `flushed` tell the two moments apart.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp.payload import Payload

from ..errors import Phase, ProtocolError, TransferError
from .connection import (
    abort,
    hear_last_words,
    is_lost,
    two_turns,
    unacknowledged_bytes,
    waiting_bytes,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from aiohttp.abc import AbstractStreamWriter

    from ..encoding.base64 import Encoder
    from .chunks import Chunks

HIGH_WATER_BYTES: Final = 64 * 1024
"""What a connection may hold back before it stops pulling; over TLS asyncio's default is 512 KiB."""
TLS_PIECE_BYTES: Final = 128 * 1024
"""How much goes to asyncio's TLS layer at a time: it copies what the connection does not take at once,
and encrypts into memory that it clears first, so more leaves the processor's cache."""

_FLUSH_POLL_S: Final = 0.005
_FIRST_FLUSH_POLL_S: Final = 0.0005
"""An answer comes a round trip after the last byte; the first looks are closer together than that."""
_ANSWER_POLLS: Final = 20


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything about a body that is known before its first byte.

    Attributes:
        content_type: Of the request.
        prefix: Bytes before the source's.
        suffix: Bytes after them.
        raw_bytes: Size of the source; 0 when there is none.
        declared_bytes: The Content-Length.
        chunk_bytes: How much of the source is read at a time.
        reuses_buffer: Whether the encoder copies, so that one buffer serves all chunks.
    """

    content_type: str
    prefix: bytes
    suffix: bytes
    raw_bytes: int
    declared_bytes: int
    chunk_bytes: int
    reuses_buffer: bool

    @classmethod
    def of_bytes(cls, content: bytes, content_type: str) -> Frame:
        """A body that is in memory already; for messages of a few kilobytes only."""
        return cls(content_type, content, b"", 0, len(content), 0, reuses_buffer=True)


class StreamingBody(Payload):
    """The body of one attempt.

    Args:
        frame: What is known beforehand.
        chunks: A fresh pass over the source, or None where there is none.
        encoder: Turns raw chunks into wire bytes; fresh for every attempt.
        gate: Awaited with the digest of the raw bytes (or None) before the last chunk is released; if
            it raises, the last chunk never leaves.
        on_handed: Told how many bytes were handed over so far, after every chunk.

    Attributes:
        began_s: When the connection was there, on the clock of `time.perf_counter`; None before.
        flushed_s: When the last byte had left this process; None before.
        gate_s: Seconds spent at the gate.
    """

    def __init__(
        self,
        frame: Frame,
        *,
        chunks: Chunks | None = None,
        encoder: Encoder | None = None,
        gate: Callable[[str | None], Awaitable[None]] | None = None,
        on_handed: Callable[[int], None] | None = None,
    ) -> None:
        super().__init__(None, content_type=frame.content_type)
        self._size = frame.declared_bytes
        self._frame = frame
        self._chunks = chunks
        self._encoder = encoder
        self._gate = gate
        self._on_handed = on_handed
        self._transport: asyncio.WriteTransport | None = None
        self._piece_bytes = sys.maxsize
        self._is_closed = False
        self._is_held = False
        self._ended = anyio.Event()
        self._has_started = False
        self.handed_bytes = 0
        self.released = False
        self.flushed = False
        self.sha256: str | None = None
        self.failure: Exception | None = None
        self.began_s: float | None = None
        self.flushed_s: float | None = None
        self.gate_s = 0.0

    @property
    def declared_bytes(self) -> int:
        """The Content-Length."""
        return self._frame.declared_bytes

    @property
    def source_s(self) -> float:
        """Seconds spent waiting for the source."""
        return 0.0 if self._chunks is None else self._chunks.waited_s

    @property
    def sent_bytes(self) -> int:
        """Bytes that the kernel accepted, as far as asyncio tells."""
        return max(0, self.handed_bytes - self.waiting_bytes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes handed to the connection that wait for the peer to read."""
        transport = self._transport
        return 0 if transport is None else waiting_bytes(transport)

    @property
    def phase(self) -> Phase:
        """How far this attempt has come, as far as sending goes."""
        if self.released:
            return Phase.BODY_SENT
        return Phase.PARTLY_SENT if self.handed_bytes else Phase.NOT_SENT

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:  # noqa: ARG002
        """Not possible: a body is read once, by the socket."""
        raise TypeError("a streaming body cannot be turned into a string")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the whole body; see `write_with_length`."""
        await self.write_with_length(writer, None)

    async def write_with_length(
        self,
        writer: AbstractStreamWriter,
        content_length: int | None,  # noqa: ARG002  # aiohttp would cut there; we refuse instead
    ) -> None:
        """Called by aiohttp, once.

        Raises:
            TransferError: Our own reason to stop; also kept in `failure`, since aiohttp wraps it.
            ConnectionResetError: The connection has gone.
        """
        if self._is_closed or self._has_started:
            raise ConnectionResetError("the attempt has ended already")
        self._has_started = True
        self.began_s = time.perf_counter()
        try:
            await self._write(writer)
        except TransferError as exc:
            exc.phase = exc.phase or self.phase
            self.failure = self.failure or exc
            raise
        finally:
            self._ended.set()

    async def _write(self, writer: AbstractStreamWriter) -> None:
        self._transport = writer.transport
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
            if self._transport.get_extra_info("sslcontext") is not None:
                self._piece_bytes = TLS_PIECE_BYTES
            hear_last_words(writer)
        last = await self._stream(writer)
        if self._chunks is not None:
            self.sha256 = await self._chunks.end()
        await self._pass_gate()
        if self.handed_bytes + len(last) != self.declared_bytes:
            raise ProtocolError(
                f"the body has {self.handed_bytes + len(last)} bytes and {self.declared_bytes} were"
                " declared; the last chunk was held back, so nothing was applied"
            )
        await two_turns()  # an answer may have come while a gate kept the event loop
        await self._hand_over(writer, last, is_last=True)
        await self._flush(writer)

    async def _pass_gate(self) -> None:
        if self._gate is None:
            return
        asked_s = time.perf_counter()
        try:
            await self._gate(self.sha256)
        except Exception as exc:
            self.failure = exc  # whatever it is: the journal's word, and not the network's
            raise
        finally:
            self.gate_s += time.perf_counter() - asked_s

    async def _stream(self, writer: AbstractStreamWriter) -> bytes:
        """Send all but the last chunk, and return that."""
        frame, chunks, encoder = self._frame, self._chunks, self._encoder
        if chunks is None or encoder is None:
            return frame.prefix + frame.suffix
        head = frame.prefix
        left, size = frame.raw_bytes, min(frame.chunk_bytes, max(frame.raw_bytes, 1))
        while left > size:
            await two_turns()
            buffer = chunks.borrow(size)
            chunk = encoder.encode(await chunks.read(buffer, size))
            if frame.reuses_buffer:
                chunks.give_back(buffer)
            left -= size
            await self._hand_over(writer, b"".join((head, chunk)) if head else chunk)
            head = b""
            del chunk  # a slow peer would have it kept in memory for as long
            if self.waiting_bytes:
                del buffer  # the connection may still hold it
                await writer.drain()
            elif not frame.reuses_buffer:
                chunks.give_back(buffer)
        buffer = chunks.borrow(size)
        raw = await chunks.read(buffer, left)
        last = b"".join((head, encoder.encode(raw), encoder.finish(), frame.suffix))
        chunks.give_back(buffer)
        return last

    async def _hand_over(
        self, writer: AbstractStreamWriter, data: bytes | memoryview, *, is_last: bool = False
    ) -> None:
        """Write a chunk; of the last one, all but its last piece is an ordinary chunk."""
        pieces = [data] if len(data) <= self._piece_bytes else self._pieces_of(data)
        for piece in pieces[:-1]:
            await self._put(writer, piece)
            if self.waiting_bytes:
                await writer.drain()
        if is_last:
            await self._until_nothing_was_said(writer)
        await self._put(writer, pieces[-1], is_last=is_last)

    def _pieces_of(self, data: bytes | memoryview) -> list[bytes | memoryview]:
        view = memoryview(data)
        return [view[at : at + self._piece_bytes] for at in range(0, len(view), self._piece_bytes)]

    async def _put(
        self, writer: AbstractStreamWriter, data: bytes | memoryview, *, is_last: bool = False
    ) -> None:
        transport = self._transport
        # asyncio drops what is written to a lost connection in silence; look before each write.
        if self._is_closed or transport is None or is_lost(transport):
            await two_turns()  # for what the peer said last to be heard
            raise ConnectionResetError("the connection has gone")
        if not is_last and self.handed_bytes + len(data) >= self.declared_bytes:
            raise ProtocolError("the body grew to its declared length before its last chunk")
        self.released = self.released or is_last
        await writer.write(data, drain=False)  # type: ignore[call-arg]  # StreamWriter has it
        self.handed_bytes += len(data)
        if self._on_handed is not None:
            self._on_handed(self.handed_bytes)

    async def _until_nothing_was_said(self, writer: AbstractStreamWriter) -> None:
        """Release nothing once an answer has begun; wait until it is clear whether one has.

        aiohttp's parser knows of an answer a few turns before whoever waits for it. A final one
        holds the last chunk back for good, so that its meaning does not depend on what the server
        reads afterwards; after an interim one (1xx) nothing follows, and the body goes on.
        """
        for _ in range(_ANSWER_POLLS):
            if self._is_held or not _has_answer(writer):
                break
            await anyio.sleep(_FLUSH_POLL_S)
        if self._is_held:
            raise ConnectionAbortedError("the server answered before the whole body was sent")

    async def _flush(self, writer: AbstractStreamWriter) -> None:
        """Wait until the connection holds nothing back."""
        transport = self._transport
        assert transport is not None  # noqa: S101  # _hand_over has checked
        if waiting_bytes(transport):
            transport.set_write_buffer_limits(high=1, low=0)
            await writer.drain()
            wait_s = _FIRST_FLUSH_POLL_S
            while waiting_bytes(transport) and not is_lost(transport):
                # The last byte, or what lies below TLS: asyncio tells nobody when that leaves.
                await anyio.sleep(wait_s)
                wait_s = min(1.2 * wait_s, _FLUSH_POLL_S)
        self.look_flushed()

    def look_flushed(self) -> bool:
        """Whether nothing is held back any more; an answer can come before anybody has looked."""
        transport = self._transport
        if self.released and not self.flushed and transport is not None and not is_lost(transport):
            self.flushed = not waiting_bytes(transport)
            self.flushed_s = time.perf_counter() if self.flushed else None
        return self.flushed

    def hold(self) -> None:
        """An answer is here: a last chunk that was not released yet is never released."""
        self._is_held = True

    @property
    def unacknowledged_bytes(self) -> int:
        """Bytes that the peer's kernel cannot have yet, as far as this kernel tells."""
        return 0 if self._transport is None else unacknowledged_bytes(self._transport)

    def abort(self) -> None:
        """End the connection at once: what it still holds back is dropped, not sent."""
        self._is_closed = True
        if self._transport is not None:
            abort(self._transport)

    def let_go(self) -> None:
        """Hold nothing of the source and the send any longer, if aiohttp does not write any more.

        What the gate belongs to holds this body: without this, every small file would stay in memory
        until the garbage collector came by.
        """
        self._is_closed = True
        if self._ended.is_set() or not self._has_started:
            self._encoder = self._gate = self._on_handed = None
            if self._chunks is not None:
                self._chunks.let_go()

    async def wait_ended(self) -> None:
        """Wait until aiohttp's task no longer runs this body."""
        self._is_closed = True
        if self._has_started:
            await self._ended.wait()


def _has_answer(writer: AbstractStreamWriter) -> bool:
    """Whether aiohttp's protocol has read anything of an answer (or failed)."""
    protocol = getattr(writer, "protocol", None)
    return bool(getattr(protocol, "should_close", False))
