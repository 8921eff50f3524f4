"""An open ledger from its lock to its last checkpoint: transactions, the log's size, and the end.

The one rule: whoever has the lock is the only one who writes; it is given up last.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from typing import TYPE_CHECKING, Final

from ...errors import LedgerError
from . import failures, keys, mark, place as places, schema
from .lock import Lock
from .mark import COMMITS, Mark
from .owned import sync_directory
from .store import Store

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from .place import Place

TIDY_COMMITS: Final = 200
TIDY_CHANGES: Final = 4000
"""After so many commits, or changed rows, the log is copied into the tables (some 4 to 8 MB)."""
LONG_LOG_PAGES: Final = 65_536
"""256 MiB of log: somebody reads one snapshot for so long that it cannot be reused."""

_log = logging.getLogger("chartsend")


class Session:
    """A ledger that is open for writing. Made by `open`, in the thread that uses it."""

    def __init__(self, place: Place, lock: Lock, connection: sqlite3.Connection, store: Store) -> None:
        self.place = place
        self.store = store
        self._lock = lock
        self._connection = connection
        self._files = [(file, file.stat()) for file in (place.database, place.log)]
        self._mark = Mark(place.mark)
        self._changes = store.changes
        self._commits = 0
        self._rows_before = 0
        self._is_abandoned = False
        self._has_warned = False

    @classmethod
    def open(cls, directory: Path, *, create: bool) -> Self:
        """Lock, check and open a ledger; make it first, if asked and it is not there.

        Raises:
            LedgerError: It cannot be opened, is not there, or is somebody else's at the moment.
            InsecureConfigError: Somebody else could read or replace it.
            ConfigError: There is no home directory for the user's key.
        """
        with failures.told("opening the ledger"):
            place = places.prepare(directory) if create else places.find(directory)
            if not create:
                places.check_file_system(place.directory)
            lock = Lock.take(place.lock)
        try:
            with failures.told("opening the ledger", place.directory):
                return cls._locked(place, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def _locked(cls, place: Place, lock: Lock) -> Self:
        if not place.is_there:
            places.create(place)
        places.check_files(place)
        key = keys.read_key(place.key)
        keys.remember(place.directory)
        with contextlib.closing(schema.connect_to_read(place.database)) as witness:
            # A file that is refused stays as it is: while the witness is there, closing changes nothing.
            schema.check_header(witness)
            connection = schema.connect_to_write(place.database)
            try:
                schema.migrate(connection)
                schema.check_tables(connection)
                # By now the log has a name; SQLite asks the disk to keep that, and ignores the answer.
                sync_directory(place.directory)
                store = Store(connection, key)
                mark.check(mark.read(place.mark), store.counters)
                _copy_log(connection)  # what a crash left; else it would grow from crash to crash
                return cls(place, lock, connection, store)
            except BaseException:
                connection.close()
                raise

    def begin(self) -> None:
        """Open a transaction; nobody else can write until it ends.

        Raises:
            sqlite3.Error: It failed.
        """
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Write what the steps changed, and wait until the disk has it.

        Raises:
            sqlite3.Error: It failed; nobody knows what the disk kept.
            OSError: The mark cannot be written.
            LedgerError: The ledger was moved or removed meanwhile, so nobody will find what it kept.
        """
        has_changed = self.store.changes != self._changes
        if has_changed:
            self.store.add(COMMITS, 1)
        self.store.flush()
        self._connection.execute("COMMIT")
        self._check_files()
        if has_changed:
            self._commits += 1
            self._changes = self.store.changes
            self._mark.write(self.store.counters[COMMITS])

    def _check_files(self) -> None:
        """Refuse to go on in files that nobody will find.

        Raises:
            LedgerError: They were moved or removed.
        """
        try:
            are_ours = all(os.path.samestat(file.stat(), before) for file, before in self._files)
        except FileNotFoundError:
            are_ours = False
        if not are_ours:
            raise LedgerError(
                "the ledger was moved or removed while it was in use; nothing more is sent. Put it back"
                " and run again"
            )

    def tidy(self) -> None:
        """From time to time, copy the log into the tables, so that it does not grow for ever.

        Raises:
            sqlite3.Error: It failed; what was committed stands in the log.
        """
        changed = self._connection.total_changes - self._rows_before
        if self._commits < TIDY_COMMITS and changed < TIDY_CHANGES:
            return
        self._commits, self._rows_before = 0, self._connection.total_changes
        pages = _copy_log(self._connection)
        if pages > LONG_LOG_PAGES and not self._has_warned:
            self._has_warned = True
            _log.warning("the ledger's log has %d MiB, because somebody reads it for long", pages >> 8)

    def abandon(self) -> None:
        """Something failed: leave the files as they are."""
        self._is_abandoned = True

    def close(self) -> None:
        """Close, and give up the lock. Never raises: all that was confirmed is durable already."""
        try:
            if self._is_abandoned:
                self._close_without_a_trace()
            else:
                self._close()
        except (sqlite3.Error, OSError) as exc:
            _log.warning("closing the ledger failed (%s); nothing is lost", type(exc).__name__)
        finally:
            self._mark.close()
            self._lock.release()

    def _close(self) -> None:
        with contextlib.closing(self._connection):
            self._connection.execute("PRAGMA busy_timeout=0")  # do not wait for those who still read
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _close_without_a_trace(self) -> None:
        """Close without the checkpoint that SQLite makes when its last connection closes."""
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(sqlite3.Error):
                witness = schema.connect_to_read(self.place.database)
                stack.enter_context(contextlib.closing(witness))
                schema.version_of(witness)  # opens the log, and stays
            with contextlib.suppress(sqlite3.Error):
                self._connection.rollback()
            self._connection.close()


def _copy_log(connection: sqlite3.Connection) -> int:
    """Copy the log into the tables, as far as no reader needs it; how many pages it has.

    Raises:
        sqlite3.Error: It failed; what was committed stands in the log.
    """
    (_, pages, _) = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return int(pages)
