"""Opening a file on the event loop, where that waits for nobody.

The one rule: whenever in doubt, None, and a thread opens the file as ever; errors are the thread's to
find, so that they are the same either way.

Theory of operation. `openat2(RESOLVE_CACHED)` makes a handle from names that the kernel has in
memory: nothing is opened yet, so no device, FIFO or network disk hears of it. `statx` tells without
asking the file system whether it is a regular file, and on which mount. Only on a disk of this machine
the handle is then opened, through /proc/self/fd: what is opened is what was looked at, whatever
happened to the name. Three things could still make it wait. A journal, into which the first reading
writes the time of access: so the file is opened with O_NOATIME, and left to a thread where that is
another user's right and the time is due. A virus scanner that holds every open until it has looked:
whoever was held so twice distrusts the mount for a while. The data: read with RWF_NOWAIT only
(`descriptor.py`).
"""

from __future__ import annotations

import os
import stat
import time
from typing import Final, NamedTuple

from .mounts import MOUNTS
from .syscalls import hold_cached, is_refusal, look

SLOW_S: Final = 0.005
"""Opens that take longer, two in a row, were held by somebody; one may only have lost the processor.
Half of the loop's longest stall by goal (10 ms)."""

OPENS_PER_TURN: Final = 16
"""Opening a warm file has nothing to wait for; a caller that does nothing else must still not keep the
loop. So many take about half a millisecond."""

_DAY_NS: Final = 24 * 3600 * 1_000_000_000
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | getattr(os, "O_NOCTTY", 0)
_NO_STAMP: Final[int] = getattr(os, "O_NOATIME", 0)


class Opened(NamedTuple):
    """A regular file, open for reading, and what fstat(2) said of it."""

    fd: int
    status: os.stat_result
    mount: int


class Opener:
    """Opens files from the cache, until the system says that it never will."""

    def __init__(self) -> None:
        self.is_refused = False
        self._opened = 0
        self._was_slow = False

    def is_turn_due(self) -> bool:
        """Whether whoever opens file after file should give the event loop a turn first."""
        return self._opened % OPENS_PER_TURN == OPENS_PER_TURN - 1

    def open(self, path: bytes) -> Opened | None:
        """Open a regular file without waiting, or tell that it takes a thread. Raises nothing."""
        if self.is_refused or MOUNTS.may_be_foreign(path.rpartition(b"/")[2]):
            return None
        try:
            handle = hold_cached(path)
        except OSError as exc:
            self.is_refused = is_refusal(exc)
            return None
        self._opened += 1
        began_s = time.monotonic()
        try:
            opened = _opened(handle)
        except OSError:
            return None
        finally:
            os.close(handle)
        if opened is not None:
            self._judge(opened.mount, time.monotonic() - began_s)
        return opened

    def _judge(self, mount: int, seconds: float) -> None:
        is_slow = seconds > SLOW_S
        if is_slow and self._was_slow:
            MOUNTS.distrust(mount)
        self._was_slow = is_slow

    def learn(self, fd: int) -> int | None:
        """The mount of an open file, if files on it may be opened here. For threads."""
        return None if self.is_refused else MOUNTS.learn(fd)


OPENER: Final = Opener()


def _opened(handle: int) -> Opened | None:
    seen = look(handle)
    if seen is None or not stat.S_ISREG(seen.mode) or not MOUNTS.is_local(seen.mount):
        return None
    status = os.fstat(handle)
    is_ours = os.geteuid() in {0, status.st_uid}
    changed_ns = max(status.st_mtime_ns, status.st_ctime_ns)
    if not is_ours and _is_stamp_due(status.st_atime_ns, changed_ns):
        return None
    fd = os.open(f"/proc/self/fd/{handle}", _FLAGS | (_NO_STAMP if is_ours else 0))
    return Opened(fd, status, seen.mount)


def _is_stamp_due(accessed_ns: int, changed_ns: int) -> bool:
    """Whether reading would write the time of access (relatime, mount(8); others are rare)."""
    return accessed_ns <= changed_ns or time.time_ns() - accessed_ns > _DAY_NS
