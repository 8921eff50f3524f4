"""The quota's file: one page of state, then a ring with the times of the last answers.

The one rule: it is read and written under its lock only, and a lock is held for microseconds, never
across an await. (`peek` reads without it: a torn page fails its checksum and is read again.)

Reads and writes are plain calls, no memory map: a file that somebody truncates must not end the process
with a signal. Nothing is synced: what a process wrote is in the kernel's page cache and survives its
kill; after a crash of the machine the boot's id differs, and the file is begun anew.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from ...errors import ConfigError
from . import place
from .clock import LONG_AGO_NS, boot_id
from .page import PAGE_BYTES, DamagedError, Page
from .process import is_gone

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from .page import Slot

CAPACITY: Final = 1 << 20
"""Times that are kept: more than the largest limit, so that whether there is room is one look-up. The
file grows as they are written, to 8 MB at most."""

_TIME: Final = struct.Struct("<q")
_PEEKS: Final = 20
_LOCKS_AT: Final = 1 << 40
"""Far behind the data: each process locks the byte of its slot for as long as it lives."""


class Answers:
    """The times in the ring, as `window.Times`.

    Args:
        ring: The file.
        page: Its first page.
        now_ns: What lies after this time is damage.
    """

    __slots__ = ("_now_ns", "_page", "_ring")

    def __init__(self, ring: Ring, page: Page, now_ns: int) -> None:
        self._ring = ring
        self._page = page
        self._now_ns = now_ns

    @property
    def count(self) -> int:
        """How many are kept."""
        return min(self._page.written, self._ring.capacity)

    def newest_ns(self, rank: int) -> int:
        """See `window.Times`.

        Raises:
            DamagedError: The file is shorter than it says, or holds a time that is not yet.
        """
        written = self._page.written
        if rank > written:
            return self._page.floor_ns
        at_ns = self._ring.time_ns(written - min(rank, self._ring.capacity))
        if at_ns > self._now_ns:
            raise DamagedError
        return at_ns


class Ring:
    """An open file of one API origin. Close it.

    Args:
        descriptor: Of the file; the ring's own from now on.
        capacity: How many times are kept; all who share a file agree on it.
    """

    def __init__(self, descriptor: int, *, capacity: int = CAPACITY) -> None:
        self._descriptor = descriptor
        self.capacity = capacity
        self._raw = b""
        self._page: Page | None = None

    @classmethod
    def open(cls, origin: str) -> Self:
        """Open the file of an API origin; make it where it is missing.

        Raises:
            InsecureConfigError: File or folder belong to somebody else, or others may use them.
            ConfigError: They cannot be made or opened.
        """
        if sys.platform == "win32":
            raise ConfigError('this system has no file locks that the quota could use: quota = "off"')
        name = place.file_name(origin)
        folder = place.open_folder()
        try:
            try:
                ring = cls(place.open_file(name, folder, os.O_RDWR))
            except FileNotFoundError:
                ring = cls._made(name, folder)
            try:  # some file systems have no locks: that is to be known before the first request
                if ring.try_lock():
                    ring.unlock()
                ring.let_go(0)
            except OSError:
                ring.close()
                raise
        except OSError as exc:
            raise ConfigError(
                f"the quota's file cannot be made and locked ({exc.strerror}): set XDG_STATE_HOME to a"
                " folder on a disk of this machine"
            ) from None
        finally:
            os.close(folder)
        return ring

    @classmethod
    def _made(cls, name: str, folder: int) -> Self:
        """One makes it, the others wait; it gets its name when it is whole, so nobody sees less."""
        fcntl.flock(folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            return cls(place.open_file(name, folder, os.O_RDWR))
        unnamed = f"{name}.new"  # of one who was killed here, perhaps: it has no name yet
        ring = cls(place.open_file(unnamed, folder, os.O_RDWR | os.O_CREAT | os.O_TRUNC))
        try:
            ring.save(begun_anew())
            os.rename(unnamed, name, src_dir_fd=folder, dst_dir_fd=folder)
        except OSError:
            ring.close()
            raise
        return ring

    @classmethod
    def open_to_read(cls, origin: str) -> Self | None:
        """Open the file of an API origin, to `peek` only; None where there is none.

        Raises:
            ConfigError: As `open`.
        """
        try:
            folder = place.open_folder(may_create=False)
        except FileNotFoundError:
            return None
        try:
            return cls(place.open_file(place.file_name(origin), folder, os.O_RDONLY))
        except FileNotFoundError:
            return None
        finally:
            os.close(folder)

    def close(self) -> None:
        """Give the descriptor back, and with it every lock. Safe to call twice."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def try_lock(self) -> bool:
        """Take the lock, unless another process has it at this moment."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def load(self) -> Page:
        """The page; under the lock. The caller may change it, and then saves it.

        Raises:
            DamagedError, OtherVersionError: As `Page.decode`.
        """
        page = self._page
        if page is not None and os.pread(self._descriptor, len(self._raw), 0) == self._raw:
            return page
        self._page, self._raw = None, os.pread(self._descriptor, PAGE_BYTES, 0)
        page = Page.decode(self._raw)
        self._page, self._raw = page, self._raw[: page.size_bytes]
        return page

    def save(self, page: Page) -> None:
        """Write the page, whole; under the lock."""
        self._page = None
        self._raw = page.encode()
        self._write(self._raw, 0)
        self._page = page

    def forget(self) -> None:
        """A page that `load` gave was changed and not saved: read it again the next time."""
        self._page = None

    def peek(self) -> Page:
        """The page as it is now, without the lock.

        Raises:
            DamagedError, OtherVersionError: As `Page.decode`.
        """
        for _ in range(_PEEKS):
            try:
                return Page.decode(os.pread(self._descriptor, PAGE_BYTES, 0))
            except DamagedError:
                time.sleep(0)  # it was read while it was written
        return Page.decode(os.pread(self._descriptor, PAGE_BYTES, 0))

    def push(self, page: Page, at_ns: int, count: int = 1) -> None:
        """Append `count` answers at one time; under the lock, before the page is saved."""
        for _ in range(count):
            offset = PAGE_BYTES + _TIME.size * (page.written % self.capacity)
            self._write(_TIME.pack(at_ns), offset)
            page.written += 1

    def _write(self, raw: bytes, offset: int) -> None:
        if os.pwrite(self._descriptor, raw, offset) != len(raw):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def time_ns(self, index: int) -> int:
        """The time with that index, of those that are kept.

        Raises:
            DamagedError: The file ends before it.
        """
        raw = os.pread(self._descriptor, _TIME.size, PAGE_BYTES + _TIME.size * (index % self.capacity))
        if len(raw) != _TIME.size:
            raise DamagedError
        at_ns: int = _TIME.unpack(raw)[0]
        return at_ns

    @property
    def is_deleted(self) -> bool:
        """Whether the file has no name any more: others make a new one and do not see this."""
        return os.fstat(self._descriptor).st_nlink == 0

    def hold(self, slot: int) -> None:
        """Lock a slot for as long as this ring is open; the kernel lets go when the process ends.

        Raises:
            BlockingIOError: Somebody else holds it.
        """
        if sys.platform == "linux":
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, slot))

    def let_go(self, slot: int) -> None:
        """Undo `hold`."""
        if sys.platform == "linux":
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, slot))

    def is_abandoned(self, index: int, slot: Slot) -> bool:
        """Whether whoever took the slot lives no more. Not to be asked about one's own."""
        if sys.platform == "linux":
            answer = fcntl.fcntl(self._descriptor, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, index))
            if struct.unpack_from("h", answer)[0] == fcntl.F_UNLCK:
                return True
        return is_gone(slot)


def _lock(kind: int, slot: int) -> bytes:
    """A `struct flock` of one byte; such a lock belongs to the open file, not to the process."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, _LOCKS_AT + slot, 1, 0)


def begun_anew(at_ns: int = LONG_AGO_NS) -> Page:
    """A page of this boot, as if a whole window had been answered at `at_ns`, and nothing since."""
    return Page(boot_id(), floor_ns=at_ns)
