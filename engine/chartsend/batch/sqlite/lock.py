"""One process at a time works with a ledger.

The one rule: the lock is the kernel's (`flock`), so it ends with its process, however that ends; what
stands in the lock's file is only there to say who has it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from ...errors import LedgerLockedError

if TYPE_CHECKING:
    from typing import Self

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
_MOST_BYTES: Final = 1024
_TRIES: Final = 10


class Holder(msgspec.Struct, frozen=True):
    """Who has a lock.

    Attributes:
        pid: The process.
        boot_id: Of the machine's present run; empty where it is not known.
        started: Clock ticks from boot to the process's start, so that a number that was given to
            another process is not mistaken for it; 0 where it is not known.
    """

    pid: int
    boot_id: str = ""
    started: int = 0

    @classmethod
    def this_process(cls) -> Self:
        """This process."""
        return cls(os.getpid(), _boot_id(), _started(os.getpid()))

    @property
    def is_alive(self) -> bool:
        """Whether that process runs, as far as can be told."""
        return self.boot_id == _boot_id() and self.started == _started(self.pid)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock that is held.

    Attributes:
        descriptor: Of the lock's file; the lock is held as long as it is open.
    """

    descriptor: int

    @classmethod
    def take(cls, file: Path) -> Self:
        """Take the lock at once, or not at all. What a process that has gone left behind is no lock.

        Raises:
            LedgerLockedError: Another process has it.
            OSError: The file cannot be opened or written.
        """
        for _ in range(_TRIES):
            descriptor = _opened(file)
            try:
                if _is_at(descriptor, file):  # else somebody removed the file: lock the new one
                    _sign(descriptor)
                    return cls(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
        raise LedgerLockedError("the ledger's lock is removed again and again by another process")

    def release(self) -> None:
        """Give it up. The file stays: removed, it could be locked under two names."""
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def _opened(file: Path) -> int:
    """A descriptor of the lock's file, locked."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask took
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(descriptor)
        os.close(descriptor)
        who = f"process {holder.pid}" if holder and holder.is_alive else "another process"
        raise LedgerLockedError(
            f"{who} works with this ledger; wait until it has ended, or stop it"
        ) from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _is_at(descriptor: int, file: Path) -> bool:
    """Whether the file is still the one that was opened."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(descriptor), file.lstat())
    return False


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, msgspec.json.encode(Holder.this_process()), 0)


def _holder(descriptor: int) -> Holder | None:
    with contextlib.suppress(msgspec.MsgspecError, OSError, UnicodeDecodeError):
        return msgspec.json.decode(os.pread(descriptor, _MOST_BYTES, 0), type=Holder)
    return None


def _boot_id() -> str:
    with contextlib.suppress(OSError):
        return _BOOT_ID.read_text(encoding="ascii").strip()
    return ""


def _started(pid: int) -> int:
    """Field 22 of `/proc/PID/stat`; the name in field 2 may hold spaces and brackets."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        return int(stat.rpartition(b")")[2].split()[19])
    return 0
