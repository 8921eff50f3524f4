"""Memory for chunks: buffers lent in turn to all sends of one event loop, and freed memory that is kept.

The one rule: a buffer that somebody may still touch is never lent again: not one that a thread may
write into after its read was cancelled, and not one that a connection has not passed on yet.

Whoever comes next gets the buffer that was used last, since the processor has that in its cache:
eight sends with a buffer each cost a tenth more than eight that take turns.
"""

from __future__ import annotations

from typing import Final

MOST_FREE: Final = 4
"""How many are kept for later; more are only needed at once where reads wait for a disk."""

KEPT_BYTES: Final = 4 * 1024 * 1024
"""Several times the largest encoded chunk. The process keeps up to twice as much freed memory."""


def keep_freed_memory() -> None:
    """Have the C library keep freed blocks of a chunk's size, instead of giving each back to the kernel.

    An encoded chunk is half a megabyte, made and freed within a turn. glibc gives such a block back and
    gets it anew, page by page, each zeroed by the kernel: 270 page faults for a file of 1 MB, which
    cost as much again as sending it. It stops doing so for blocks up to the largest that was ever freed
    (mallopt(3), M_MMAP_THRESHOLD: dynamic, unless the environment sets it), so one is freed here; its
    pages are never touched. Other C libraries are not impressed.
    """
    bytes(KEPT_BYTES)


class Buffers:
    """What one event loop has to lend."""

    __slots__ = ("_free",)

    def __init__(self) -> None:
        self._free: list[memoryview] = []

    def take(self, size_bytes: int) -> memoryview:
        """A buffer of that size, with whatever is in it. To be given back, or forgotten."""
        free = self._free
        if free:
            if len(free[-1]) == size_bytes:
                return free.pop()
            free.clear()  # an engine's chunks are of one size; others are a single small one
        return memoryview(bytearray(size_bytes))

    def give_back(self, buffer: memoryview) -> None:
        """Nobody touches it any more: no thread, no connection, no view of the borrower's."""
        if len(self._free) < MOST_FREE:
            self._free.append(buffer)
