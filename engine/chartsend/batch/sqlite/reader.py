"""`SqliteReader`: what anybody may read of a ledger while a batch runs.

The one rule: every call is a snapshot of its own, and what goes through many rows takes them in parts,
a snapshot each, so that a slow reader never makes the log grow.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from ...errors import LedgerCorruptError
from ..row import PENDING, State
from . import chain, failures, keys, mark, place as places, reading, sql
from .proof import prove
from .records import crc_of, found
from .store import OWN_SUMS, STATE_NAMES, SUM, counters_of, head_of

if TYPE_CHECKING:
    import os
    import sqlite3
    from collections.abc import Callable, Iterator, Sequence
    from typing import Self

    from ..row import Claimed, RowReceipt
    from .place import Place
    from .records import Column

_T = TypeVar("_T")
_Line = tuple["Column", ...]

_PART: Final = 500
_ALWAYS_WORKED: Final = (PENDING - {State.QUEUED}) | {State.IN_DOUBT}


class SqliteReader:
    """Reads a ledger, in one thread at a time. Made by `open`; see `batch.ledger.LedgerReader`."""

    def __init__(self, place: Place, connection: sqlite3.Connection, key: bytes) -> None:
        self._place = place
        self._connection = connection
        self._key = key

    @classmethod
    def open(cls, directory: str | os.PathLike[str]) -> Self:
        """Open a ledger for reading; it may be in use, finished, or left behind by a crash.

        Raises:
            LedgerCorruptError: It is damaged, empty, or no ledger at all.
            LedgerError: There is none, or another version of chartsend made it.
            InsecureConfigError: Somebody else could have changed it.
        """
        with failures.told("reading the ledger"):
            place = places.find(Path(directory).absolute())
            key = keys.read_key(place.key)
            return cls(place, reading.connect(place), key)

    def facts(self) -> dict[str, str]:
        """The facts that were noted."""
        return self._read(_facts)

    def counts(self) -> dict[State, int]:
        """Rows by state."""
        counters = self._read(counters_of)
        return {state: counters.get(STATE_NAMES[state], 0) for state in State}

    def totals(self) -> dict[str, int]:
        """What was counted."""
        counters = self._read(counters_of)
        sums = {
            name.removeprefix(SUM): value for name, value in counters.items() if name.startswith(SUM)
        }
        return dict.fromkeys(OWN_SUMS, 0) | sums

    def by_route(self) -> dict[int, tuple[int, int]]:
        """Rows that were not rejected, by route: how many, and their bytes."""
        lines = self._select(sql.BY_ROUTE)
        return {int(str(route)): (int(str(count)), int(str(size))) for route, count, size in lines}

    def rows_up_to(self, limits_bytes: Sequence[int], routes: frozenset[int]) -> dict[int, int]:
        """How many rows of these routes are at most so large, by limit."""
        sums = ", ".join("COALESCE(SUM(size_bytes <= ?), 0)" for _ in limits_bytes)
        marks = ", ".join("?" for _ in routes)
        statement = f"SELECT {sums} FROM rows WHERE state <> ? AND route IN ({marks})"  # noqa: S608
        (line,) = self._select(statement, *limits_bytes, int(State.REJECTED), *sorted(routes))
        return {limit: int(str(count)) for limit, count in zip(limits_bytes, line, strict=True)}

    def rejects(self, after: int = 0) -> Iterator[tuple[int, str, str]]:
        """Rejected rows: row, error code, text."""
        return self._parts(sql.REJECTS_AFTER, after, _reject, lambda one: one[0])

    def rejects_by_code(self) -> dict[str, int]:
        """Rejected rows by error code."""
        lines = self._select(sql.REJECTS_BY_CODE)
        return {str(code): int(str(count)) for code, count in lines}

    def rows(self, state: State | None = None, after: int = 0) -> Iterator[Claimed]:
        """Rows in a state, or all."""
        made, number = _claimed, _number
        if state is None:
            return self._parts(sql.ROWS_AFTER, after, made, number)
        # Looked up where there are few; only what is waiting or settled is searched for.
        statement = sql.WORKED_IN_STATE if state in _ALWAYS_WORKED else sql.ROWS_IN_STATE
        return self._parts(statement, after, made, number, int(state))

    def settled(
        self, state: State | None = None, after: int = 0
    ) -> Iterator[tuple[Claimed, RowReceipt | None]]:
        """Rows in a state, or all, each with its last receipt."""
        if state is None:
            return self._parts(sql.SETTLED_AFTER, after, self._settled, _number_of_first)
        return self._parts(sql.SETTLED_IN_STATE, after, self._settled, _number_of_first, int(state))

    def _settled(self, line: _Line) -> tuple[Claimed, RowReceipt | None]:
        *columns, before = line
        split = len(columns) - len(chain.Entry._fields)
        claimed = found(columns[:split]).claimed()
        if columns[split] is None:
            return claimed, None
        entry = _entry(tuple(columns[split:]))
        self._check(before if isinstance(before, bytes) else chain.FIRST, entry)
        return claimed, _said(entry)

    def receipts(self, after: int = 0) -> Iterator[tuple[int, RowReceipt | None]]:
        """Receipts by their place in the chain, each proved; None for one that was purged."""
        before = self._link(after)
        for entry in self._parts(sql.ENTRIES_AFTER, after, _entry, lambda one: one.seq):
            self._check(before, entry)
            before = entry.link
            yield entry.seq, _said(entry)

    def slowest(self, limit: int) -> list[RowReceipt]:
        """The receipts that took longest."""
        entries = [_entry(line) for line in self._select(sql.SLOWEST, limit)]
        for entry in entries:
            self._check(self._link(entry.seq - 1), entry)
        return [receipt for entry in entries if (receipt := _said(entry)) is not None]

    def head(self) -> tuple[int, bytes]:
        """Number and link of the last receipt."""
        return self._read(lambda connection: _end(connection, self._key))

    def link(self, seq: int) -> bytes | None:
        """The link of one receipt."""
        if seq == 0:
            return chain.FIRST
        lines = self._select(sql.LINK, seq)
        return lines[0][0] if lines and isinstance(lines[0][0], bytes) else None

    def keyed(self, *parts: bytes, size_bytes: int) -> bytes:
        """A hash of the parts under the ledger's key."""
        return keys.keyed(self._key, parts, size_bytes)

    def verify(self) -> list[str]:
        """What is wrong with the ledger."""
        marked = mark.read(self._place.mark)  # before the snapshot, which can only know of more
        return self._read(lambda connection: prove(connection, self._key, marked))

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T:
        with failures.told("reading the ledger"):
            return read(self._connection)

    def _select(self, statement: str, *values: Column) -> list[_Line]:
        def read(connection: sqlite3.Connection) -> list[_Line]:
            with closing(connection.execute(statement, values)) as lines:
                return lines.fetchall()

        return self._read(read)

    def _parts(
        self,
        statement: str,
        after: int,
        made: Callable[[_Line], _T],
        number: Callable[[_T], int],
        *values: Column,
    ) -> Iterator[_T]:
        """Lines in order of their numbers, a part at a time."""
        while lines := self._select(statement, after, *values, _PART):
            for line in lines:
                one = made(line)
                after = number(one)
                yield one

    def _link(self, seq: int) -> bytes:
        link = self.link(seq)
        if link is None:
            raise _broken(seq)
        return link

    def _check(self, before: bytes, entry: chain.Entry) -> None:
        if not chain.is_linked(self._key, before, entry):
            raise _broken(entry.seq)


