"""What SQLite and the disk say, in the words of the ledger's errors.

The one rule: a failure is never retried on what is open. Whether the disk kept what it refused to
confirm, nobody can ask it; only opening the ledger again tells.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from ...errors import LedgerCorruptError, LedgerError, LedgerFullError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_MAY_BE_ROOM: Final = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN})
"""A used-up quota and a file that may not grow are "I/O error" to SQLite."""
_PRIMARY: Final = 0xFF
"""SQLite's extended codes carry the primary one in their low byte."""
_PROBE_BYTES: Final = 64 * 1024
_PROBE: Final = "probe"

FULL: Final = (
    "there is no room for the ledger (disk full, quota used up, or the file may not grow); nothing more"
    " is sent. Make room and run again"
)


_CAUSES: Final = (sqlite3.Error, OSError, UnicodeDecodeError)
"""What calls into SQLite and the system raise; the last one, when a damaged name or text is read."""


@contextlib.contextmanager
def told(what: str, directory: Path | None = None) -> Generator[None]:
    """Raise what SQLite and the system say inside as the ledger's errors.

    Args:
        what: Was tried, such as "reading the ledger".
        directory: Of a ledger that we may write to: then it is asked whether there is room.
    """
    try:
        yield
    except _CAUSES as exc:
        raise of(exc, what, directory) from exc


def of(failure: BaseException, what: str, directory: Path | None) -> LedgerError:
    """The error for any failure; arguments as of `told`."""
    if isinstance(failure, LedgerError):
        return failure
    if isinstance(failure, UnicodeDecodeError) or _is_corrupt(failure):
        return LedgerCorruptError(
            f"the ledger is damaged ({_name(failure)}); nothing is sent from it. Restore it from a copy"
        )
    if _is_full(failure, directory):
        return LedgerFullError(FULL)
    return LedgerError(
        f"{what} failed ({_name(failure)}); nothing more is sent. Mend the cause and run again"
    )


def _is_corrupt(failure: BaseException) -> bool:
    is_undecodable = isinstance(failure, sqlite3.Error) and "decode to UTF-8" in str(failure)
    return is_undecodable or _code(failure) in _CORRUPT


def _is_full(failure: BaseException, directory: Path | None) -> bool:
    if isinstance(failure, OSError):
        return failure.errno in _NO_ROOM
    code = _code(failure)
    is_hidden = code in _MAY_BE_ROOM and directory is not None and not has_room(directory)
    return code == sqlite3.SQLITE_FULL or is_hidden


def _code(failure: BaseException) -> int:
    """SQLite's primary code; 0 when it gave none."""
    return int(getattr(failure, "sqlite_errorcode", 0)) & _PRIMARY


def _name(failure: BaseException) -> str:
    if isinstance(failure, OSError):
        return errno.errorcode.get(failure.errno or 0, "OSError")
    return str(getattr(failure, "sqlite_errorname", type(failure).__name__))


def has_room(directory: Path) -> bool:
    """Whether the largest of the ledger's files could grow by 64 KiB."""
    probe = directory / _PROBE
    try:
        sizes = [entry.stat(follow_symlinks=False).st_size for entry in os.scandir(directory)]
        descriptor = os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            return _grows(descriptor, max(sizes, default=0))
        finally:
            os.close(descriptor)
            probe.unlink(missing_ok=True)
    except OSError as exc:
        return exc.errno not in _NO_ROOM


def _grows(descriptor: int, size_bytes: int) -> bool:
    """Whether bytes can be put where the file would go on; what lies before stays a hole."""
    written = os.pwrite(descriptor, bytes(_PROBE_BYTES), size_bytes)
    return written == _PROBE_BYTES
