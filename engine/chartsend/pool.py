"""Slots and the budget for buffers; many documents through them, receipts out as they finish.

The one rule: everything that waits is bounded. A slow server slows the producer, a slow consumer
slows the sends, and leaving the block leaves nothing behind.

Memory. One send holds a raw chunk, its encoded copy, and what the connection keeps back: at most
one encoded chunk above its high-water mark. Chunks shrink as slots grow, so that all slots
together stay within the budget; below the smallest chunk, fewer sends run at once. One may always
run. File sizes never count.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Self, TypeVar

import anyio

from .aio import close_within
from .errors import DeadlineExceededError, Phase
from .transport.body import HIGH_WATER_BYTES

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
    )

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from .aio import Deadline
    from .settings import Settings

In = TypeVar("In")
Out = TypeVar("Out")

LARGEST_CHUNK_BYTES: Final = 384 * 1024
"""Larger ones cost a few percent less, and hold the event loop up for longer."""
SMALLEST_CHUNK_BYTES: Final = 12 * 1024
"""Below this, system calls cost more than the bytes."""
_STEP_BYTES: Final = 3 * 1024  # base64 leaves no remainder between chunks
CLOSE_S: Final = 5.0


def buffers_of(chunk_bytes: int) -> int:
    """Bytes of buffers that one send holds at most with this chunk size, TLS's own apart."""
    encoded = chunk_bytes * 4 // 3
    return chunk_bytes + encoded + HIGH_WATER_BYTES + encoded


def chunk_for(buffer_bytes: int, slots: int) -> int:
    """The chunk size with which `slots` sends stay within `buffer_bytes`, as far as possible."""
    share = buffer_bytes // slots
    chunk = LARGEST_CHUNK_BYTES
    while chunk > SMALLEST_CHUNK_BYTES and buffers_of(chunk) > share:
        chunk -= _STEP_BYTES
    return chunk


class Pool:
    """Permission to send: slots, shared by single sends and by every `many`.

    Attributes:
        chunk_bytes: How much of a source one send reads at a time.
        slots: Sends that can be in flight: what was asked for, or what the budget allows.
    """

    def __init__(self, *, concurrency: int, buffer_bytes: int) -> None:
        self.chunk_bytes = chunk_for(buffer_bytes, concurrency)
        self.slots = max(1, min(concurrency, buffer_bytes // buffers_of(self.chunk_bytes)))
        self._free = anyio.Semaphore(self.slots, max_value=self.slots)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The pool that the settings describe."""
        return cls(concurrency=settings.concurrency, buffer_bytes=settings.buffer_bytes)

    @property
    def in_flight(self) -> int:
        """Sends that hold a slot now."""
        return self.slots - self._free.value

    @property
    def buffer_bytes_in_use(self) -> int:
        """What the sends in flight may hold in buffers, at most."""
        return self.in_flight * buffers_of(self.chunk_bytes)

    @asynccontextmanager
    async def slot(self, deadline: Deadline) -> AsyncGenerator[None]:
        """Wait for a slot, first come, first served, and hold it while the block runs.

        Cancelled while waiting, it takes nothing.

        Raises:
            DeadlineExceededError: None became free in time.
        """
        try:
            self._free.acquire_nowait()  # whoever waits is served first: then there is none
        except anyio.WouldBlock:
            await self._wait(deadline)
        try:
            yield
        finally:
            self._free.release()

    async def _wait(self, deadline: Deadline) -> None:
        with anyio.CancelScope(deadline=deadline.at) as scope:
            await self._free.acquire()
        if scope.cancelled_caught:
            raise DeadlineExceededError(
                "no slot became free before the deadline; raise concurrency or the deadline",
                phase=Phase.NOT_SENT,
            )

    @asynccontextmanager
    async def many(
        self,
        items: Iterable[In] | AsyncIterable[In],
        work: Callable[[In], Awaitable[Out]],
        *,
        is_over: Callable[[], bool] = lambda: False,
    ) -> AsyncGenerator[AsyncIterator[Out]]:
        """Run `work` over items of any number; give results as they finish.

        An item is taken only when a worker is free, and a worker takes its next item only when
        its result has been taken: nothing piles up on either side. A synchronous iterable is
        advanced on the event loop, so it must not block. An exception of `work` or of `items`
        ends the block and is raised from it.

        Cancelled, or left early, it cancels what runs and waits for that.

        Args:
            items: What to work on.
            work: Called for each item, in at most `slots` tasks.
            is_over: Asked before each item is offered, and again when a worker has it: it may have
                waited long. Once true it stays so: no more are taken, and one that was taken but
                not begun is dropped.
        """
        item_in, item_out = anyio.create_memory_object_stream[In](0)
        result_in, result_out = anyio.create_memory_object_stream[Out](0)
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_feed, items, item_in, is_over)
                for _ in range(self.slots):
                    tasks.start_soon(_work, item_out.clone(), result_in.clone(), work, is_over)
                item_out.close()
                result_in.close()
                try:
                    yield result_out
                finally:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _single(group) from None
        finally:
            for stream in (item_in, item_out, result_in, result_out):
                stream.close()


async def _feed(
    items: Iterable[In] | AsyncIterable[In],
    out: MemoryObjectSendStream[In],
    is_over: Callable[[], bool],
) -> None:
    async with out:
        if not isinstance(items, AsyncIterable):
            for item in items:
                if is_over():
                    return
                await out.send(item)
            return
        iterator = aiter(items)
        try:
            async for item in iterator:
                if is_over():
                    return
                await out.send(item)
        finally:
            if inspect.isasyncgen(iterator):
                await close_within(CLOSE_S, iterator.aclose)


async def _work(
    items: MemoryObjectReceiveStream[In],
    results: MemoryObjectSendStream[Out],
    work: Callable[[In], Awaitable[Out]],
    is_over: Callable[[], bool],
) -> None:
    async with items, results:
        async for item in items:
            if not is_over():  # it was asked when the item was offered, which may be long ago
                await results.send(await work(item))


def _single(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first real failure of a group; of several, the one that the others were cancelled for."""
    real = [exc for exc in _leaves(group) if not isinstance(exc, anyio.get_cancelled_exc_class())]
    return real[0] if real else group


def _leaves(exc: BaseException) -> list[BaseException]:
    if not isinstance(exc, BaseExceptionGroup):
        return [exc]
    parts: tuple[BaseException, ...] = exc.args[1]
    return [leaf for part in parts for leaf in _leaves(part)]
