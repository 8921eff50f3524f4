"""A regular file on disk, read without threads while the page cache has it.

The one rule: every check is made on the open descriptor, and a descriptor is never closed while a
thread may still read it.

Theory of operation. One hop to a thread opens the file, proves that it is a regular one, and reads
its first bytes; a small file is read whole in that hop and is never touched again. Larger ones are
read on the event loop with ``preadv(RWF_NOWAIT)``, which gives what the page cache has and says
EAGAIN instead of waiting; then, and only then, the same read goes through a thread. The kernel
refuses a cached page now and then, so that is an ordinary path.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from ..aio import Shared
from ..errors import (
    NotRegularFileError,
    SourceChangedError,
    SourceMissingError,
    SourceUnreadableError,
    StallTimeoutError,
    TransferError,
    Verdict,
)
from .memory import HEAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from ..aio import Lane

SMALL_BYTES: Final = 64 * 1024
"""Files up to this are read whole while they are opened: one thread hop instead of three."""

_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
# Linux before 5.11 returned 0 before the end of a file for RWF_NOWAIT (preadv2(2), BUGS).
_WOULD_BLOCK: Final = frozenset({errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells that a file is still the one that was opened. Not ctime: links change it."""

    size_bytes: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


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


class Descriptor:
    """An open file. Its methods block and run in threads; `close` runs when the last user has gone."""

    def __init__(self) -> None:
        self.fd = -1
        self.identity = Identity(0, 0, 0, 0)
        self.head = b""
        self.is_whole = False

    def open(self, path: str, small_bytes: int = SMALL_BYTES) -> None:
        """Open, check, and read the first bytes; a file up to `small_bytes` whole.

        Raises:
            OSError: The system refused.
            NotRegularFileError: It is a directory, device, FIFO or socket.
            SourceChangedError: A small file changed while it was read.
        """
        raw = path.encode("utf-8", "surrogateescape")  # a name is the same whatever the locale
        # stat first: opening a device can have effects, and a FIFO blocks without O_NONBLOCK.
        _check_regular(os.stat(raw))  # noqa: PTH116
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        self.fd = os.open(raw, flags)
        status = os.fstat(self.fd)
        _check_regular(status)
        self.identity = Identity.of(status)
        is_small = status.st_size <= small_bytes
        wanted = status.st_size if is_small else HEAD_BYTES
        self.head = self._read_fully(wanted)
        if is_small:
            self.is_whole = True
            if len(self.head) != wanted:
                raise _shrank(wanted, len(self.head))
            self.verify()

    def _read_fully(self, wanted: int) -> bytes:
        pieces: list[bytes] = []
        have = 0
        while have < wanted:
            piece = os.pread(self.fd, wanted - have, have)
            if not piece:
                break
            pieces.append(piece)
            have += len(piece)
        return b"".join(pieces)

    def read(self, buffer: memoryview, offset: int) -> int:
        """Read at least one byte, or 0 at the end of the file. May block."""
        return os.preadv(self.fd, [buffer], offset)

    def verify(self) -> None:
        """Prove that the file ends where it ended, and is the one that was opened.

        Raises:
            SourceChangedError: It is longer, or its size, time or identity differ.
        """
        now = Identity.of(os.fstat(self.fd))
        if now != self.identity or os.pread(self.fd, 1, self.identity.size_bytes):
            raise SourceChangedError(
                f"the file changed while it was read: {self.identity.size_bytes} bytes when opened,"
                f" {now.size_bytes} now"
            )

    def close(self) -> None:
        """Close the descriptor, if one was opened."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class FileSource:
    """An opened file. Call `close` once; threads that still read delay the closing."""

    __slots__ = ("_descriptor", "_lane", "_read_s", "_shared")

    def __init__(self, descriptor: Descriptor, shared: Shared, *, lane: Lane, read_s: float) -> None:
        self._descriptor = descriptor
        self._shared = shared
        self._lane = lane
        self._read_s = read_s

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

    __slots__ = ("_at", "_descriptor", "_lane", "_may_skip_thread", "_read_s", "_shared")

    def __init__(self, descriptor: Descriptor, shared: Shared, *, lane: Lane, read_s: float) -> None:
        self._descriptor = descriptor
        self._shared = shared
        self._lane = lane
        self._read_s = read_s
        self._at = 0
        self._may_skip_thread = bool(_NOWAIT)

    async def read_into(self, buffer: memoryview) -> int:
        if self._descriptor.is_whole:
            piece = self._descriptor.head[self._at : self._at + len(buffer)]
            buffer[: len(piece)] = piece
            self._at += len(piece)
            return len(piece)
        filled = 0
        while filled < len(buffer):
            rest = buffer[filled:]
            # 0 from the cache before the end is a kernel bug of old; believe a real read only.
            count = self._read_cached(rest) or await self._read_in_thread(rest)
            if count == 0:
                break
            filled += count
            self._at += count
        return filled

    def _read_cached(self, buffer: memoryview) -> int:
        """What the page cache has of the next bytes; 0 when it has none or cannot say."""
        if not self._may_skip_thread:
            return 0
        try:
            return os.preadv(self._descriptor.fd, [buffer], self._at, _NOWAIT)
        except OSError as exc:
            if exc.errno not in _WOULD_BLOCK:
                raise _unreadable(exc) from exc
            self._may_skip_thread = exc.errno == errno.EAGAIN  # else: not on this file system
            return 0

    async def _read_in_thread(self, buffer: memoryview) -> int:
        return await _within(
            self._read_s,
            self._lane.run(self._shared, self._descriptor.read, buffer, self._at),
        )

    async def verify(self) -> None:
        if not self._descriptor.is_whole:  # a small file was verified when it was read
            await _within(self._read_s, self._lane.run(self._shared, self._descriptor.verify))

    async def aclose(self) -> None:
        self._at = self._descriptor.identity.size_bytes


async def open_file(path: str, *, lane: Lane, read_s: float) -> FileSource:
    """Open a regular file; give it back with `close`.

    Raises:
        SourceMissingError: There is nothing at the path.
        SourceUnreadableError: It may not be read, or the disk failed.
        NotRegularFileError: It is not a regular file.
        SourceChangedError: It changed while its first bytes were read.
        StallTimeoutError: Opening took longer than `read_s`; the thread is left parked.
    """
    descriptor = Descriptor()
    shared = Shared(descriptor.close)
    try:
        await _within(read_s, lane.run(shared, descriptor.open, path))
    except BaseException:
        shared.let_go()
        raise
    return FileSource(descriptor, shared, lane=lane, read_s=read_s)


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


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, FIFO or socket"
        raise NotRegularFileError(f"the path is {kind}; only regular files are sent")


def _shrank(declared_bytes: int, got_bytes: int) -> SourceChangedError:
    return SourceChangedError(
        f"the file shrank while it was read: {declared_bytes} bytes when opened, {got_bytes} read",
        verdict=Verdict.RETRY,
    )
