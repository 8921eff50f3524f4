"""The ledger's tables as the steps see them: rows, work, receipts, counters and facts.

The one rule: a step changes nothing before it has checked everything, and what the steps of one group
have changed reaches the tables together (`flush`), in a few statements.

Rows that are being worked on are kept in memory as they stand in the tables (nobody else can change
them), so a step need not read. There are never more of them than were claimed and not yet settled.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from ...errors import LedgerCorruptError
from ..row import State
from . import chain, many, sql
from .records import (
    RECORD_COLUMNS,
    WORK_COLUMNS,
    Column,
    Found,
    Work,
    crc_of,
    crc_of_record,
    crc_of_work,
    found,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from ..row import RowReceipt

_RECEIPT_COLUMNS: Final = chain.Entry._fields
CURSOR: Final = "cursor"
"""Counter: rows up to this number have been claimed once, or are not to be sent."""
BEGUN: Final = "begun"
"""Counter: queued rows that have been claimed before."""
SUM: Final = "sum:"
STATE_NAMES: Final = {state: f"state:{int(state)}" for state in State}
"""Counters: rows in each state."""
OWN_SUMS: Final = ("orphans", "maybe_duplicates", "receipts")


class Store:
    """An opened ledger, in the one thread that writes it.

    Args:
        connection: The writing one, its tables checked.
        key: Of the ledger.

    Raises:
        LedgerCorruptError: Counters or the end of the chain are not as they were written.
        sqlite3.Error: They cannot be read.
    """

    def __init__(self, connection: sqlite3.Connection, key: bytes) -> None:
        self.connection = connection
        self.key = key
        self.head = head_of(connection, key)
        self.counters = counters_of(connection)
        self.changes = 0
        self._held: dict[int, Found] = {}
        self._changed: dict[int, Found] = {}
        self._lines: dict[int, tuple[Column, ...]] = {}
        self._worked: dict[int, tuple[Column, ...] | None] = {}
        self._receipts: list[chain.Entry] = []
        self._counted: set[str] = set()
        self._saved_head = self.head

    # -- rows ---------------------------------------------------------------------------------

    def find(self, row: int) -> Found | None:
        """A row with its work; None when there is no such row.

        Raises:
            LedgerCorruptError: It is not as it was written.
        """
        known = self._changed.get(row) or self._held.get(row)
        if known is not None:
            return known
        line = self.connection.execute(sql.ROW, (row,)).fetchone()
        return None if line is None else found(line)

    def put(self, before: Found, state: State, work: Work | None) -> Found:
        """Give a row its next state, and what is now known of the work on it."""
        record = before.record._replace(state=int(state))
        after = Found(record, work)
        line = None if work is None else (*work, crc_of_work(work, record.state))
        self._change(after)
        if work is not None or before.work is not None:
            self._worked[record.row] = line
        if work is not None and work.owner is not None:
            self._held[record.row] = after
        else:
            self._held.pop(record.row, None)
        if state != before.state:
            self.count_state(before.state, -1)
            self.count_state(state, 1)
        self.add(BEGUN, is_begun(after) - is_begun(before))
        self.changes += 1
        return after

    def move(self, before: Found, offset: int) -> None:
        """A row now stands elsewhere in the manifest."""
        after = before._replace(record=before.record._replace(offset=offset))
        self._change(after)
        if after.record.row in self._held:
            self._held[after.record.row] = after
        self.changes += 1

    def _change(self, after: Found) -> None:
        """Keep a row's columns with their checksum until they are written."""
        self._lines[after.record.row] = (*after.record, crc_of_record(after.record))
        self._changed[after.record.row] = after

    # -- receipts, counters, facts ------------------------------------------------------------

    def append(self, receipt: RowReceipt) -> None:
        """Put a receipt at the end of the chain."""
        entry = chain.made(self.key, self.head, receipt)
        self._receipts.append(entry)
        self.head = self.head._replace(seq=entry.seq, link=entry.link)
        self.add(SUM + "receipts", 1)

    def purged(self, count: int) -> None:
        """So many receipts were emptied."""
        self.head = self.head._replace(purged=self.head.purged + count)
        self.changes += 1

    def add(self, name: str, count: int) -> None:
        """Add to a counter."""
        if count:
            self.counters[name] = self.counters.get(name, 0) + count
            self._counted.add(name)
            self.changes += 1

    def count_state(self, state: State, count: int) -> None:
        """So many rows more are in a state, or fewer."""
        self.add(STATE_NAMES[state], count)

    def in_state(self, state: State) -> int:
        """How many rows are in a state."""
        return self.counters.get(STATE_NAMES[state], 0)

    @property
    def cursor(self) -> int:
        """Rows up to this number have been claimed once, or are not to be sent."""
        return self.counters.get(CURSOR, 0)

    @cursor.setter
    def cursor(self, row: int) -> None:
        self.add(CURSOR, row - self.cursor)

    def note(self, facts: Mapping[str, str | None]) -> None:
        """Set facts; None removes one."""
        lines = [
            (name, value, crc_of(name, value)) for name, value in facts.items() if value is not None
        ]
        self.changes += 1
        many.insert(self.connection, "facts", ("name", "value", "crc"), lines, update=("value", "crc"))
        many.delete(self.connection, "facts", "name", [name for name in facts if facts[name] is None])

    def reject(self, rejects: Iterable[tuple[int, str, str]]) -> None:
        """Say why rows were rejected."""
        lines = [(row, code, text, crc_of(row, code, text)) for row, code, text in rejects]
        self.changes += 1
        columns = ("row", "code", "text", "crc")
        many.insert(self.connection, "rejects", columns, lines, update=columns[1:])

    # -- to the tables ------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what the steps have changed to the tables; it is durable with the next commit.

        Raises:
            sqlite3.Error: It failed.
        """
        lines = list(self._lines.values())
        columns = (*RECORD_COLUMNS, "crc")
        many.insert(self.connection, "rows", columns, lines, update=("state", "offset", "crc"))
        present = [line for line in self._worked.values() if line is not None]
        many.insert(
            self.connection,
            "work",
            (*WORK_COLUMNS, "crc"),
            present,
            update=(*WORK_COLUMNS[1:], "crc"),
        )
        gone = [row for row, line in self._worked.items() if line is None]
        many.delete(self.connection, "work", "row", gone)
        many.insert(self.connection, "receipts", _RECEIPT_COLUMNS, self._receipts)
        self._flush_counters()
        self._changed, self._lines, self._worked, self._receipts = {}, {}, {}, []

    def _flush_counters(self) -> None:
        counted = [(name, self.counters[name]) for name in sorted(self._counted)]
        many.insert(
            self.connection,
            "counters",
            ("name", "value", "crc"),
            [(name, value, crc_of(name, value)) for name, value in counted],
            update=("value", "crc"),
        )
        self._counted.clear()
        if self.head is not self._saved_head:
            self.connection.execute(
                sql.SET_HEAD,
                (*self.head, chain.seal(self.key, self.head)),
            )
            self._saved_head = self.head

    def select(self, statement: str, values: Sequence[Column] = ()) -> list[tuple[Column, ...]]:
        """Lines from the tables, after what was changed has reached them.

        Raises:
            sqlite3.Error: It failed.
        """
        self.flush()
        with contextlib.closing(self.connection.execute(statement, values)) as lines:
            return lines.fetchall()


def is_begun(one: Found) -> bool:
    """Whether a queued row has been claimed before."""
    return one.record.state == State.QUEUED and one.work is not None


def head_of(connection: sqlite3.Connection, key: bytes) -> chain.Head:
    """The end of the chain, proved by its seal and by the last receipt.

    Raises:
        LedgerCorruptError: It is not as it was written.
    """
    line = connection.execute(sql.HEAD).fetchone()
    if line is None:
        raise LedgerCorruptError("the end of the receipts' chain is missing; restore a copy")
    if line[4] != chain.name_of(key):
        raise LedgerCorruptError(
            "the ledger's key is not the one it was made with; restore it from a copy"
        )
    head = chain.Head(*line[:3])
    last = connection.execute(sql.LAST_LINK).fetchone()
    if not chain.is_sealed(key, head, line[3]) or (last or (0, chain.FIRST)) != (head.seq, head.link):
        raise LedgerCorruptError(
            "the receipts do not end where they ended; run `batch verify`, and restore a copy"
        )
    return head


def counters_of(connection: sqlite3.Connection) -> dict[str, int]:
    """All counters.

    Raises:
        LedgerCorruptError: One is not as it was written.
    """
    counters: dict[str, int] = {}
    for name, value, crc in connection.execute(sql.COUNTERS):
        if crc != crc_of(name, value):
            raise LedgerCorruptError(
                "a counter of the ledger is not as it was written; restore the ledger from a copy"
            )
        counters[name] = value
    return counters
