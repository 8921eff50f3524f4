"""An open file, and every way to read it: waiting, for threads, and from the cache, for the event loop.

The one rule: every check is made on the open descriptor, and the methods that say `cached` never wait:
they tell that a thread has to.
"""

from __future__ import annotations

import errno
import math
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import NotRegularFileError, SourceChangedError, Verdict
from .cached import OPENER
from .memory import HEAD_BYTES
from .mounts import MOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL_BYTES: Final = 64 * 1024
"""Files up to this are read whole while they are opened, unless the caller says otherwise."""

AHEAD_BYTES: Final = 1024 * 1024
"""How much of a cold file the disk is asked for beforehand, beyond what the kernel does by itself.

It lies in the page cache, not in this process. Measured, cold, 4 files at once: without it the loop is
held longer; from 2 MiB on more reads find their bytes still under way and need a thread."""

YOUNG_NS: Final = 50_000_000
"""A file written so shortly ago may be in the middle of a write. Mixtures were seen up to 5 ms: the
time of a file comes from a clock that ticks every 1 to 10 ms, and a write of 4 MB takes 2 ms."""

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOCTTY
_NOWAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)
# Linux before 5.11 returned 0 before the end of a file for RWF_NOWAIT (preadv2(2), BUGS).
# EPERM, EACCES: a container's filter of system calls.
_WOULD_BLOCK: Final = frozenset(
    {errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EACCES}
)


class Identity(NamedTuple):
    """What tells that a file is still the one that was opened. Not ctime: links change it."""

    size_bytes: int
    mtime_ns: int
    inode: int
    device: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)

    def settles_in_ns(self, now_ns: int) -> int:
        """How long until this tells old bytes from new ones; 0 or less when it does already.

        A write stamps the file when it begins. While it goes on, the file has its time already, and not
        yet all of its bytes: whoever reads then gets a mixture that nothing betrays later.
        """
        age_ns = now_ns - self.mtime_ns
        return YOUNG_NS - age_ns if age_ns >= 0 else 0  # a time to come is another clock's


