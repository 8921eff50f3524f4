"""A ledger's directory: `ledger.db` with its log, `key`, `lock` and `mark`.

The one rule: nothing in it is opened before its place, owner and mode were checked, and a ledger is
there whole or not at all: its tables are made under another name and then renamed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ...errors import LedgerCorruptError, LedgerError
from . import chain, keys, schema, sql
from .owned import check_directory, check_file, ensure_directory, sync_directory, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATABASE: Final = "ledger.db"
_KEY: Final = "key"
_LOCK: Final = "lock"
_MARK: Final = "mark"
_BESIDE: Final = ("-wal", "-shm")
_NEW: Final = ".new"
_PROBE: Final = "probe"

_NO_LOCKS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "coda", "ceph", "lustre", "gpfs"}
    | {"beegfs", "davfs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.glusterfs", "fuse.gcsfuse"}
)
"""File systems without the shared memory and the locks that SQLite's log needs."""
_FORGETS: Final = frozenset({"tmpfs", "ramfs"})

_log = logging.getLogger("chartsend")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parts of a ledger stand.

    Attributes:
        directory: Absolute, without links.
    """

    directory: Path

    @property
    def database(self) -> Path:
        """SQLite's file."""
        return self.directory / _DATABASE

    @property
    def key(self) -> Path:
        """The key of its hashes."""
        return self.directory / _KEY

    @property
    def lock(self) -> Path:
        """The lock's file."""
        return self.directory / _LOCK

    @property
    def mark(self) -> Path:
        """How many commits were confirmed."""
        return self.directory / _MARK

    @property
    def log(self) -> Path:
        """SQLite's log of what does not yet stand in the tables."""
        return self.directory / (_DATABASE + _BESIDE[0])

    @property
    def is_there(self) -> bool:
        """Whether there is a ledger."""
        return os.path.lexists(self.database)


def find(directory: Path) -> Place:
    """The place of a ledger that is there, checked.

    Raises:
        LedgerError: There is none.
        LedgerCorruptError: It is empty, or its key is missing.
        InsecureConfigError: Somebody else could read or replace it.
    """
    if not os.path.lexists(directory):
        raise LedgerError("there is no ledger here yet: `batch plan` or `batch run` makes one")
    check_directory(directory)
    place = Place(Path(os.path.realpath(directory)))
    if not place.is_there:
        raise LedgerError("there is no ledger here yet: `batch plan` or `batch run` makes one")
    check_files(place)
    return place


def prepare(directory: Path) -> Place:
    """The place of a ledger that may be made there: a directory of its own, ours alone.

    Raises:
        LedgerError: The file system cannot keep a ledger, or the directory holds something else.
        InsecureConfigError: Somebody else could read or replace it.
        OSError: It cannot be made.
    """
    ensure_directory(directory)
    place = Place(Path(os.path.realpath(directory)))
    check_file_system(place.directory)
    if place.is_there:
        check_files(place)
    else:
        _refuse_strangers(place)
    return place


def check_files(place: Place) -> None:
    """Check owner, mode and kind of every file of a ledger.

    Raises:
        LedgerCorruptError: It is empty, or its key is missing.
        InsecureConfigError: Somebody else could read or replace one.
    """
    for name in (_DATABASE, _KEY, _LOCK, _MARK, *(_DATABASE + suffix for suffix in _BESIDE)):
        with contextlib.suppress(FileNotFoundError):
            check_file(place.directory / name)
    if not os.path.lexists(place.key):
        raise LedgerCorruptError("the ledger's key is gone; restore the ledger's directory from a copy")
    if place.database.lstat().st_size == 0:
        raise LedgerCorruptError("the ledger is empty; restore it from a copy, or remove its directory")


