"""The steps of one row from its claim to its settlement.

The one rule: a step is made only from a state in which it makes sense, and only for the owner that has
the row; otherwise it changes nothing and says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ...errors import LostRowError, SourceChangedError, Verdict
from ..row import PENDING, Claimed, RowReceipt, State
from ..totals import of_receipt
from .records import Found, Work
from .store import SUM

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet
    from typing import Literal

    from .store import Store

_STATE_OF: Final = {"accepted": State.DONE, "failed": State.FAILED, "in_doubt": State.IN_DOUBT}
_NOW: Final = 0
_UNDER_WAY: Final = PENDING - {State.RETRY_AT}


def uploading(store: Store, row: int, owner: str, *, attempts: int) -> None:
    """The intent to complete the file."""
    found, work = _owned(store, row, owner, _UNDER_WAY)
    store.put(
        found,
        State.UPLOADING,
        _one_orphan_more(store, found.state, work)._replace(
            attempts=attempts, reference_url=None, source_id=None, uploaded_ms=None
        ),
    )


def uploaded(  # noqa: PLR0913  # as the port
    store: Store,
    row: int,
    owner: str,
    *,
    reference_url: str,
    source_id: str | None,
    sha256: bytes | None,
    now_ms: int,
) -> None:
    """The file was accepted."""
    found, work = _owned(store, row, owner, {State.UPLOADING})
    _refuse_other_bytes(work, sha256)
    store.put(
        found,
        State.UPLOADED,
        work._replace(
            reference_url=reference_url,
            source_id=source_id,
            sha256=sha256 or work.sha256,
            uploaded_ms=now_ms,
        ),
    )


def referencing(  # noqa: PLR0913  # as the port
    store: Store,
    row: int,
    owner: str,
    *,
    attempts: int,
    sha256: bytes | None,
    message_hash: bytes,
    message_ms: int,
    embeds: bool,
) -> None:
    """The intent to complete the message."""
    found, work = _owned(store, row, owner, _UNDER_WAY)
    _refuse_other_bytes(work, sha256)
    if work.maybe_duplicate and work.message_hash not in {None, message_hash}:
        raise _another_message(row)
    if embeds and work.reference_url is not None:
        work = _one_orphan_more(store, found.state, work)._replace(
            reference_url=None, source_id=None, uploaded_ms=None, sha256=None
        )
    store.put(
        found,
        State.REFERENCING,
        work._replace(
            attempts=attempts,
            sha256=sha256 or work.sha256,
            message_hash=message_hash,
            message_ms=message_ms,
        ),
    )


def settle(store: Store, receipt: RowReceipt, owner: str) -> None:
    """The outcome of a row."""
    found, work = _owned(store, receipt.row, owner, PENDING)
    has_failed = receipt.status == "failed" and not work.maybe_duplicate
    receipt = msgspec.structs.replace(
        receipt,
        orphans=receipt.orphans + work.orphans + (has_failed and work.reference_url is not None),
        maybe_duplicate=max(receipt.maybe_duplicate, work.maybe_duplicate),
    )
    end(store, found, receipt)


def end(store: Store, found: Found, receipt: RowReceipt) -> None:
    """Append a row's receipt, and give the row the state that it says."""
    state = _STATE_OF[receipt.status]
    work = found.work or Work(found.record.row)
    store.append(receipt)
    for name, count in of_receipt(receipt).items():
        store.add(f"{SUM}{name}", count)
    store.add(f"{SUM}orphans", receipt.orphans - work.orphans)
    # Before it is sent again, or planned again, somebody must know that it may be in the chart.
    is_kept = state is State.IN_DOUBT or (state is State.FAILED and work.maybe_duplicate > 0)
    left = work._replace(
        owner=None,
        next_try_ms=None,
        attempts=receipt.attempts,
        orphans=receipt.orphans,
        error_code=receipt.error_code,
    )
    store.put(found, state, left if is_kept else None)