class Descriptor:
    """An open file. What is not called `cached` blocks and runs in threads.

    `close` runs when the last user has gone.

    Attributes:
        fd: The descriptor; -1 before it was opened, and after it was closed.
        identity: What was opened.
        head: The first bytes.
        whole: All bytes, when the file is small; then `fd` is closed already.
    """

    def __init__(self) -> None:
        self.fd = -1
        self.identity = Identity(0, 0, 0, 0)
        self.head = b""
        self.whole: memoryview | None = None
        self._mount: int | None = None  # if it is local, so that the loop may ask
        self._may_read_cached = bool(_NOWAIT)
        self._asked_to = 0  # how far the disk was asked beforehand

    def open_cached(self, path: str) -> bool:
        """Open and check without waiting; False when a thread has to `open`. Reads nothing yet."""
        if not self._may_read_cached:
            return False
        try:
            opened = OPENER.open(_encoded(path))
        except ValueError:
            return False
        if opened is None:
            return False
        self.fd, status, self._mount = opened
        self.identity = Identity.of(status)
        return True

    def open(self, path: str, small_bytes: int = SMALL_BYTES) -> None:
        """Open, check, and read the first bytes; a file up to `small_bytes` whole.

        Raises:
            OSError: The system refused.
            NotRegularFileError: It is a directory, device, FIFO or socket.
            SourceChangedError: A small file changed while it was read.
        """
        raw = _encoded(path)
        # stat first: opening a device can have effects, and a FIFO blocks without O_NONBLOCK.
        _check_regular(os.stat(raw))  # noqa: PTH116
        try:
            self.fd = os.open(raw, _FLAGS | os.O_NONBLOCK)
        except BlockingIOError:
            self.fd = _open_leased(raw)
        status = os.fstat(self.fd)
        _check_regular(status)
        self.identity = Identity.of(status)
        self._mount = OPENER.learn(self.fd)
        self.fill(small_bytes)

    def fill(self, small_bytes: int) -> None:
        """Read the first bytes of what was opened; a file up to `small_bytes` whole.

        Raises:
            OSError: The system refused.
            SourceChangedError: A small file changed while it was read.
        """
        size_bytes = self.identity.size_bytes
        if size_bytes > small_bytes:
            self.head = self._read_fully(HEAD_BYTES)
            return
        content = self._read_fully(size_bytes)
        if len(content) != size_bytes:
            raise _shrank(size_bytes, len(content))
        self.verify()
        self._keep(memoryview(content))

    def fill_cached(self, small_bytes: int) -> bool:
        """As `fill`, from memory; False when a thread has to `fill`.

        Raises:
            OSError: The disk failed.
            SourceChangedError: A small file changed while it was read.
        """
        size_bytes = self.identity.size_bytes
        is_small = size_bytes <= small_bytes
        content = memoryview(bytearray(size_bytes if is_small else min(size_bytes, HEAD_BYTES)))
        filled = 0
        while filled < len(content):
            count = self.read_cached(content[filled:], filled)
            if not count:
                return False
            filled += count
        if not is_small:
            self.head = bytes(content)
            return True
        if not self.verify_cached():
            return False
        self._keep(content.toreadonly())
        return True

    def _keep(self, content: memoryview) -> None:
        """A small file is here, and proven: nobody needs the descriptor any more."""
        self.whole = content
        self.head = bytes(content[:HEAD_BYTES])
        self.close()

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
        """Read at least one byte, or 0 at the end of the file. May block.

        Whoever has to wait for the disk asks it for what comes next, so that the next reads do not.
        """
        self._ask_ahead(offset)
        try:
            return os.preadv(self.fd, [buffer], offset)
        except PermissionError:  # preadv2(2), which Python always calls, is refused by a filter
            piece = os.pread(self.fd, len(buffer), offset)
            buffer[: len(piece)] = piece
            return len(piece)

    def read_cached(self, buffer: memoryview, offset: int) -> int | None:
        """What the page cache has of these bytes, 0 at the end; None when it cannot say. Does not wait.

        Raises:
            OSError: The disk failed.
        """
        if not self._may_read_cached:
            return None
        try:
            count = os.preadv(self.fd, [buffer], offset, _NOWAIT)
        except OSError as exc:
            if exc.errno not in _WOULD_BLOCK:
                raise
            if exc.errno != errno.EAGAIN:  # not on this file system, ever
                self._may_read_cached = False
                if self._mount is not None:
                    MOUNTS.distrust(self._mount, math.inf)
            return None
        # A mount is known only where the kernel is newer than the bug.
        return count if count or self._mount is not None else None

    def _ask_ahead(self, offset: int) -> None:
        """Keep between half of AHEAD_BYTES and twice as much under way."""
        if _advise is None:
            return
        ahead = self._asked_to - offset
        if AHEAD_BYTES // 2 < ahead <= 2 * AHEAD_BYTES:
            return
        start = self._asked_to if 0 < ahead <= AHEAD_BYTES else offset
        if start >= self.identity.size_bytes:
            return
        with suppress(OSError):  # it is advice
            _advise(self.fd, start, AHEAD_BYTES, os.POSIX_FADV_WILLNEED)
        self._asked_to = start + AHEAD_BYTES

    def verify(self) -> None:
        """Prove that the file ends where it ended, and is the one that was opened. May block.

        Raises:
            OSError: The system refused.
            SourceChangedError: It is longer, or its size, time or identity differ.
        """
        now = Identity.of(os.fstat(self.fd))
        if now != self.identity or os.pread(self.fd, 1, self.identity.size_bytes):
            raise _changed(self.identity, now)

    def verify_cached(self) -> bool:
        """As `verify`, without waiting; False when a thread has to.

        Raises:
            OSError: The disk failed.
            SourceChangedError: As `verify`.
        """
        if self._mount is None or not self._may_read_cached:
            return False
        now = Identity.of(os.fstat(self.fd))
        if now != self.identity:
            raise _changed(self.identity, now)
        try:
            more = os.preadv(self.fd, [bytearray(1)], self.identity.size_bytes, _NOWAIT)
        except OSError as exc:
            if exc.errno not in _WOULD_BLOCK:
                raise
            return False
        if more:
            raise _changed(self.identity, now)
        return True

    def close(self) -> None:
        """Close the descriptor, if one was opened."""
        fd, self.fd = self.fd, -1  # first: close(2) frees the number whatever it answers
        if fd >= 0:
            with suppress(OSError):  # nothing was written that could be lost
                os.close(fd)


_advise: Final[Callable[[int, int, int, int], None] | None] = getattr(os, "posix_fadvise", None)


def _open_leased(raw: bytes) -> int:
    """Open a file on which somebody holds a lease (fcntl(2)), as a file server does: wait for its end.

    Raises:
        OSError: The system refused.
        NotRegularFileError: It is something else by now; that is never waited for.
    """
    handle = os.open(raw, os.O_PATH | os.O_CLOEXEC)
    try:
        _check_regular(os.fstat(handle))
        return os.open(f"/proc/self/fd/{handle}", _FLAGS)
    finally:
        os.close(handle)


def _encoded(path: str) -> bytes:
    """A name is the same whatever the locale.

    Raises:
        ValueError: It has a character that no file's name can have.
    """
    return path.encode("utf-8", "surrogateescape")


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, FIFO or socket"
        raise NotRegularFileError(f"the path is {kind}; only regular files are sent")


def _changed(opened: Identity, now: Identity) -> SourceChangedError:
    return SourceChangedError(
        f"the file changed while it was read: {opened.size_bytes} bytes when opened,"
        f" {now.size_bytes} now"
    )


def _shrank(declared_bytes: int, got_bytes: int) -> SourceChangedError:
    return SourceChangedError(
        f"the file shrank while it was read: {declared_bytes} bytes when opened, {got_bytes} read",
        verdict=Verdict.RETRY,
    )
