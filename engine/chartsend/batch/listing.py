"""Rows one by one: what became of each, and why.

The one rule: one row at a time, however many there are.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from .row import PENDING, ROUTES, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ledger import LedgerReader
    from .naming import Names
    from .row import Claimed, RowReceipt

Word = Literal["done", "failed", "in_doubt", "rejected", "pending"]
WORDS: Final[tuple[Word, ...]] = ("done", "failed", "in_doubt", "rejected", "pending")
"""A row's state in the words for people; `pending` stands for five of the ledger's."""

WORD_OF: Final[dict[State, Word]] = {
    State.DONE: "done",
    State.FAILED: "failed",
    State.IN_DOUBT: "in_doubt",
    State.REJECTED: "rejected",
    **dict.fromkeys(PENDING, "pending"),
}
STATES_OF: Final[dict[Word, tuple[State, ...]]] = {
    word: tuple(state for state in State if WORD_OF[state] == word) for word in WORDS
}
_STATUS_OF: Final = {State.DONE: "accepted", State.FAILED: "failed", State.IN_DOUBT: "in_doubt"}


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One row, for the operator's own eyes.

    Attributes:
        row: Line number in the manifest.
        state: `done`, `failed`, `in_doubt`, `rejected` or `pending`.
        step: The ledger's own word for the state, such as `retry_at`.
        status: As in a receipt; None while there is none.
        error_code: Why it was not accepted.
        error: The same as a text.
        bytes: Raw size.
        sha256: Hex digest of the raw bytes that were sent.
        api: As in a receipt; so are the next two.
        reference_url: Of the uploaded file.
        log_ids: Redox's log ids.
        trace_id: Redox's trace id.
        resource_url: The FHIR resource that was made.
        attempts: HTTP requests made for it, tokens not counted.
        seconds: From its slot to its outcome.
        settled_at: When that was, Unix seconds; None before.
        maybe_duplicate: How often a message of unknown outcome was knowingly sent again.
        orphans: Uploads that nothing refers to.
        decided_by: `answer`, `query` or `person`; None while undecided.
        is_purged: What its receipt said was forgotten.
        document_id: From the manifest, or derived; None when it cannot be told.
        source: Path of the file, from the manifest; None when it cannot be told.
        to: The destination's name; None when it cannot be told.
    """

    row: int
    state: Word
    step: str
    status: str | None = None
    error_code: str | None = None
    error: str | None = None
    bytes: int | None = None
    sha256: str | None = None
    api: str | None = None
    method: str | None = None
    model: str | None = None
    reference_url: str | None = None
    log_ids: tuple[str, ...] = ()
    trace_id: str | None = None
    resource_url: str | None = None
    attempts: int = 0
    seconds: float | None = None
    settled_at: float | None = None
    maybe_duplicate: int = 0
    orphans: int = 0
    decided_by: str | None = None
    is_purged: bool = False
    document_id: str | None = None
    source: str | None = None
    to: str | None = None

    def __repr__(self) -> str:
        """Without the source's name and the document's id, which may identify a patient."""
        return f"<Listed row {self.row} {self.state}>"


def list_rows(
    reader: LedgerReader, names: Names, word: Word | None = None, after: int = 0
) -> Iterator[Listed]:
    """Rows in order, each with what is known of it. Blocks as it goes.

    Args:
        reader: Of the ledger.
        names: Of the rows.
        word: Only rows in this state; None for all.
        after: Only rows above this number.

    Raises:
        LedgerError: The ledger cannot be read, or is damaged.
    """
    reasons = _Reasons(reader, after)
    for claimed, receipt in _settled(reader, word, after):
        why = reasons.of(claimed.row) if claimed.state is State.REJECTED else None
        yield _listed(claimed, receipt, why, names)


def _settled(
    reader: LedgerReader, word: Word | None, after: int
) -> Iterator[tuple[Claimed, RowReceipt | None]]:
    if word is None:
        yield from reader.settled(None, after)
        return
    some = [reader.settled(state, after) for state in STATES_OF[word]]
    last = after
    for claimed, receipt in heapq.merge(*some, key=lambda one: one[0].row):
        if claimed.row > last:  # while a run goes on, a row may pass from one state to the next
            last = claimed.row
            yield claimed, receipt


class _Reasons:
    """Why rows were rejected, asked for in the order of their numbers."""

    def __init__(self, reader: LedgerReader, after: int) -> None:
        self._rejects = reader.rejects(after)
        self._next: tuple[int, str, str] | None = next(self._rejects, None)

    def of(self, row: int) -> tuple[str, str] | None:
        while self._next is not None and self._next[0] < row:
            self._next = next(self._rejects, None)
        if self._next is None or self._next[0] != row:
            return None
        return self._next[1:]


def _listed(
    claimed: Claimed, receipt: RowReceipt | None, why: tuple[str, str] | None, names: Names
) -> Listed:
    named = names.of(claimed)
    state = claimed.state
    number = claimed.route if receipt is None or receipt.route < 0 else receipt.route
    route = ROUTES[number] if 0 <= number < len(ROUTES) else None
    listed = Listed(
        row=claimed.row,
        state=WORD_OF[state],
        step=state.name.lower(),
        status=_STATUS_OF.get(state),
        error_code=why[0] if why else None,
        error=why[1] if why else None,
        bytes=None if state is State.REJECTED else claimed.size_bytes,
        sha256=None if claimed.sha256 is None else claimed.sha256.hex(),
        api=None if route is None else route.api,
        method=None if route is None else route.method,
        model=None if route is None else route.model,
        reference_url=claimed.reference_url,
        attempts=claimed.attempts,
        maybe_duplicate=claimed.maybe_duplicate,
        orphans=claimed.orphans,
        is_purged=receipt is None and state in _STATUS_OF,
        document_id=named.document_id,
        source=named.source,
        to=named.to,
    )
    # A row that is sent again, or was planned again, is no longer what its last receipt says.
    return listed if receipt is None or state not in _STATUS_OF else _with(listed, receipt)


def _with(listed: Listed, receipt: RowReceipt) -> Listed:
    return msgspec.structs.replace(
        listed,
        status=receipt.status,
        error_code=receipt.error_code,
        error=receipt.error,
        bytes=receipt.size_bytes,
        sha256=None if receipt.sha256 is None else receipt.sha256.hex(),
        reference_url=receipt.reference_url,
        log_ids=receipt.log_ids,
        trace_id=receipt.trace_id,
        resource_url=receipt.resource_url,
        attempts=receipt.attempts,
        seconds=receipt.milliseconds / 1000,
        settled_at=receipt.at_ms / 1000,
        maybe_duplicate=receipt.maybe_duplicate,
        orphans=receipt.orphans,
        decided_by=receipt.decided_by,
    )
