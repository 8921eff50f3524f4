"""The tables, and how a connection to them is made.

The one rule: only `connect_to_write` makes a connection that writes or checkpoints, and one process
holds one of them. (SQLite 3.7.0 to 3.51.2 can damage a ledger in which two connections checkpoint and
commit at once.) Readers cannot write, whatever they do.

Steps from an older version stand in `MIGRATIONS`, and are made in one transaction, or not at all.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from ...errors import LedgerCorruptError, LedgerError
from . import sql

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

APPLICATION_ID: Final = 0x63687364
"""`chsd`: says in the file's header whose it is."""
NEEDED: Final = (3, 37, 0)
"""The first SQLite with `STRICT` tables."""
PAGE_BYTES: Final = 4096
CACHE_KIB: Final = 1024
BUSY_S: Final = 10.0
"""How long to wait while a reader mends the log after a crash; nobody else ever holds a lock."""
LOG_BYTES: Final = 8 * 1024 * 1024
"""What is kept of the log's file once all of it stands in the tables."""

_FIRST: Final = """
CREATE TABLE rows (
    row INTEGER PRIMARY KEY, state INTEGER NOT NULL, offset INTEGER NOT NULL, identity BLOB NOT NULL,
    content BLOB NOT NULL, size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    route INTEGER NOT NULL, crc BLOB NOT NULL
) STRICT;
CREATE TABLE work (
    row INTEGER PRIMARY KEY, owner TEXT, attempts INTEGER NOT NULL, first_tried_ms INTEGER NOT NULL,
    next_try_ms INTEGER, tries INTEGER NOT NULL, reference_url TEXT, source_id TEXT,
    uploaded_ms INTEGER, sha256 BLOB, message_ms INTEGER, message_hash BLOB,
    maybe_duplicate INTEGER NOT NULL, orphans INTEGER NOT NULL, error_code TEXT, crc BLOB NOT NULL
) STRICT;
CREATE INDEX work_owned ON work (owner) WHERE owner IS NOT NULL;
CREATE INDEX work_waiting ON work (next_try_ms) WHERE next_try_ms IS NOT NULL;
CREATE TABLE receipts (
    seq INTEGER PRIMARY KEY, row INTEGER NOT NULL, status INTEGER NOT NULL,
    milliseconds INTEGER NOT NULL, body BLOB, digest BLOB, link BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX receipts_accepted ON receipts (row) WHERE status = 2;
CREATE INDEX receipts_other ON receipts (row) WHERE status <> 2;
CREATE TABLE rejects (
    row INTEGER PRIMARY KEY, code TEXT NOT NULL, text TEXT NOT NULL, crc BLOB NOT NULL
) STRICT;
CREATE TABLE counters (
    name TEXT PRIMARY KEY, value INTEGER NOT NULL, crc BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
    name TEXT PRIMARY KEY, value TEXT NOT NULL, crc BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE head (
    one INTEGER PRIMARY KEY CHECK (one = 1), seq INTEGER NOT NULL, purged INTEGER NOT NULL,
    link BLOB NOT NULL, seal BLOB NOT NULL, key_name BLOB NOT NULL
) STRICT;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST,)
"""From version 0 to 1, from 1 to 2, and so on."""

VERSION: Final = len(MIGRATIONS)

_Shape = dict[str, str | None]


def connect_to_write(database: Path) -> sqlite3.Connection:
    """The one connection that writes, and the only one that checkpoints, when it is told to.

    Raises:
        sqlite3.Error, LedgerError: It cannot be opened.
    """
    connection = _connect(database, "rw")
    try:
        use_log(connection)
        _set(connection, synchronous="full", wal_autocheckpoint=0)
        _set(connection, journal_size_limit=LOG_BYTES, secure_delete="on")
        _set(connection, fullfsync="on", checkpoint_fullfsync="on")  # macOS: the disk's cache too
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(database: Path, *, is_still: bool = False) -> sqlite3.Connection:
    """A connection that cannot write.

    Args:
        database: The ledger's file.
        is_still: Nobody can change it, so no lock and no log is looked at.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    connection = _connect(database, "ro&immutable=1" if is_still else "ro")
    try:
        _set(connection, query_only="on")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(database: Path, mode: str) -> sqlite3.Connection:
    if sqlite3.sqlite_version_info < NEEDED:
        raise LedgerError(
            f"a ledger needs SQLite {'.'.join(map(str, NEEDED))}, this Python has"
            f" {sqlite3.sqlite_version}"
        )
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(database))}?mode={mode}",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        cached_statements=256,
        check_same_thread=False,  # a reader may be closed from another thread; each has one at a time
    )
    try:
        _set(connection, cache_size=-CACHE_KIB, temp_store="file", mmap_size=0)
        _set(connection, trusted_schema="off", cell_size_check="on")
    except BaseException:
        connection.close()
        raise
    return connection