def retry_at(
    store: Store, row: int, owner: str, *, next_try_ms: int, attempts: int, error_code: str
) -> None:
    """The row waits for its next try."""
    found, work = _owned(store, row, owner, _UNDER_WAY)
    store.put(
        found,
        State.RETRY_AT,
        _one_orphan_more(store, found.state, work, keeps=True)._replace(
            owner=None,
            next_try_ms=max(1, next_try_ms),
            tries=work.tries + 1,
            attempts=attempts,
            error_code=error_code,
        ),
    )


def release(store: Store, row: int, owner: str, *, attempts: int) -> None:
    """The row is given back."""
    found, work = _owned(store, row, owner, _UNDER_WAY)
    work = _one_orphan_more(store, found.state, work, keeps=True)
    let_go(store, found, work._replace(attempts=attempts))


def let_go(store: Store, found: Found, work: Work) -> Found:
    """A row without an owner, to be claimed before those that were never begun."""
    return store.put(found, resting(work), work._replace(owner=None, next_try_ms=_NOW))


def resting(work: Work) -> State:
    """Where work goes on: with the message, when the file is at Redox already."""
    return State.QUEUED if work.reference_url is None else State.UPLOADED


def send_again(store: Store, row: int, owner: str | None, *, now_ms: int) -> Claimed | None:
    """Sanction that a message which may be in the chart is sent once more."""
    found = store.find(row)
    if found is None or found.work is None or found.state not in {State.IN_DOUBT, State.FAILED}:
        raise lost(row, found)
    work = found.work._replace(
        owner=owner,
        next_try_ms=_NOW if owner is None else None,
        maybe_duplicate=found.work.maybe_duplicate + 1,
        first_tried_ms=found.work.first_tried_ms or now_ms,
    )
    store.add(f"{SUM}maybe_duplicates", 1)
    after = store.put(found, resting(work), work)
    return None if owner is None else after.claimed()


def sent(store: Store, row: int, *, decided_by: Literal["query", "person"], now_ms: int) -> None:
    """A row in doubt was found at the receiver."""
    found = store.find(row)
    if found is None or found.work is None or found.state is not State.IN_DOUBT:
        raise lost(row, found)
    receipt = receipt_of(found, "accepted", now_ms)
    end(store, found, msgspec.structs.replace(receipt, decided_by=decided_by))


def receipt_of(found: Found, status: Literal["accepted", "in_doubt"], now_ms: int) -> RowReceipt:
    """A receipt made of nothing but what the ledger holds."""
    record, work = found.record, found.work or Work(found.record.row)
    return RowReceipt(
        row=record.row,
        status=status,
        at_ms=now_ms,
        route=record.route,
        size_bytes=record.size_bytes,
        attempts=work.attempts,
        sha256=work.sha256,
        reference_url=work.reference_url,
        maybe_duplicate=work.maybe_duplicate,
        orphans=work.orphans,
    )


def lost(row: int, found: Found | None) -> LostRowError:
    """The error for a step that is not this caller's to make."""
    if found is None:
        return LostRowError(f"row {row} is not in the ledger; plan it first")
    return LostRowError(
        f"row {row} is not ours in the state that this step needs (it is {found.state.name.lower()});"
        " leave it to its owner"
    )


def _owned(store: Store, row: int, owner: str, states: AbstractSet[State]) -> tuple[Found, Work]:
    found = store.find(row)
    if found is None or found.work is None or found.work.owner != owner or found.state not in states:
        raise lost(row, found)
    return found, found.work


def _one_orphan_more(store: Store, state: State, work: Work, *, keeps: bool = False) -> Work:
    """Whether an upload is left behind: one that may be whole, or one that is not used any more."""
    if state is State.UPLOADING or (work.reference_url is not None and not keeps):
        store.add(f"{SUM}orphans", 1)
        return work._replace(orphans=work.orphans + 1)
    return work


def _refuse_other_bytes(work: Work, sha256: bytes | None) -> None:
    if work.maybe_duplicate and work.sha256 is not None and sha256 not in {None, work.sha256}:
        raise _another_message(work.row)


def _another_message(row: int) -> SourceChangedError:
    return SourceChangedError(
        f"row {row} may be in the chart already, and its message or file differs from what was sent;"
        " it was not sent again. Restore what the row refers to, or plan it as a new document",
        verdict=Verdict.GIVE_UP,
    )