def _end(connection: sqlite3.Connection, key: bytes) -> tuple[int, bytes]:
    head = head_of(connection, key)
    return head.seq, head.link


def _facts(connection: sqlite3.Connection) -> dict[str, str]:
    facts: dict[str, str] = {}
    with closing(connection.execute(sql.FACTS)) as lines:
        for name, value, crc in lines:
            if crc != crc_of(name, value):
                raise LedgerCorruptError(
                    "a fact of the ledger is not as it was written; restore the ledger from a copy"
                )
            facts[name] = value
    return facts


def _claimed(line: _Line) -> Claimed:
    return found(line).claimed()


def _number(one: Claimed) -> int:
    return one.row


def _number_of_first(one: tuple[Claimed, object]) -> int:
    return one[0].row


def _reject(line: _Line) -> tuple[int, str, str]:
    row, code, text, crc = line
    if crc != crc_of(row, code, text) or not isinstance(row, int):
        raise LedgerCorruptError(
            f"why row {row!r} was rejected is not as it was written; restore the ledger from a copy"
        )
    return row, str(code), str(text)


def _entry(line: _Line) -> chain.Entry:
    return chain.Entry(*line)  # type: ignore[arg-type]  # its link proves it


def _said(entry: chain.Entry) -> RowReceipt | None:
    """What a receipt says; None when it was purged."""
    if entry.body is None:
        return None
    try:
        return chain.decode(entry.body)
    except msgspec.MsgspecError as exc:
        raise _broken(entry.seq) from exc


def _broken(seq: int) -> LedgerCorruptError:
    return LedgerCorruptError(
        f"receipt {seq} is not as it was written, or one before it is missing; run `batch verify`, and"
        " restore the ledger from a copy"
    )
