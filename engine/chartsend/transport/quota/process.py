"""Who shares the quota, and whether it still lives.

The one rule: a process counts as gone only when the kernel says so: it has given up the lock that it
held for as long as it lived, or its id belongs to nobody, or to somebody who started later.
"""

from __future__ import annotations

import functools
import os
import secrets
from pathlib import Path
from typing import Final

from .page import Slot

_PROC: Final = Path("/proc")
_START_FIELD: Final = 19
"""`starttime` in /proc/PID/stat (proc_pid_stat(5)), counted from the field behind the name."""


def own_slot() -> Slot:
    """A slot for this process, with a token of its own."""
    token = secrets.randbits(63) + 1  # never 0, which is a free slot
    pid = os.getpid()
    return Slot(token=token, started=_started(pid) or 0, namespace=_namespace(), pid=pid)


def is_gone(slot: Slot) -> bool:
    """Whether the slot's process has surely ended; False where that cannot be told from here.

    A lock alone would not do: a child that was forked holds its parent's locks, and lives on.
    """
    if not slot.started or slot.namespace != _namespace():
        return False  # in another container its id means another process
    return _started(slot.pid) != slot.started


def _started(pid: int) -> int | None:
    """When the process was started, in clock ticks since the boot; None when there is none."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return None
    return int(stat.rpartition(b")")[2].split()[_START_FIELD])  # a name may hold spaces and brackets


@functools.cache
def _namespace() -> int:
    try:
        return (_PROC / "self" / "ns" / "pid").stat().st_ino
    except OSError:
        return 0
