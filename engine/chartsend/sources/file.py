"""A regular file on disk, read without threads while the kernel has it in memory.

The one rule: every check is made on the open descriptor, and a descriptor is never closed while a
thread may still read it.

Theory of operation. A file that was written within the last moments is left alone until its time of
change tells something (`Identity.settles_in_ns`). A file whose names and bytes the kernel has in
memory is opened, read and verified on the event loop (`cached.py` opens, `descriptor.py` reads); a small
one is read whole, proven and closed at once, and is never touched again. Otherwise one hop to a thread
does that. Larger files are read with ``preadv(RWF_NOWAIT)``, which gives what the page cache has and
says EAGAIN instead of waiting; then, and only then, the same read goes through a thread, which also
asks the disk for what comes next. The kernel refuses a cached page now and then, so that is an ordinary
path.
"""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from ..aio import Shared
from ..errors import (
    SourceChangedError,
    SourceMissingError,
    SourceUnreadableError,
    StallTimeoutError,
    TransferError,
    Verdict,
)
from .cached import OPENER
from .descriptor import SMALL_BYTES, Descriptor, Identity
from .memory import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..aio import Lane

_MOST_LOOKS: Final = 5
"""How often a file that somebody is writing is looked at, before the sender waits for longer."""


@dataclass(frozen=True, slots=True)
class Peek:
    """What a plan needs of a file, without keeping it open.

    Attributes:
        head: Its first bytes.
        size_bytes: Its size.
        mtime_ns: When it was last written.
    """

    head: bytes
    size_bytes: int
    mtime_ns: int


def peek(path: str) -> Peek:
    """Look at a regular file: its size, its time and its first bytes. Blocks.

    Raises:
        SourceMissingError, SourceUnreadableError, NotRegularFileError: As for `open_file`.
    """
    descriptor = Descriptor()
    try:
        descriptor.open(path, small_bytes=0)
    except (ValueError, OSError) as exc:
        raise _translated(exc) from exc
    finally:
        descriptor.close()
    identity = descriptor.identity
    return Peek(descriptor.head, identity.size_bytes, identity.mtime_ns)


class FileSource:
    """An opened file. Call `close` once; threads that still read delay the closing."""

    __slots__ = ("_descriptor", "_lane", "_read_s", "_shared")

    def __init__(self, descriptor: Descriptor, shared: Shared, *, lane: Lane, read_s: float) -> None:
        self._descriptor = descriptor
        self._shared = shared
        self._lane = lane
        self._read_s = read_s

    @property
    def identity(self) -> Identity:
        """What was opened."""
        return self._descriptor.identity

    @property
    def size_bytes(self) -> int:
        return self._descriptor.identity.size_bytes

    @property
    def head(self) -> bytes:
        return self._descriptor.head[:HEAD_BYTES]

    @property
    def can_reopen(self) -> bool:
        return True

    def reader(self) -> FileReader:
        return FileReader(self._descriptor, self._shared, lane=self._lane, read_s=self._read_s)

    def close(self) -> None:
        self._shared.let_go()


class FileReader:
    """One pass over an opened file."""

    __slots__ = ("_at", "_descriptor", "_lane", "_read_s", "_shared")

    def __init__(self, descriptor: Descriptor, shared: Shared, *, lane: Lane, read_s: float) -> None:
        self._descriptor = descriptor
        self._shared = shared
        self._lane = lane
        self._read_s = read_s
        self._at = 0

    @property
    def whole(self) -> memoryview | None:
        return self._descriptor.whole

    async def read_into(self, buffer: memoryview) -> int:
        whole = self._descriptor.whole
        if whole is not None:
            piece = whole[self._at : self._at + len(buffer)]
            buffer[: len(piece)] = piece
            self._at += len(piece)
            return len(piece)
        filled = 0
        while filled < len(buffer):
            rest = buffer[filled:]
            count = self._read_cached(rest)
            if count is None:
                count = await self._read_in_thread(rest)
            if count == 0:
                break
            filled += count
            self._at += count
        return filled

    def _read_cached(self, buffer: memoryview) -> int | None:
        try:
            return self._descriptor.read_cached(buffer, self._at)
        except OSError as exc:
            raise _unreadable(exc) from exc

    async def _read_in_thread(self, buffer: memoryview) -> int:
        return await _within(
            self._read_s,
            self._lane.run(self._shared, self._descriptor.read, buffer, self._at),
        )

    async def verify(self) -> None:
        if self._descriptor.whole is not None:  # a small file was verified when it was read
            return
        try:
            is_verified = self._descriptor.verify_cached()
        except OSError as exc:
            raise _unreadable(exc) from exc
        if not is_verified:
            await _within(self._read_s, self._lane.run(self._shared, self._descriptor.verify))

    async def aclose(self) -> None:
        self._at = self._descriptor.identity.size_bytes


