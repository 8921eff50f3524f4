"""Connections that only read, whatever state a crash left the files in.

The one rule: a reader never changes what the ledger holds. (SQLite may have to make the file through
which readers and the writer share their index of the log, also for a reader, so the directory must be
writable while there is a log.)
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from ...errors import LedgerError
from . import schema

if TYPE_CHECKING:
    from .place import Place


def connect(place: Place) -> sqlite3.Connection:
    """A connection that reads, its tables checked.

    Raises:
        LedgerError: The tables are not ones that this version can read.
        LedgerCorruptError: They are not chartsend's.
        sqlite3.Error: It cannot be opened.
    """
    try:
        return _checked(schema.connect_to_read(place.database))
    except sqlite3.OperationalError:
        # A directory that cannot be written, such as a copy on a read-only disk.
        if os.access(place.directory, os.W_OK):
            raise
        if place.log.exists() and place.log.stat().st_size:
            raise LedgerError(
                "the ledger was not closed, and its directory cannot be written: make it writable, or"
                " read a copy"
            ) from None
        return _checked(schema.connect_to_read(place.database, is_still=True))


def _checked(connection: sqlite3.Connection) -> sqlite3.Connection:
    try:
        schema.check_header(connection)
        schema.check_tables(connection)
    except BaseException:
        connection.close()
        raise
    return connection
