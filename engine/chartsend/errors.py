"""Every error a caller may meet: one tree, each with a code, a verdict, a phase, and a text safe to log.

The one rule: an error's text holds numbers, field names and what to do, never a token, a file's
name or content, a title, or anything that identifies a patient.

A class exists when a caller would *do* something different. `code` is the class name in
snake_case without ``Error`` and is what receipts, ledgers and exit codes speak of.
"""

from __future__ import annotations

import enum
import re
from typing import ClassVar

_WORD_START = re.compile(r"(?<!^)(?=[A-Z])")


class Verdict(enum.Enum):
    """What an answer or a failure means for the operation it ended."""

    DONE = "done"
    """Accepted."""
    RETRY = "retry"
    """Provably not applied: the same operation may be tried again."""
    IN_DOUBT = "in_doubt"
    """It may have been applied: ask, never send blindly again."""
    GIVE_UP = "give_up"
    """The same request fails the same way."""


class Phase(enum.Enum):
    """How far one request had come when it ended."""

    NOT_SENT = "not_sent"
    """Nothing was sent."""
    PARTLY_SENT = "partly_sent"
    """Part of the declared body left; its last chunk did not."""
    BODY_SENT = "body_sent"
    """The last chunk was handed over; no byte of an answer came."""
    ANSWER_STARTED = "answer_started"
    """An answer began and did not finish."""
    ANSWERED = "answered"
    """The final answer was received."""


