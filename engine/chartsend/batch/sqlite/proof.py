"""Proves a ledger: pages, checksums, counters, the chain of receipts, and that they agree.

The one rule: everything is read, in one snapshot, in memory that does not grow with the ledger; what
is wrong is told by row numbers, and looking goes on after the first finding.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from typing import TYPE_CHECKING, Final

from ...errors import LedgerCorruptError, LedgerError
from ..row import PENDING, State
from . import chain, mark, sql
from .records import Column, Found, crc_of, found
from .store import BEGUN, STATE_NAMES, SUM, counters_of, head_of, is_begun

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

MOST: Final = 200
"""Findings that are listed; a ledger that is all wrong says so with fewer."""


def prove(connection: sqlite3.Connection, key: bytes, marked: int) -> list[str]:
    """What is wrong; nothing when all is well.

    Args:
        connection: One that reads.
        key: Of the ledger.
        marked: How many commits were confirmed at least.
    """
    connection.execute("BEGIN")
    try:
        return _Proof(connection, key, marked).findings()
    finally:
        connection.execute("ROLLBACK")


class _Proof:
    def __init__(self, connection: sqlite3.Connection, key: bytes, marked: int) -> None:
        self._connection = connection
        self._key = key
        self._marked = marked
        self._findings: list[str] = []
        self._more = 0
        self._counted: Counter[str] = Counter()
        self._purged = 0

    def findings(self) -> list[str]:
        tables = (self._pages, self._rows, self._chain, self._head, self._rejects, self._facts)
        for part in (*tables, self._counters):
            self._look(part)
        return [*self._findings, *([f"and {self._more} more findings"] if self._more else [])]

    def _look(self, part: Callable[[], None]) -> None:
        try:
            part()
        except LedgerError as exc:
            self._say(exc.message)
        except Exception as exc:  # noqa: BLE001  # whatever damage makes of a table, it is a finding
            self._say(f"{part.__name__.strip('_')} cannot be read ({type(exc).__name__})")

    def _say(self, finding: str) -> None:
        if len(self._findings) < MOST:
            self._findings.append(finding)
        else:
            self._more += 1

    def _lines(self, statement: str) -> Iterator[tuple[Column, ...]]:
        with closing(self._connection.execute(statement)) as lines:
            yield from lines

    def _pages(self) -> None:
        for (text,) in self._lines(f"PRAGMA integrity_check({MOST})"):
            if text != "ok":
                self._say(f"a damaged page: {text!r}")

    def _rows(self) -> None:
        receipts = _LastReceipts(self._lines(sql.ENTRIES_BY_ROW))
        for line in self._lines(sql.ROWS):
            try:
                one = found(line)
            except LedgerCorruptError:
                self._say(f"row {line[0]!r} is not as it was written")
                continue
            self._counted[STATE_NAMES[one.state]] += 1
            self._counted[BEGUN] += is_begun(one)
            wrong = _contradiction(one, *receipts.of(one.record.row))
            if wrong:
                self._say(f"row {one.record.row} is {one.state.name.lower()}, but {wrong}")
        for (row,) in self._lines(sql.UNPLANNED_WORK):
            self._say(f"row {row!r} was worked on, but is not planned")

    def _chain(self) -> None:
        before, seq = chain.FIRST, 0
        for line in self._lines(sql.ENTRIES):
            entry = chain.Entry(*line)  # type: ignore[arg-type]  # its link proves it
            if entry.seq != seq + 1:
                self._say(f"receipts {seq + 1} to {entry.seq - 1} are missing")
            if not chain.is_linked(self._key, before, entry):
                self._say(f"receipt {entry.seq} is not as it was written, or stands in another's place")
            before, seq = entry.link, entry.seq
            self._purged += entry.body is None
            self._counted[f"{SUM}receipts"] = seq

    def _head(self) -> None:
        head = head_of(self._connection, self._key)
        if self._purged != head.purged:
            self._say(f"{self._purged} receipts say nothing any more, {head.purged} were purged")

    def _rejects(self) -> None:
        for row, code, text, crc in self._lines(sql.REJECTS):
            if crc != crc_of(row, code, text):
                self._say(f"why row {row!r} was rejected is not as it was written")
        for (row,) in self._lines(sql.UNMATCHED_REJECTS):
            self._say(f"row {row!r} is rejected without a reason, or has one without being rejected")

    def _facts(self) -> None:
        for name, value, crc in self._lines(sql.FACTS):
            if crc != crc_of(name, value):
                self._say("a fact about the batch is not as it was written")

    def _counters(self) -> None:
        counters = counters_of(self._connection)
        names = {name: f"{state.name.lower()} rows" for state, name in STATE_NAMES.items()}
        names |= {BEGUN: "queued rows that were begun", f"{SUM}receipts": "receipts"}
        for name, what in names.items():
            said, there_are = counters.get(name, 0), self._counted[name]
            if said != there_are:
                self._say(f"the counters say {said} {what}, there are {there_are}")
        mark.check(self._marked, counters)


class _LastReceipts:
    """What receipts say of each row, for rows in rising order."""

    def __init__(self, lines: Iterator[tuple[Column, ...]]) -> None:
        self._lines = lines
        self._next = next(lines, None)

    def of(self, row: int) -> tuple[int | None, bool]:
        """Status of a row's last receipt, and whether any of its receipts is an acceptance."""
        last, is_accepted = None, False
        while self._next is not None and isinstance(self._next[0], int) and self._next[0] <= row:
            if self._next[0] == row and isinstance(self._next[2], int):
                last = self._next[2]
                is_accepted = is_accepted or last == chain.STATUS["accepted"]
            self._next = next(self._lines, None)
        return last, is_accepted


def _contradiction(one: Found, last: int | None, is_accepted: bool) -> str | None:  # noqa: FBT001
    """Why a row's state cannot be what its receipts say; None when it can."""
    if one.state in {State.DONE, State.FAILED, State.IN_DOUBT}:
        says = None if last is None else chain.STATE_OF.get(last)
        return None if says is one.state else "its last receipt does not say so"
    if is_accepted:
        return "a receipt says that it was accepted"
    was_asked = one.work is not None and one.work.maybe_duplicate > 0
    if one.state in PENDING and last == chain.STATUS["in_doubt"] and not was_asked:
        return "its last receipt says that it is in doubt"
    return None