def _set(connection: sqlite3.Connection, **pragmas: str | int) -> None:
    for name, value in pragmas.items():
        connection.execute(f"PRAGMA {name}={value}").close()


def use_log(connection: sqlite3.Connection) -> None:
    """Have changes written to a log first. SQLite tells of a failure by its answer, not by an error.

    Raises:
        LedgerError: The disk did not confirm it.
        sqlite3.Error: It failed otherwise.
    """
    (mode,) = connection.execute("PRAGMA journal_mode=wal").fetchone()
    if mode != "wal":
        raise LedgerError(
            "the ledger cannot be written to a log (the disk did not confirm it); nothing is sent. Mend"
            " the cause and run again"
        )


def create(connection: sqlite3.Connection) -> None:
    """Make the tables of this version in an empty file.

    Raises:
        sqlite3.Error: They cannot be made.
    """
    _set(connection, page_size=PAGE_BYTES, application_id=APPLICATION_ID)
    migrate(connection)


def migrate(connection: sqlite3.Connection, steps: Sequence[str] = MIGRATIONS) -> None:
    """Bring the tables to this version in one transaction.

    Raises:
        LedgerError: They are of a newer version.
        sqlite3.Error: It failed, and nothing was changed.
    """
    version = version_of(connection)
    _refuse_newer(version, len(steps))
    if version == len(steps):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in steps[version:]:
            for statement in filter(str.strip, step.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(steps)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the tables; 0 for an empty file."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_header(connection: sqlite3.Connection) -> None:
    """Refuse what is not a ledger, or not one that this version understands.

    Raises:
        LedgerCorruptError: The file is somebody else's.
        LedgerError: It was made by a newer chartsend.
    """
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise LedgerCorruptError(
            "the ledger's file was not made by chartsend; give another directory, or remove it"
        )
    _refuse_newer(version_of(connection), VERSION)


def _refuse_newer(version: int, ours: int) -> None:
    if version > ours:
        raise LedgerError(
            f"the ledger has version {version}, this chartsend knows versions up to {ours}:"
            " upgrade chartsend"
        )


def check_tables(connection: sqlite3.Connection) -> None:
    """Refuse a ledger whose tables are not the ones that this version makes.

    Raises:
        LedgerCorruptError: They are not.
        LedgerError: They are those of an older version; only a writer brings them to this one.
    """
    version = version_of(connection)
    if version < VERSION:
        raise LedgerError(
            f"the ledger has version {version}, this chartsend version {VERSION}: `batch run` brings it"
            " up to date"
        )
    if _shape(connection) not in _shapes():
        raise LedgerCorruptError(
            "the ledger's tables are not those that chartsend makes; restore it from a copy"
        )


def has_identity_index(connection: sqlite3.Connection) -> bool:
    """Whether the identities of rows are indexed."""
    return bool(connection.execute(sql.HAS_IDENTITY_INDEX).fetchone()[0])


def _shape(connection: sqlite3.Connection) -> _Shape:
    lines = connection.execute("SELECT type || ' ' || name || ' ' || tbl_name, sql FROM sqlite_master")
    return dict(lines.fetchall())


def _shapes() -> tuple[_Shape, _Shape]:
    """The tables as this version makes them, without and with the index of identities."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        migrate(model)
        without = _shape(model)
        model.execute(sql.IDENTITY_INDEX)
        return without, _shape(model)
