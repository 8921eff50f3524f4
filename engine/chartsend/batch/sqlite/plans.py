"""Rows as they are planned, planned again, and rejected.

The one rule: a row that was sent, or may have been, keeps what it was planned as, whatever becomes of
the manifest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import DuplicateIdError, LostRowError
from ..row import Known, State
from . import many, sql
from .records import NO_IDENTITY, RECORD_COLUMNS, Found, Record, crc_of, crc_of_record, found
from .schema import has_identity_index
from .store import BEGUN, SUM, is_begun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..row import Planned
    from .store import Store

_COLUMNS: Final = (*RECORD_COLUMNS, "crc")
_UNSENT: Final = frozenset({State.QUEUED, State.UPLOADED, State.RETRY_AT})
"""States of a row of which provably nothing is in a chart, and which may still be sent."""
PART: Final = 2000
"""Rows that are looked at in one step, so that others can be made in between."""


def known(store: Store, first: int, last: int) -> dict[int, Known]:
    """What the ledger holds of rows by number."""
    return {
        one.record.row: Known(one.state, one.record.content, one.record.offset)
        for one in map(found, store.select(sql.ROWS_BETWEEN, (first, last)))
    }


def plan(store: Store, rows: Sequence[Planned], facts: Mapping[str, str | None]) -> None:
    """Insert rows, or replace plans."""
    planned = {one.row: one for one in rows}
    if len(planned) != len(rows):
        raise ValueError("a row was planned twice at once")
    held = _held(store, sorted(planned))
    replaced = [one for one in rows if one.row not in held or _is_replaceable(held[one.row], one)]
    kept = planned.keys() - {one.row for one in replaced}
    for row in sorted(kept):
        _refuse_change(held[row], planned[row])
    lines = [(*record, crc_of_record(record)) for record in map(_record, replaced)]
    crc_of(*facts, *facts.values(), *(one.error for one in replaced))  # text that cannot be written
    # Nothing was changed so far; from here on, nothing is refused.
    for row in kept:
        if held[row].record.offset != planned[row].offset:
            store.move(held[row], planned[row].offset)
    _replace(store, replaced, held)
    many.insert(store.connection, "rows", _COLUMNS, lines, update=_COLUMNS[1:])
    store.note(facts)


def _held(store: Store, numbers: Sequence[int]) -> dict[int, Found]:
    """Those of the rows that are there, by number."""
    lines = (
        line
        for part in many.padded(numbers)
        for line in store.select(sql.rows_by_number(len(part)), part)
    )
    return {one.record.row: one for one in map(found, lines)}


def _refuse_change(old: Found, new: Planned) -> None:
    if old.record.content != new.content:
        raise LostRowError(
            f"row {new.row} was changed in the manifest after it was sent, or while it is being sent;"
            " restore it there, and add what is new as a row of its own"
        )


def _replace(store: Store, replaced: Sequence[Planned], held: Mapping[int, Found]) -> None:
    """Count rows anew, say why some are rejected, and let those that wait be found by a claim."""
    for old in (held[one.row] for one in replaced if one.row in held):
        store.count_state(old.state, -1)
        store.add(BEGUN, -is_begun(old))
        _count_upload(store, old)
    gone = [one.row for one in replaced if one.row in held]
    many.delete(store.connection, "work", "row", gone)
    many.delete(store.connection, "rejects", "row", gone)
    store.reject(
        (one.row, one.error_code, one.error or "") for one in replaced if one.error_code is not None
    )
    for one in replaced:
        store.count_state(State.QUEUED if one.error_code is None else State.REJECTED, 1)
    first = min((one.row for one in replaced if one.error_code is None), default=None)
    if first is not None and first <= store.cursor:
        store.cursor = first - 1


def _is_replaceable(old: Found, new: Planned) -> bool:
    """Whether nothing of a row can be in a chart, nobody works on it, and nothing is lost with it."""
    if old.state is State.REJECTED:
        return True
    is_another = old.record.content != new.content
    if old.state not in (_UNSENT if is_another else {State.QUEUED}) | {State.FAILED}:
        return False
    return old.work is None or (old.work.owner is None and not old.work.maybe_duplicate)


def _count_upload(store: Store, gone: Found) -> None:
    """A file that was uploaded for a row, and that nothing will refer to."""
    store.add(f"{SUM}orphans", int(gone.work is not None and gone.work.reference_url is not None))


def _record(one: Planned) -> Record:
    state = State.QUEUED if one.error_code is None else State.REJECTED
    return Record(
        row=one.row,
        state=int(state),
        offset=one.offset,
        identity=one.identity,
        content=one.content,
        size_bytes=one.size_bytes,
        mtime_ns=one.mtime_ns,
        route=one.route,
    )


def make_index(store: Store) -> None:
    """Index identities, once."""
    store.flush()
    if not has_identity_index(store.connection):
        store.changes += 1
        store.connection.execute(sql.IDENTITY_INDEX)


def reject_duplicates(store: Store, after: bytes) -> tuple[int, bytes | None]:
    """Reject rows of the next identities that several rows have; how many, and where to go on."""
    lines = store.select(sql.SHARED_IDENTITIES, (after, PART))
    shared = [line[0] for line in lines if isinstance(line[0], bytes)]
    return sum(_reject_same(store, identity) for identity in shared), shared[-1] if shared else None


def _reject_same(store: Store, identity: bytes) -> int:
    """Keep the row that was worked on, or else the first; reject the others that never were."""
    lines = store.select(sql.KEPT_OF_IDENTITY, (identity,))
    if not lines:
        return 0
    kept = found(lines[0]).record.row
    text = f"the same document for the same receiver as row {kept}"
    return _reject(
        store, sql.FRESH_OF_IDENTITY, identity, but=kept, code=DuplicateIdError.code, text=text
    )


def reject_unsent(store: Store, identity: bytes, *, code: str, text: str) -> int:
    """Reject the rows of an identity that nobody has and that cannot be in a chart; how many."""
    return _reject(store, sql.UNSENT_OF_IDENTITY, identity, but=0, code=code, text=text)


def _reject(store: Store, statement: str, identity: bytes, *, but: int, code: str, text: str) -> int:
    count, after = 0, 0
    while lines := store.select(statement, (identity, after, but, PART)):
        some = [found(line) for line in lines]
        for one in some:
            _count_upload(store, one)
            store.put(one, State.REJECTED, None)
        store.reject((one.record.row, code, text) for one in some)
        count, after = count + len(some), some[-1].record.row
    return count


def plan_again(store: Store, state: State, after: int) -> tuple[int, int | None]:
    """Make the next rows of a state unplanned; how many, and where to go on."""
    lines = [found(line) for line in store.select(sql.ROWS_IN_STATE, (after, int(state), PART))]
    # One that has work left on it may be in the chart: it is sent again knowingly, or not at all.
    gone = [one for one in lines if one.work is None]
    for one in gone:
        store.count_state(one.state, -1)
    numbers = [one.record.row for one in gone]
    many.delete(store.connection, "rows", "row", numbers)
    many.delete(store.connection, "rejects", "row", numbers)
    return len(gone), lines[-1].record.row if lines else None


FIRST_IDENTITY: Final = NO_IDENTITY
"""Rows without an identity have this one; they are never duplicates."""
