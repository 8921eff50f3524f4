"""Which mounts are disks of this machine, so that opening a file on them waits for no network.

The one rule: what is not known to be local is not. A mount is learned by the thread that opened a file
on it; until then, and wherever there is doubt, files open in threads.
"""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Final, NamedTuple

from .syscalls import MOUNT_ID, look

LOCAL: Final = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "bcachefs", "zfs", "tmpfs", "ramfs"}
)
"""File systems that are asked on the event loop. Not overlay: what lies below it may be anything, and
it refuses reads that do not wait (RWF_NOWAIT) anyhow."""

DISTRUST_S: Final = 10.0
"""How long files open in threads again on a mount where opening one took long."""

_MOST: Final = 1024  # mounts of one machine; more would be churn, and everything is learned anew


class Mount(NamedTuple):
    """A line of /proc/self/mountinfo (proc_pid_mountinfo(5)), as far as it matters here."""

    number: int
    kind: str
    name: bytes
    """The last part of its mount point."""


def read_mountinfo() -> list[Mount]:
    """The mounts that this process sees. For threads: the kernel may wait for a lock.

    Raises:
        OSError: There is no /proc.
    """
    return [_parsed(line) for line in Path("/proc/self/mountinfo").read_bytes().splitlines()]


def _parsed(line: bytes) -> Mount:
    before, _, after = line.partition(b" - ")
    number, _, _, _, point = before.split(b" ", 5)[:5]
    name = re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), point.rpartition(b"/")[2])
    return Mount(int(number), after.partition(b" ")[0].decode(), name)


class Mounts:
    """What was learned of mounts: the same for everybody in this process."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}  # on the clock of time.monotonic; infinity for never
        self._foreign: frozenset[bytes] = frozenset()

    def is_local(self, mount: int) -> bool:
        """Whether files of a mount may be opened on the event loop now."""
        return self._since.get(mount, math.inf) <= time.monotonic()

    def may_be_foreign(self, name: bytes) -> bool:
        """Whether a file of that name may itself be the mount point of a network disk.

        Walking a path never waits for a file system, but for one step: if its last part is a mount
        point, a network file system is asked whether that still exists.
        """
        return name in self._foreign

    def learn(self, fd: int) -> int | None:
        """Find out where an open file lies. For threads.

        Returns:
            The mount, if it is local.
        """
        found = look(fd)
        if found is None:
            return None
        if found.mount not in self._since:
            self._read(found.mount, fd)
        return found.mount if self.is_local(found.mount) else None

    def _read(self, mount: int, fd: int) -> None:
        numbered = look(fd, MOUNT_ID)
        try:
            mounts = read_mountinfo()
        except (OSError, ValueError):
            return
        if len(self._since) >= _MOST:
            self._since.clear()
        self._foreign = frozenset(m.name for m in mounts if m.kind not in LOCAL)
        kind = next((m.kind for m in mounts if numbered and m.number == numbered.mount), "")
        self._since[mount] = -math.inf if kind in LOCAL else math.inf

    def distrust(self, mount: int, seconds: float = DISTRUST_S) -> None:
        """Open files of a mount in threads for so long."""
        self._since[mount] = time.monotonic() + seconds

    def forget(self) -> None:
        """Know nothing again."""
        self._since.clear()
        self._foreign = frozenset()


MOUNTS: Final = Mounts()
