"""A row of a batch as the ledger knows it: its state, its plan, its claim, its settlement, its receipt.

The one rule: nothing here can hold patient data. A row has a number (its line in the manifest), keyed
hashes, sizes, states and references; what is needed to send it again comes from the manifest.
"""

from __future__ import annotations

import enum
from typing import Final, Literal, NamedTuple

import msgspec

from ..document import API_OF, Api, Method, Model


class State(enum.IntEnum):
    """What is durably known of a row; the numbers stand in the ledger and never change meaning.

    They begin at 2: SQLite keeps 0 and 1 without a byte of their own, so a row would change its length
    with its state, and no longer fit into its page.
    """

    QUEUED = 2
    """Accepted. Also while it is claimed, checked, and partly sent: nothing whole has left."""
    UPLOADING = 3
    """Intent: its file may be whole at Redox; nothing in a chart refers to it."""
    UPLOADED = 4
    """Its file was accepted; the message is still to be sent."""
    REFERENCING = 5
    """Intent: its message may have been applied."""
    RETRY_AT = 6
    """Provably not applied; it waits for its next try."""
    DONE = 7
    """Its message was accepted. Final."""
    FAILED = 8
    """Given up after planning. Final for this run."""
    IN_DOUBT = 9
    """Its message may have been applied: a person or a query decides."""
    REJECTED = 10
    """Refused while planning. Nothing was ever sent for it."""


PENDING: Final = frozenset(
    {State.QUEUED, State.UPLOADING, State.UPLOADED, State.REFERENCING, State.RETRY_AT}
)
"""States of a row that is not settled yet."""
CLAIMABLE: Final = frozenset({State.QUEUED, State.UPLOADED, State.RETRY_AT})


class Route(NamedTuple):
    """Method and model; the API follows from the model."""

    method: Method
    model: Model

    @property
    def api(self) -> Api:
        """Which API carries it."""
        return API_OF[self.model]

    @property
    def requests(self) -> int:
        """Requests that count for the quota when nothing goes wrong, tokens apart."""
        return 2 if self.method == "upload" else 1


ROUTES: Final[tuple[Route, ...]] = tuple(
    Route(method, model)
    for model in ("document-reference", "diagnostic-report", "notes", "media", "results")
    for method in ("upload", "embed")
)
"""Routes by the number that stands in the ledger; new ones are added at the end only."""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """A row as it was read and checked, before anything is sent.

    Attributes:
        row: Line number in the manifest; the row's name.
        offset: Byte offset of its record there.
        identity: 16 bytes of a keyed hash of receiver and document id; zeros when rejected before
            it had one.
        content: 8 bytes of a keyed hash of the record, so that a changed line is noticed.
        size_bytes: Of the source, when it was looked at; 0 when rejected.
        mtime_ns: Of the source, when it was looked at.
        route: Index into `ROUTES`; -1 when rejected.
        error_code: Why it was rejected; None for a row that can be sent.
        error: The same as a text that is safe to log.
    """

    row: int
    offset: int
    identity: bytes
    content: bytes
    size_bytes: int = 0
    mtime_ns: int = 0
    route: int = -1
    error_code: str | None = None
    error: str | None = None


class Known(msgspec.Struct, frozen=True):
    """What the ledger holds of a row while planning goes over it again."""

    state: State
    content: bytes
    offset: int


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A row that its owner may work on, with all that earlier attempts left behind.

    Attributes:
        row: Its number.
        offset: Byte offset of its record in the manifest.
        identity: As planned.
        content: As planned.
        size_bytes: As planned.
        mtime_ns: As planned.
        route: Index into `ROUTES`, as planned.
        state: `QUEUED` (begin at the beginning) or `UPLOADED` (go on with the message).
        attempts: HTTP requests made for it so far.
        first_tried_ms: When it was first claimed, Unix milliseconds.
        tries: How often it has been in `RETRY_AT`.
        reference_url: Of its uploaded file.
        source_id: The source whose token uploaded it.
        uploaded_ms: When, Unix milliseconds.
        sha256: Of the bytes in its uploaded file, or in its last whole message.
        message_ms: The time that stands in its message, once one was about to become whole.
        message_hash: Keyed hash of that message with its hole empty.
        maybe_duplicate: How often a message of unknown outcome was knowingly sent again.
        orphans: Uploads that nothing refers to.
    """

    row: int
    offset: int
    identity: bytes
    content: bytes
    size_bytes: int
    mtime_ns: int
    route: int
    state: State
    attempts: int = 0
    first_tried_ms: int = 0
    tries: int = 0
    reference_url: str | None = None
    source_id: str | None = None
    uploaded_ms: int | None = None
    sha256: bytes | None = None
    message_ms: int | None = None
    message_hash: bytes | None = None
    maybe_duplicate: int = 0
    orphans: int = 0


class RowReceipt(msgspec.Struct, frozen=True, kw_only=True, array_like=True, omit_defaults=True):
    """How one row ended, as the ledger keeps it: a receipt without names and document ids.

    Attributes:
        row: Its number.
        status: As in `Receipt`.
        at_ms: When it was settled, Unix milliseconds.
        route: Index into `ROUTES`; -1 when none was chosen.
        size_bytes: Raw size of the source; None when it could not be opened.
        milliseconds: From its slot to its outcome.
        attempts: HTTP requests made for it, those of earlier runs included.
        sha256: Of the raw bytes that were sent; None when none were, or hashing is off.
        reference_url: Of its uploaded file.
        trace_id: As in `Receipt`.
        log_ids: As in `Receipt`.
        resource_url: As in `Receipt`.
        error_code: Why it was not accepted.
        error: The same as a text that is safe to log.
        maybe_duplicate: How often a message of unknown outcome was knowingly sent again.
        orphans: Uploads that nothing refers to.
        decided_by: Who says so: the server's answer, a query (`--on-unknown verify`), or a person.
    """

    row: int
    status: Literal["accepted", "failed", "in_doubt"]
    at_ms: int
    route: int
    size_bytes: int | None = None
    milliseconds: int = 0
    attempts: int = 0
    sha256: bytes | None = None
    reference_url: str | None = None
    trace_id: str | None = None
    log_ids: tuple[str, ...] = ()
    resource_url: str | None = None
    error_code: str | None = None
    error: str | None = None
    maybe_duplicate: int = 0
    orphans: int = 0
    decided_by: Literal["answer", "query", "person"] = "answer"


class Recovered(msgspec.Struct, frozen=True, kw_only=True):
    """What taking over a ledger found in the middle of something.

    Attributes:
        released: Rows that had been claimed and begin again.
        orphans: Uploads that may be whole at Redox and will be made again.
        in_doubt: Messages whose outcome is unknown.
    """

    released: int = 0
    orphans: int = 0
    in_doubt: int = 0

    def plus(self, more: Recovered) -> Recovered:
        """What two such takings-over found together."""
        return Recovered(
            released=self.released + more.released,
            orphans=self.orphans + more.orphans,
            in_doubt=self.in_doubt + more.in_doubt,
        )