def create(place: Place) -> None:
    """Make the ledger's key and tables; whoever calls holds the lock.

    Raises:
        LedgerError, sqlite3.Error, OSError: It failed; what was made so far is used, or made again,
            the next time.
    """
    keys.remember(place.directory)
    with contextlib.suppress(FileNotFoundError):
        check_file(place.key)
    key = keys.user_key()
    fresh_key = place.directory / (_KEY + _NEW)
    fresh_key.unlink(missing_ok=True)
    write_new(fresh_key, key)
    fresh_key.rename(place.key)
    fresh = place.directory / (_DATABASE + _NEW)
    for suffix in ("", *_BESIDE, "-journal"):
        fresh.with_name(fresh.name + suffix).unlink(missing_ok=True)
    write_new(fresh, b"")  # so that it has its mode before it has content
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        schema.create(connection)
        head = chain.Head()
        connection.execute(sql.NEW_HEAD, (*head, chain.seal(key, head), chain.name_of(key)))
        schema.use_log(connection)
    sync_directory(place.directory)
    fresh.rename(place.database)
    sync_directory(place.directory)


def _refuse_strangers(place: Place) -> None:
    """A directory in which somebody keeps other things does not become a ledger."""
    made = (_DATABASE + _NEW, _KEY + _NEW)
    ours = {_KEY, _LOCK, _MARK, _PROBE, *made, *(made[0] + suffix for suffix in (*_BESIDE, "-journal"))}
    if {entry.name for entry in os.scandir(place.directory)} - ours:
        raise LedgerError("the ledger's directory holds other files: give an empty one, or none")


def check_file_system(directory: Path) -> None:
    """Refuse a file system that cannot keep a ledger; warn of one that forgets.

    Raises:
        LedgerError: It is one of those that are shared over a network.
    """
    kind = file_system(directory)
    if kind in _NO_LOCKS:
        raise LedgerError(
            f"the ledger cannot be kept on {kind}: its locks are not reliable over a network. Give a"
            " directory on a local disk with --ledger"
        )
    if kind in _FORGETS:
        _log.warning("the ledger is on %s: it will be lost when this machine restarts", kind)
    elif kind.startswith("fuse") or kind == "virtiofs":
        _log.warning("the ledger is on %s: whether it keeps what it confirms is not known", kind)


def file_system(directory: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that a directory is on; empty where it cannot be told.

    Args:
        directory: Absolute, without links.
        mounts: The kernel's table of this process's mounts (`proc(5)`).
    """
    best, kind = -1, ""
    try:
        lines = mounts.read_bytes().splitlines()
    except OSError:
        return ""
    for line in lines:
        before, _, after = line.partition(b" - ")
        point = before.split()[4].decode("unicode_escape").encode("latin-1")
        # A later mount on the same point hides the earlier one.
        if len(point) >= best and _is_below(os.fsencode(directory), point):
            best, kind = len(point), os.fsdecode(after.split()[0])
    return kind


def _is_below(path: bytes, point: bytes) -> bool:
    return path == point or path.startswith(point.rstrip(b"/") + b"/")


class Listed(NamedTuple):
    """A ledger on this user's list.

    Attributes:
        number: Of its line there, from 1: what it is called where its path must not be shown.
        directory: Where it was made.
        is_there: Whether there is a ledger still.
    """

    number: int
    directory: Path
    is_there: bool


def listed_ledgers() -> Iterator[Listed]:
    """The ledgers that this user has made, oldest first, each once, there or not.

    Raises:
        ConfigError: There is no home directory.
        InsecureConfigError: Somebody else could read or change the list.
        OSError: It cannot be read.
    """
    seen: set[Path] = set()
    for number, directory in keys.remembered():
        if directory not in seen:
            seen.add(directory)
            yield Listed(number, directory, Place(directory).is_there)


def ledgers_of_this_user() -> Iterator[Path]:
    """Directories of the ledgers that this user has made and that are still there, oldest first.

    Raises:
        As `listed_ledgers`.
    """
    return (each.directory for each in listed_ledgers() if each.is_there)
