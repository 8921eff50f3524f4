"""What a process and its children cost: time, and resident memory.

The one rule: children count, also those that live on and those that have ended.
"""

from __future__ import annotations

import os
import resource
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator

_TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")
_WATCH_EVERY_S: Final = 0.02


def descendants(pid: int) -> list[int]:
    """Living children of a process, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text(encoding="ascii").split():
                found += [int(child), *descendants(int(child))]
    return found


def cpu_s() -> float:
    """User and system time of this process, of children that have ended, and of those that live."""
    own = resource.getrusage(resource.RUSAGE_SELF)
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = own.ru_utime + own.ru_stime + gone.ru_utime + gone.ru_stime
    return total + sum(_cpu_of(pid) for pid in descendants(os.getpid()))


def rss_bytes() -> int:
    """Resident bytes now, of this process and its living children together."""
    return _memory("VmRSS")


def peak_rss_bytes() -> int:
    """The most since `forget_peak`, each process's own most added up."""
    return _memory("VmHWM")


def forget_peak() -> None:
    """Begin to measure the peak anew (proc(5): 5 in clear_refs)."""
    for pid in (os.getpid(), *descendants(os.getpid())):
        with suppress(FileNotFoundError):
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")


class Watch:
    """Memory of children that come and go.

    Attributes:
        most_bytes: The most that those alive at once had reached, of looks 20 ms apart.
    """

    def __init__(self) -> None:
        self.most_bytes = 0


@contextmanager
def watched_children() -> Generator[Watch]:
    """Look at the children's memory again and again while the block runs.

    `ru_maxrss` would not do: it includes what the parent was when it made the child.
    """
    found = Watch()
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(_WATCH_EVERY_S):
            now = sum(_status(pid, "VmHWM") for pid in descendants(os.getpid()))
            found.most_bytes = max(found.most_bytes, now)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        is_over.set()
        watcher.join()


def _memory(field: str) -> int:
    return sum(_status(pid, field) for pid in (os.getpid(), *descendants(os.getpid())))


def _status(pid: int, field: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(field):
                return int(line.split()[1]) * 1024
    return 0


def _cpu_of(pid: int) -> float:
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        # proc(5), from the field after the name: utime, stime, and those of reaped children
        return sum(int(each) for each in fields[11:15]) * _TICK_S
    return 0.0