class TransferError(Exception):
    """Root of everything that chartsend raises about a transfer.

    Attributes:
        message: One sentence or two: what happened, with numbers, and what to do.
        verdict: What this means for the operation.
        phase: How far the request had come, or None when there was no request.
        status: HTTP status of the answer, if there was one.
        retry_after_s: What the server asked to wait, in seconds, already clamped; or None.
        document_id: The document concerned, once it is known.
        is_last: No further attempt is possible here, whatever the verdict says of the operation.
        receipt: The receipt of the failed send, set by `Engine.send`; otherwise None.
    """

    code: ClassVar[str] = "transfer"
    default_verdict: ClassVar[Verdict] = Verdict.GIVE_UP

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.code = _WORD_START.sub("_", cls.__name__.removesuffix("Error")).lower()

    def __init__(
        self,
        message: str,
        *,
        verdict: Verdict | None = None,
        phase: Phase | None = None,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.verdict = self.default_verdict if verdict is None else verdict
        self.phase = phase
        self.status = status
        self.retry_after_s = retry_after_s
        self.is_last = False
        self.document_id: str | None = None
        self.receipt: object | None = None

    def end_here(self, why: str) -> None:
        """No further attempt is possible, whatever the verdict says; add why to the text."""
        self.is_last = True
        self.message = f"{self.message}; {why}"
        self.args = (self.message,)


class ConfigError(TransferError):
    """A setting is missing, unknown, of the wrong kind or out of range. Nothing was sent."""


class InsecureConfigError(ConfigError):
    """A setting would send patient data or a secret where others can read it."""


class InvalidDocumentError(TransferError):
    """A description is wrong, or lacks what its model requires. Nothing was sent.

    Attributes:
        missing: Paths of required fields that are absent, in Redox's spelling
            (`Note.DocumentType`), every one at once; may be empty.
        problems: One text per field that is present and wrong; may be empty.
    """

    def __init__(
        self, message: str, *, missing: tuple[str, ...] = (), problems: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message)
        self.missing = missing
        self.problems = problems


class SourceMissingError(TransferError):
    """There is no file at the path."""


class SourceUnreadableError(TransferError):
    """The file exists and cannot be opened or read."""


class SourceChangedError(TransferError):
    """The source changed while it was read; its last chunk was held back, so nothing was applied."""

    default_verdict = Verdict.RETRY


class NotRegularFileError(TransferError):
    """The path is a directory, device, FIFO or socket."""


class EmptyFileError(TransferError):
    """The source has no bytes, and empty files are not allowed by setting."""


class TooLargeError(TransferError):
    """The file, or the request it would need, is over a limit. No request was made."""


class TypeMismatchError(TransferError):
    """The name and the first bytes of a file contradict each other, or the receiver refuses the type."""


class AuthRejectedError(TransferError):
    """The credentials were refused. Every other send would be refused too."""


class AuthUnavailableError(TransferError):
    """No token could be had for now."""

    default_verdict = Verdict.RETRY


class ClockSkewError(TransferError):
    """This machine's clock differs too much from the server's for a signed assertion to be valid."""


class ConnectFailedError(TransferError):
    """No connection could be made. Nothing was sent."""

    default_verdict = Verdict.RETRY


class TlsError(TransferError):
    """The server's certificate or protocol was refused. Nothing was sent."""


class NetworkInterruptedError(TransferError):
    """The connection ended before the answer was complete."""

    default_verdict = Verdict.RETRY


class StallTimeoutError(TransferError):
    """No progress for too long: the source or the peer hangs."""

    default_verdict = Verdict.RETRY


class DeadlineExceededError(TransferError):
    """The caller's deadline passed before the send was accepted; nothing was applied."""

    default_verdict = Verdict.RETRY


class OutcomeUnknownError(TransferError):
    """A message was sent whole and its answer is unknown. It may be in the chart."""

    default_verdict = Verdict.IN_DOUBT


class WorkerLostError(TransferError):
    """A worker process could not be started, or died before the message it sent could be whole."""

    default_verdict = Verdict.RETRY


class PayloadRejectedError(TransferError):
    """The server answered 413: the request is larger than it takes."""


class InvalidError(TransferError):
    """The server answered 400 or 422: it understood the request and refuses its content."""


class ForbiddenError(TransferError):
    """The server answered 403.

    Attributes:
        by_firewall: The answer was a firewall's HTML page: it concerns this file, not the account.
    """

    by_firewall: bool = False


class NotFoundError(TransferError):
    """The server answered 404: wrong destination, environment or operation."""


class ConflictError(TransferError):
    """The server answered 409 or 412."""


class UnsupportedMediaError(TransferError):
    """The server answered 415: it does not take this content type."""


class RateLimitedError(TransferError):
    """The server answered 429: the request quota is used up."""

    default_verdict = Verdict.RETRY


class ServerUnavailableError(TransferError):
    """The server answered 408, 425 or 5xx."""

    default_verdict = Verdict.RETRY


class UnexpectedStatusError(TransferError):
    """The server answered with a status that has no meaning here."""


class UnexpectedRedirectError(TransferError):
    """The server answered with a redirect. None is followed: it would move patient data."""


class ProtocolError(TransferError):
    """What the server sent is not a valid answer."""


class ResponseTooLargeError(ProtocolError):
    """The answer is larger than any answer may be."""


class UnsafeLocationError(TransferError):
    """The reference URL names a host that is not allowed, or is not a safe URL."""


class ApplicationError(TransferError):
    """The answer has a success status and carries errors: the receiver did not take the document."""


class RetryBudgetExhaustedError(TransferError):
    """Too many retries in this process for now; the operation was provably not applied."""

    default_verdict = Verdict.RETRY


class ManifestError(ConfigError):
    """The manifest as a whole cannot be used. Nothing was sent."""


class RowRejectedError(InvalidDocumentError):
    """One row of a manifest cannot be read as a document. Nothing was sent for it."""


class PathEscapeError(InvalidDocumentError):
    """A row names a file outside the batch's root. Nothing was sent for it."""


class DuplicateIdError(InvalidDocumentError):
    """An earlier row of the manifest is the same document. Nothing was sent for this one."""


class AlreadySentError(InvalidDocumentError):
    """An earlier batch of this user sent the same document to the same destination."""


class LedgerError(TransferError):
    """The ledger cannot be read or written. Rows stay as they are; mend the cause and run again."""


class LedgerFullError(LedgerError):
    """No room for the ledger: disk full, quota used up, or the file may not grow."""


class LedgerLockedError(LedgerError):
    """Another process works with this ledger."""


class LedgerCorruptError(LedgerError):
    """The ledger holds something that chartsend did not write there."""


class LostRowError(LedgerError):
    """The row is no longer ours: another owner took it, or its state is not what this step needs."""
