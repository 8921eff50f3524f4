# ruff: noqa: S608  # nothing but constants is put together here
"""The statements.

The one rule: a statement is made of constants of this package; values are bound, always.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from ..row import PENDING, State
from .chain import STATUS, Entry
from .records import FOUND_COLUMNS

_ACCEPTED: Final = STATUS["accepted"]
_ENTRY: Final = ", ".join(Entry._fields)
_JOINED: Final = "FROM rows LEFT JOIN work ON work.row = rows.row"

# -- rows by number ---------------------------------------------------------------------------------

ROW: Final = f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.row = ?"
ROWS: Final = f"SELECT {FOUND_COLUMNS} {_JOINED} ORDER BY rows.row"
ROWS_AFTER: Final = f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.row > ? ORDER BY rows.row LIMIT ?"
ROWS_BETWEEN: Final = (
    f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.row BETWEEN ? AND ? ORDER BY rows.row"
)
ROWS_IN_STATE: Final = (
    f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.row > ? AND rows.state = ? ORDER BY rows.row LIMIT ?"
)
WORKED_IN_STATE: Final = (
    f"SELECT {FOUND_COLUMNS} FROM work JOIN rows ON rows.row = work.row"
    " WHERE work.row > ? AND rows.state = ? ORDER BY work.row LIMIT ?"
)
UNPLANNED_WORK: Final = "SELECT row FROM work WHERE row NOT IN (SELECT row FROM rows)"
BY_ROUTE: Final = (
    f"SELECT route, count(*), sum(size_bytes) FROM rows WHERE state <> {int(State.REJECTED)}"
    " GROUP BY route ORDER BY route"
)


@cache
def rows_by_number(count: int) -> str:
    """Those of `count` rows that are there."""
    return f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.row IN ({_marks(count)})"


# -- claims -----------------------------------------------------------------------------------------

_SETTLED: Final = (
    f"EXISTS (SELECT 1 FROM receipts WHERE row = rows.row AND status = {_ACCEPTED}),"
    " (SELECT status FROM receipts INDEXED BY receipts_other"
    f" WHERE row = rows.row AND status <> {_ACCEPTED} ORDER BY seq DESC LIMIT 1)"
)
"""What the receipts say of a row: whether one accepts it, and the status of the last other one."""
WAITING: Final = (
    f"SELECT {_SETTLED}, {FOUND_COLUMNS} FROM work INDEXED BY work_waiting"
    " LEFT JOIN rows ON rows.row = work.row"
    " WHERE work.next_try_ms IS NOT NULL AND work.next_try_ms <= ?"
    " ORDER BY work.next_try_ms, work.row LIMIT ?"
)
FRESH: Final = (
    f"SELECT {_SETTLED}, {FOUND_COLUMNS} {_JOINED}"
    f" WHERE rows.row > ? AND rows.state = {int(State.QUEUED)} AND work.row IS NULL"
    " ORDER BY rows.row LIMIT ?"
)
OWNED_BY_OTHERS: Final = (
    f"SELECT {FOUND_COLUMNS} FROM work INDEXED BY work_owned LEFT JOIN rows ON rows.row = work.row"
    " WHERE work.owner IS NOT NULL AND work.owner <> ? LIMIT 1000"
)
NEXT_TRY: Final = "SELECT min(next_try_ms) FROM work WHERE next_try_ms > 0"

# -- identities -------------------------------------------------------------------------------------

IDENTITY_INDEX_NAME: Final = "rows_identity"
IDENTITY_INDEX: Final = f"CREATE INDEX {IDENTITY_INDEX_NAME} ON rows (identity)"
"""Made when the first plan is whole: sorted at once, it is dense and quick to make."""
HAS_IDENTITY_INDEX: Final = f"SELECT count(*) FROM sqlite_master WHERE name = '{IDENTITY_INDEX_NAME}'"
SHARED_IDENTITIES: Final = (
    f"SELECT identity FROM rows INDEXED BY {IDENTITY_INDEX_NAME} WHERE identity > ?"
    " GROUP BY identity HAVING count(*) > 1 ORDER BY identity LIMIT ?"
)
IDENTITIES: Final = (
    f"SELECT DISTINCT identity FROM rows INDEXED BY {IDENTITY_INDEX_NAME} WHERE identity > ?"
    " ORDER BY identity LIMIT ?"
)
_IS_FRESH: Final = f"(rows.state = {int(State.QUEUED)} AND work.row IS NULL)"
"""Whether a row was never claimed."""
_IS_UNSENT: Final = (
    f"(rows.state IN ({int(State.QUEUED)}, {int(State.UPLOADED)}, {int(State.RETRY_AT)})"
    " AND (work.row IS NULL OR (work.owner IS NULL AND work.maybe_duplicate = 0)))"
)
"""Whether provably nothing of a row is in a chart, and nobody has it."""
KEPT_OF_IDENTITY: Final = (
    f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.identity = ? AND rows.state <> {int(State.REJECTED)}"
    f" ORDER BY {_IS_FRESH}, rows.row LIMIT 1"
)
_OF_IDENTITY: Final = (
    f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.identity = ? AND rows.row > ? AND rows.row <> ?"
)
FRESH_OF_IDENTITY: Final = f"{_OF_IDENTITY} AND {_IS_FRESH} ORDER BY rows.row LIMIT ?"
UNSENT_OF_IDENTITY: Final = f"{_OF_IDENTITY} AND {_IS_UNSENT} ORDER BY rows.row LIMIT ?"
ROWS_WITH_IDENTITY: Final = f"SELECT {FOUND_COLUMNS} {_JOINED} WHERE rows.identity = ? ORDER BY rows.row"


def present_identities(count: int) -> str:
    """Those of `count` identities that rows have."""
    return f"SELECT DISTINCT identity FROM rows WHERE identity IN ({_marks(count)})"


# -- receipts ---------------------------------------------------------------------------------------

ENTRIES: Final = f"SELECT {_ENTRY} FROM receipts ORDER BY seq"
ENTRIES_AFTER: Final = f"SELECT {_ENTRY} FROM receipts WHERE seq > ? ORDER BY seq LIMIT ?"
SLOWEST: Final = (
    f"SELECT {_ENTRY} FROM receipts WHERE body IS NOT NULL ORDER BY milliseconds DESC, seq LIMIT ?"
)
LINK: Final = "SELECT link FROM receipts WHERE seq = ?"
LAST_LINK: Final = "SELECT seq, link FROM receipts ORDER BY seq DESC LIMIT 1"
ENTRIES_BY_ROW: Final = (
    f"SELECT row, seq, status FROM receipts INDEXED BY receipts_accepted WHERE status = {_ACCEPTED}"
    " UNION ALL"
    f" SELECT row, seq, status FROM receipts INDEXED BY receipts_other WHERE status <> {_ACCEPTED}"
    " ORDER BY 1, 2"
)
_OPEN_STATES: Final = ", ".join(str(int(state)) for state in sorted({*PENDING, State.IN_DOUBT}))
FULL_ENTRIES: Final = (
    "SELECT seq, body FROM receipts WHERE seq > ? AND body IS NOT NULL AND NOT EXISTS"
    f" (SELECT 1 FROM rows WHERE rows.row = receipts.row AND rows.state IN ({_OPEN_STATES}))"
    " ORDER BY seq LIMIT ?"
)
"""Receipts that say something still, but those of rows about which somebody has to decide."""
EMPTY_ENTRY: Final = "UPDATE receipts SET body = NULL, digest = ? WHERE seq = ?"

# An accepted receipt is its row's last one: nothing is sent after it.
_LAST: Final = (
    "coalesce((SELECT seq FROM receipts INDEXED BY receipts_accepted"
    f" WHERE row = rows.row AND status = {_ACCEPTED}),"
    " (SELECT max(seq) FROM receipts INDEXED BY receipts_other"
    f" WHERE row = rows.row AND status <> {_ACCEPTED}))"
)
_SETTLED_ROWS: Final = (
    f"SELECT {FOUND_COLUMNS}, {', '.join(f'last.{name}' for name in Entry._fields)},"
    " (SELECT link FROM receipts WHERE seq = last.seq - 1)"
    f" {_JOINED} LEFT JOIN receipts AS last ON last.seq = {_LAST} WHERE rows.row > ?"
)
SETTLED_AFTER: Final = f"{_SETTLED_ROWS} ORDER BY rows.row LIMIT ?"
"""Rows, the last receipt of each, and the link before that one."""
SETTLED_IN_STATE: Final = f"{_SETTLED_ROWS} AND rows.state = ? ORDER BY rows.row LIMIT ?"

# -- the rest ---------------------------------------------------------------------------------------

HEAD: Final = "SELECT seq, purged, link, seal, key_name FROM head"
NEW_HEAD: Final = "INSERT INTO head VALUES (1, ?, ?, ?, ?, ?)"
SET_HEAD: Final = "UPDATE head SET seq = ?, purged = ?, link = ?, seal = ?"
COUNTERS: Final = "SELECT name, value, crc FROM counters"
FACTS: Final = "SELECT name, value, crc FROM facts"
REJECTS: Final = "SELECT row, code, text, crc FROM rejects ORDER BY row"
REJECTS_AFTER: Final = "SELECT row, code, text, crc FROM rejects WHERE row > ? ORDER BY row LIMIT ?"
REJECTS_BY_CODE: Final = "SELECT code, count(*) FROM rejects GROUP BY code ORDER BY code"
_REJECTED: Final = f"SELECT row FROM rows WHERE state = {int(State.REJECTED)}"
UNMATCHED_REJECTS: Final = (
    f"SELECT row FROM (SELECT row FROM rejects EXCEPT {_REJECTED})"
    f" UNION ALL SELECT row FROM ({_REJECTED} EXCEPT SELECT row FROM rejects)"
)


@cache
def insertion(table: str, columns: tuple[str, ...], update: tuple[str, ...], count: int) -> str:
    """Insert `count` lines; where one is there already, set the columns of `update`.

    Args:
        table: Its name.
        columns: Of the lines; the first is the primary key.
        update: Empty: a line that is there already is an error.
        count: How many lines.
    """
    one = f"({_marks(len(columns))})"
    sql = f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([one] * count)}"
    if update:
        changes = ", ".join(f"{name} = excluded.{name}" for name in update)
        sql += f" ON CONFLICT ({columns[0]}) DO UPDATE SET {changes}"
    return sql


def deletion(table: str, key: str, count: int) -> str:
    """Delete the lines with `count` keys."""
    return f"DELETE FROM {table} WHERE {key} IN ({_marks(count)})"


def _marks(count: int) -> str:
    return ", ".join("?" * count)
