"""Rows one by one: what became of each, and why.

The one rule: one row at a time, however many there are.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

import msgspec

from ..errors import (
    ApplicationError,
    ProtocolError,
    ResponseTooLargeError,
    TransferError,
    UnsafeLocationError,
)
from ..transport.verdicts import RULES
from .row import ROUTES, State
from .standing import CUT_OFF, CUT_OFF_CODE, Word, is_cut_off, states_of, word_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .ledger import LedgerReader
    from .naming import Names
    from .row import Claimed, RowReceipt

_BY_CONTENT: Final[tuple[type[TransferError], ...]] = (
    ApplicationError,
    ProtocolError,
    ResponseTooLargeError,
    UnsafeLocationError,
)
_ANSWERED: Final = frozenset(kind.code for kind in (*(rule.error for rule in RULES), *_BY_CONTENT))
"""Failures that an answer of the server decided; the others were given up without one."""
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
        sent_at: When its message was sent, or its file before it, Unix seconds; only of rows in doubt.
        settled_at: When its outcome was noted, Unix seconds; None before. Of a row in doubt that a
            killed run left behind, it is when it was found.
        maybe_duplicate: How often a message of unknown outcome was knowingly sent again: if it is not
            0, the document may be in the chart twice.
        orphans: Uploads that nothing refers to.
        decided_by: `answer`, `query` or `person`; None while in doubt, and where it was given up
            without an answer.
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
    sent_at: float | None = None
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
    reader: LedgerReader,
    names: Names,
    word: Word | None = None,
    after: int = 0,
    *,
    is_running: bool = False,
) -> Iterator[Listed]:
    """Rows in order, each with what is known of it. Blocks as it goes.

    Args:
        reader: Of the ledger.
        names: Of the rows.
        word: Only rows in this state; None for all.
        after: Only rows above this number.
        is_running: Whether a process works with the ledger now, and waits for answers.

    Raises:
        LedgerError: The ledger cannot be read, or is damaged.
    """
    reasons = _Reasons(reader, after)
    for claimed, receipt in _settled(reader, word, after, is_running=is_running):
        why = reasons.of(claimed.row) if claimed.state is State.REJECTED else None
        listed = _listed(claimed, why, names, word_of(claimed.state, is_running=is_running))
        if is_cut_off(claimed.state, is_running=is_running):
            yield _cut_off(listed)
        # A row that is sent again, or was planned again, is no longer what its last receipt says.
        elif receipt is None or claimed.state not in _STATUS_OF:
            yield msgspec.structs.replace(listed, is_purged=claimed.state in _STATUS_OF)
        else:
            yield _with(listed, receipt)


def _settled(
    reader: LedgerReader, word: Word | None, after: int, *, is_running: bool
) -> Iterator[tuple[Claimed, RowReceipt | None]]:
    if word is None:
        yield from reader.settled(None, after)
        return
    states = states_of(word, is_running=is_running)
    some = [reader.settled(state, after) for state in states]
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


def _listed(claimed: Claimed, why: tuple[str, str] | None, names: Names, word: Word) -> Listed:
    """What rows and manifest say, receipts apart."""
    named = names.of(claimed)
    state = claimed.state
    return Listed(
        row=claimed.row,
        state=word,
        step=state.name.lower(),
        status=_STATUS_OF.get(state),
        error_code=why[0] if why else None,
        error=why[1] if why else None,
        bytes=None if state is State.REJECTED else claimed.size_bytes,
        sha256=None if claimed.sha256 is None else claimed.sha256.hex(),
        **_route(claimed.route),
        reference_url=claimed.reference_url,
        attempts=claimed.attempts,
        sent_at=_sent_at(claimed) if word == "in_doubt" else None,
        maybe_duplicate=claimed.maybe_duplicate,
        orphans=claimed.orphans,
        document_id=named.document_id,
        source=named.source,
        to=named.to,
    )


def _route(number: int) -> dict[str, Any]:
    """The route of a number in the ledger, as fields; none for a row that has none."""
    if not 0 <= number < len(ROUTES):
        return {}
    route = ROUTES[number]
    return {"api": route.api, "method": route.method, "model": route.model}


def _sent_at(claimed: Claimed) -> float | None:
    """When the last thing was sent that the ledger knows of; a message keeps its first time."""
    known = [ms for ms in (claimed.message_ms, claimed.uploaded_ms) if ms is not None]
    return max(known) / 1000 if known else None


def _cut_off(listed: Listed) -> Listed:
    """A row that nobody waits for any more, as its receipt will say it."""
    return msgspec.structs.replace(
        listed, status=_STATUS_OF[State.IN_DOUBT], error_code=CUT_OFF_CODE, error=CUT_OFF
    )


def _decided_by(receipt: RowReceipt) -> str | None:
    """Who decided what a receipt says; the ledger has `answer` also where there was none."""
    if receipt.status == "in_doubt":
        return None
    is_unanswered = receipt.status == "failed" and receipt.error_code not in _ANSWERED
    return None if is_unanswered and receipt.decided_by == "answer" else receipt.decided_by


def _with(listed: Listed, receipt: RowReceipt) -> Listed:
    return msgspec.structs.replace(
        listed,
        **_route(receipt.route),
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
        decided_by=_decided_by(receipt),
    )