async def open_file(
    path: str, *, lane: Lane, read_s: float, small_bytes: int = SMALL_BYTES
) -> FileSource:
    """Open a regular file; give it back with `close`. One that was just written is let settle first.

    Cancelled, it leaves nothing open once its thread has returned.

    Args:
        path: Where it lies.
        lane: Threads for what is not in memory.
        read_s: How long a thread may take, in seconds.
        small_bytes: A file up to this is read whole, and stays in memory until it is closed.

    Raises:
        SourceMissingError: There is nothing at the path.
        SourceUnreadableError: It may not be read, or the disk failed.
        NotRegularFileError: It is not a regular file.
        SourceChangedError: It changed while its first bytes were read, or goes on being written.
        StallTimeoutError: Opening took longer than `read_s`; the thread is left parked.
    """
    for _ in range(_MOST_LOOKS):
        began_ns = time.time_ns()
        source = await _open(path, lane=lane, read_s=read_s, small_bytes=small_bytes)
        young_ns = source.identity.settles_in_ns(began_ns)
        if young_ns <= 0:
            return source
        source.close()
        await anyio.sleep(young_ns / 1e9)
    raise SourceChangedError(
        f"the file was written again and again, {_MOST_LOOKS} times while we looked; move files into"
        " place when they are whole",
        verdict=Verdict.RETRY,
    )


async def _open(path: str, *, lane: Lane, read_s: float, small_bytes: int) -> FileSource:
    if OPENER.is_turn_due():
        await asyncio.sleep(0)
    descriptor = Descriptor()
    shared = Shared(descriptor.close)
    try:
        if not descriptor.open_cached(path):
            await _within(read_s, lane.run(shared, descriptor.open, path, small_bytes))
        elif not _is_filled(descriptor, small_bytes):
            await _within(read_s, lane.run(shared, descriptor.fill, small_bytes))
    except BaseException:
        shared.let_go()
        raise
    return FileSource(descriptor, shared, lane=lane, read_s=read_s)


def _is_filled(descriptor: Descriptor, small_bytes: int) -> bool:
    try:
        return descriptor.fill_cached(small_bytes)
    except OSError as exc:
        raise _unreadable(exc) from exc


async def _within(seconds: float, call: Awaitable[int | None]) -> int:
    """Await a blocking call for so long; translate what the system says, once."""
    with anyio.move_on_after(seconds):
        try:
            return await call or 0
        except (OSError, ValueError) as exc:
            raise _translated(exc) from exc
    raise StallTimeoutError(
        f"reading the file did not come back within {seconds:.0f} s; is it on a network disk that hangs?"
    )


def _translated(exc: OSError | ValueError) -> TransferError:
    """What the system says, as one of our errors."""
    if isinstance(exc, FileNotFoundError | NotADirectoryError):
        return SourceMissingError("there is no file at the path")
    if isinstance(exc, OSError):
        return _unreadable(exc)
    return SourceMissingError("the path has a NUL, or a character that no file's name can have")


def _unreadable(exc: OSError) -> SourceUnreadableError:
    name = errno.errorcode.get(exc.errno or 0, "an unknown error")
    return SourceUnreadableError(f"the file cannot be read: {name}; check its permissions and its disk")
