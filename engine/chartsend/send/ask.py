"""What is asked of one send, and what is noted while it runs.

The one rule: whatever ends a send, a cancellation too, its notes are enough for a true receipt.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from ..document import Receipt, ReceiptError
from ..errors import Verdict

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from ..aio import Deadline
    from ..document import Api, Document, Method, Model, Status
    from ..errors import TransferError
    from ..ports import Body, Progress
    from ..redox.replies import Accepted
    from ..redox.route import Wish
    from ..settings import Destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """A file that was uploaded before; its message is still to be sent.

    Attributes:
        reference_url: Where it lies, verbatim.
        size_bytes: Raw size of what was uploaded.
        sha256: Hex digest of what was uploaded; None when hashing was off.
    """

    reference_url: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One document to send.

    Attributes:
        document: What to send.
        destination: Who receives.
        wish: API, method and model as far as they are asked for.
        api: The API that will be used.
        model: The model that will be used.
        deadline: Covers everything: waits, attempts, tokens.
        document_id: The identity, fixed before anything is sent.
        message_at: The time that stands in the message; fixed, so that a repeat is byte-identical.
        row: The caller's opaque name for it in a batch.
        earlier: Its file, if that was uploaded already.
        on_progress: Told a few times a second how many bytes went out.
    """

    document: Document
    destination: Destination
    wish: Wish
    api: Api
    model: Model
    deadline: Deadline
    document_id: str
    message_at: dt.datetime
    row: str | None = None
    earlier: Earlier | None = None
    on_progress: Callable[[Progress], None] | None = None

    @property
    def shown_as(self) -> str:
        """What logs call it: `row 17` in a batch, `document CD-0048` elsewhere."""
        return f"document {self.document_id}" if self.row is None else f"row {self.row}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a send would do, found without a request.

    Attributes:
        document_id: The identity it would have.
        source: The source's name, for the caller's own eyes.
        bytes: Raw size.
        requests: HTTP requests it needs, tokens and retries not counted.
        request_bytes: Exact size of the largest of them.
        warnings: What a person should know.
    """

    document_id: str
    source: str = field(repr=False)  # may identify a patient
    bytes: int
    api: Api
    method: Method
    model: Model
    content_type: str
    requests: int
    request_bytes: int
    warnings: tuple[str, ...]


@dataclass(slots=True)
class Tally:
    """What has happened so far in one send.

    Attributes:
        raw_bytes: Size of the source, once it was opened.
        method: Once it was chosen.
        sha256: Of the raw bytes that the last body carried.
        reference_url: Once the file was uploaded.
        attempts: HTTP requests made, tokens not counted.
        message_body: The message's body in flight, or the last one.
        is_settled: Whether that message's outcome is known.
    """

    started_s: float = field(default_factory=time.monotonic)
    raw_bytes: int | None = None
    method: Method | None = None
    sha256: str | None = None
    reference_url: str | None = None
    attempts: int = 0
    message_body: Body | None = None
    is_settled: bool = True

    @property
    def may_be_applied(self) -> bool:
        """Whether a message left whole and its outcome is not known."""
        body = self.message_body
        return body is not None and body.released and not self.is_settled

    def accepted(self, ask: Ask, accepted: Accepted) -> Receipt:
        """The receipt of a success."""
        return msgspec.structs.replace(
            self._receipt(ask, "accepted"),
            log_ids=accepted.log_ids,
            trace_id=accepted.trace_id,
            resource_url=accepted.resource_url,
        )

    def ended(self, ask: Ask, error: TransferError) -> Receipt:
        """The receipt of a failure, or of an unknown outcome."""
        status: Status = "in_doubt" if error.verdict is Verdict.IN_DOUBT else "failed"
        return msgspec.structs.replace(
            self._receipt(ask, status),
            error=ReceiptError(code=error.code, message=error.message),
        )

    def _receipt(self, ask: Ask, status: Status) -> Receipt:
        return Receipt(
            document_id=ask.document_id,
            source=ask.document.shown,
            bytes=self.raw_bytes,
            sha256=self.sha256,
            api=ask.api,
            method=self.method,
            model=ask.model,
            status=status,
            reference_url=self.reference_url,
            attempts=self.attempts,
            seconds=round(time.monotonic() - self.started_s, 3),
        )
