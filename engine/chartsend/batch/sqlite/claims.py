"""Who works on which row: taking over what a crash left, and claiming.

The one rule: what may be in a chart is never claimed, whatever the tables say in one place: a row's own
checksum, the work on it, and its receipts must agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ...errors import LedgerCorruptError
from ..row import CLAIMABLE, Claimed, Recovered, State
from . import chain, sql
from .records import Found, Work, damaged, found
from .steps import end, let_go, receipt_of, resting
from .store import BEGUN, SUM

if TYPE_CHECKING:
    from .records import Column
    from .store import Store


def take_over(store: Store, owner: str, now_ms: int) -> Recovered:
    """Make rows that somebody else had claimed ours to go on with."""
    total = Recovered()
    while lines := store.select(sql.OWNED_BY_OTHERS, (owner,)):
        for one in [found(line) for line in lines]:
            total = _recovered(store, one, total, now_ms)
    return total


def _recovered(store: Store, one: Found, total: Recovered, now_ms: int) -> Recovered:
    work = one.work or Work(one.record.row)
    if one.state is State.REFERENCING:
        doubt = receipt_of(one, "in_doubt", now_ms)
        end(
            store,
            one,
            msgspec.structs.replace(
                doubt,
                error_code="outcome_unknown",
                error="the run ended before the answer to a whole message was known",
            ),
        )
        return msgspec.structs.replace(total, in_doubt=total.in_doubt + 1)
    if one.state is State.UPLOADING:
        store.add(f"{SUM}orphans", 1)
        let_go(store, one, work._replace(orphans=work.orphans + 1))
        return msgspec.structs.replace(total, orphans=total.orphans + 1)
    if one.state not in CLAIMABLE:
        raise damaged(one.record.row)
    let_go(store, one, work)
    return msgspec.structs.replace(total, released=total.released + 1)


def claim(store: Store, owner: str, limit: int, now_ms: int) -> list[Claimed]:
    """Rows that nobody has: first those that were begun and may go on, then new ones by number."""
    begun = [_claimable(line) for line in store.select(sql.WAITING, (now_ms, limit))]
    fresh = _fresh(store, limit - len(begun)) if len(begun) < limit else []
    claimed = [_claim(store, one, owner, now_ms) for one in (*begun, *fresh)]
    if fresh:
        store.cursor = fresh[-1].record.row
    return claimed


def _fresh(store: Store, limit: int) -> list[Found]:
    """Rows never begun, from where the last claim ended; so what is done is not read again."""
    lines = store.select(sql.FRESH, (store.cursor, limit))
    if not lines and store.in_state(State.QUEUED) > (begun := store.counters.get(BEGUN, 0)):
        # Somewhere behind us a row waits that nobody has: better slow than forgotten.
        lines = store.select(sql.FRESH, (0, limit))
        if not lines:
            missing = store.in_state(State.QUEUED) - begun
            raise LedgerCorruptError(
                f"rows that wait to be sent cannot be found in the ledger ({missing}); run"
                " `batch verify`, and restore the ledger from a copy"
            )
    return [_claimable(line) for line in lines]


def _claimable(line: tuple[Column, ...]) -> Found:
    """A row that may be claimed: everything that the ledger holds of it says so.

    Raises:
        LedgerCorruptError: Something does not.
    """
    is_accepted, last, *columns = line
    one = found(columns)
    was_asked = one.work is not None and one.work.maybe_duplicate > 0
    in_doubt = last == chain.STATUS["in_doubt"] and not was_asked
    if one.state not in CLAIMABLE or is_accepted or in_doubt:
        raise damaged(one.record.row)
    if one.work is not None and one.work.owner is not None:
        raise damaged(one.record.row)
    return one


def _claim(store: Store, one: Found, owner: str, now_ms: int) -> Claimed:
    work = one.work or Work(one.record.row)
    work = work._replace(owner=owner, next_try_ms=None, first_tried_ms=work.first_tried_ms or now_ms)
    return store.put(one, resting(work), work).claimed()


def next_try_ms(store: Store) -> int | None:
    """When the first waiting row's next try is."""
    value = store.select(sql.NEXT_TRY)[0][0]
    return None if value is None else int(value)
