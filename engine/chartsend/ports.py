"""The seams: what the rooms promise each other. Implementations do not inherit from these.

The one rule: a contract stands here, once, and a test holds every implementation to it.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003  # Sphinx asks for the types of a Struct's fields
import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from .aio import Deadline
    from .document import Receipt


class Operation(enum.Enum):
    """What a request does, which decides whether repeating it is safe."""

    TOKEN = "token"  # noqa: S105  # an operation's name
    """A token request: always safe to repeat."""
    UPLOAD = "upload"
    """A file upload: a repeat leaves an unreferenced file at Redox."""
    MESSAGE = "message"
    """A message for a chart: a repeat may put the document there twice."""
    QUERY = "query"
    """A search: safe to repeat."""


class Reader(Protocol):
    """One pass over an opened source."""

    @property
    def whole(self) -> memoryview | None:
        """All bytes of the source, read-only, if they are in memory already; else None.

        An empty view is a whole of 0 bytes. It is complete and proven, whatever `read_into` gave; who
        takes it need not read. It stays valid as long as it is held, but for a caller's own buffer,
        which the caller promised not to change during the send.
        """
        ...

    async def read_into(self, buffer: memoryview) -> int:
        """Fill `buffer` with the next bytes, and tell how many; fewer only at the end, 0 after it.

        The buffer is the caller's. After a cancellation a parked read may still write into it:
        then it must not be used again, and the reader is good for closing only.

        Raises:
            SourceUnreadableError: The source failed.
            StallTimeoutError: The source gave nothing in time.
        """
        ...

    async def verify(self) -> None:
        """After the last byte: prove that the source gave all and did not change meanwhile.

        Raises:
            SourceChangedError: More bytes follow, or size, time or identity differ.
        """
        ...

    async def aclose(self) -> None:
        """Give back what this pass holds. Safe to call twice."""
        ...


class Source(Protocol):
    """An opened source. It can be read in several passes, one after another."""

    @property
    def size_bytes(self) -> int:
        """Exact size, fixed when the source was opened."""
        ...

    @property
    def head(self) -> bytes:
        """The first bytes, for telling the type; may be empty where they cannot be peeked."""
        ...

    @property
    def can_reopen(self) -> bool:
        """Whether a second pass is possible; a bare iterator can be read once."""
        ...

    def reader(self) -> Reader:
        """A new pass from the first byte.

        Raises:
            SourceChangedError: The source cannot be read a second time (verdict GIVE_UP).
        """
        ...


class Body(Protocol):
    """The bytes of one attempt, pulled by the socket."""

    @property
    def declared_bytes(self) -> int:
        """The exact Content-Length, known before the first byte."""
        ...

    @property
    def released(self) -> bool:
        """Whether the held-back last chunk was handed to the connection."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer, whatever its status.

    Attributes:
        status: 100 to 999, as sent.
        headers: Names in lower case; repeated ones joined by commas (RFC 9110 section 5.3).
        body: At most the request's cap.
        was_early: It came before the whole body had left: then a success is no success.
        was_whole: The body's last chunk was released, so the server may have the whole of it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    was_early: bool = False
    was_whole: bool = True


@dataclass(frozen=True, slots=True)
class SmallRequest:
    """A request whose whole body is a few kilobytes in memory: tokens and queries.

    Attributes:
        operation: Decides verdicts.
        url: Absolute.
        headers: Without Content-Length.
        body: The bytes, or what makes them when the request may go: an assertion that was signed
            before a long wait would be too old.
        reply_cap_bytes: An answer above this is `ResponseTooLargeError`.
    """

    operation: Operation
    url: str
    headers: Mapping[str, str] = field(repr=False)  # may hold a token
    body: bytes | Callable[[], bytes] = field(repr=False)  # may hold a secret
    reply_cap_bytes: int = 64 * 1024

    def content(self) -> bytes:
        """The bytes to send, made now where they are made late. Call it once for each attempt."""
        return self.body() if callable(self.body) else self.body


class SmallExchange(Protocol):
    """How the rooms that need tokens or queries speak HTTP; `transport/` implements it."""

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        """Make one attempt, and return the complete answer whatever its status.

        Raises:
            ConnectFailedError, TlsError, NetworkInterruptedError, StallTimeoutError,
            ProtocolError, ResponseTooLargeError, UnexpectedRedirectError: As their names say,
                each with `verdict` and `phase`.
            DeadlineExceededError: `deadline` passed.
        """
        ...


class TokenSource(Protocol):
    """Gives bearer tokens; one refresh serves any number of waiting sends."""

    async def token(self, *, min_life_s: float, deadline: Deadline) -> str:
        """A token that lives at least `min_life_s` more, as far as tokens live that long.

        Cancelled while another caller's refresh runs, it leaves that refresh running.

        Raises:
            AuthRejectedError: The credentials were refused. Repeating is useless.
            AuthUnavailableError: No token for now.
            DeadlineExceededError: `deadline` passed while waiting.
        """
        ...

    def reject(self, token: str) -> None:
        """The server answered 401 to `token`: do not give it out again."""
        ...

    async def aclose(self) -> None:
        """End a refresh that still runs."""
        ...


Step = Literal["upload", "message"]
Priority = Literal["realtime", "backfill"]
"""Whether somebody waits for a send, or a batch works through the night."""


class Intent(msgspec.Struct, frozen=True):
    """What is about to become whole at the server.

    Attributes:
        step: The file's upload, or the message.
        row: The caller's name for the document in a batch; None outside one.
        document_id: The document's identity.
        attempt: Requests made for this document so far, this one included.
        raw_bytes: Size of the source.
        sha256: Of the raw bytes that this body carries; None where it carries none, or hashing is off.
        message_sha256: Of the message with its hole empty; None for an upload.
        message_at: The time that stands in the message; None for an upload.
        reference_url: What the message refers to; None when it embeds.
    """

    step: Step
    row: str | None
    document_id: str
    attempt: int
    raw_bytes: int
    sha256: str | None = None
    message_sha256: str | None = None
    message_at: dt.datetime | None = None
    reference_url: str | None = None


class Uploaded(msgspec.Struct, frozen=True):
    """A file was accepted.

    Attributes:
        row: As in `Intent`.
        document_id: As in `Intent`.
        reference_url: Verbatim from the answer.
        source_id: The source whose token uploaded it; only that source may refer to it.
    """

    row: str | None
    document_id: str
    reference_url: str
    source_id: str | None


class Journal(Protocol):
    """Told of every step that changes what the server may hold. A ledger implements it.

    An intent is awaited before the last chunk of its body is released; a result before the
    caller hears of it. If `intent` or `uploaded` raises, the next step does not happen and the send
    fails with that error.
    """

    async def intent(self, intent: Intent) -> None:
        """Make the intent durable. The last chunk leaves only after this has returned."""
        ...

    async def uploaded(self, uploaded: Uploaded) -> None:
        """The file was accepted; its reference is worth keeping."""
        ...

    def result(self, row: str | None, receipt: Receipt) -> Coroutine[object, object, None]:
        """The send has ended: accepted, failed or in doubt. Told at most once for each send.

        Also called, shielded, when a caller is cancelled after the last chunk of a message left:
        then with status `in_doubt`, and it is the only way to learn of it.

        If it raises, the send has ended all the same. A caller whose send had failed gets that error.
        One whose document was accepted, or may have been, gets an `OutcomeUnknownError` with a receipt
        in doubt, whose cause is the `TransferError` raised here; any other exception reaches the caller
        as it is, and says nothing of the document.
        """
        ...


@runtime_checkable
class NotAppliedJournal(Protocol):
    """What a journal may have besides: it then hears of every end of a send that has no result."""

    def not_applied(self, row: str | None) -> None:
        """The send was given up, and no message of it was applied, whatever was intended."""
        ...


@dataclass(slots=True)
class NoJournal:
    """The journal that keeps nothing."""

    async def intent(self, intent: Intent) -> None:
        """Nothing to keep."""

    async def uploaded(self, uploaded: Uploaded) -> None:
        """Nothing to keep."""

    async def result(self, row: str | None, receipt: Receipt) -> None:
        """Nothing to keep."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one send is; given to `on_progress` from time to time.

    An upload has two bodies, the file and then the message, and `sent_bytes` begins again with the
    second, as it does with every further attempt. `declared_bytes` is of the body under way.

    Attributes:
        document_id: The document.
        source: The source's name, for the caller's own eyes.
        sent_bytes: Bytes of the present body handed to the socket.
        declared_bytes: Length of the present body.
    """

    document_id: str
    source: str = field(repr=False)  # may identify a patient
    sent_bytes: int
    declared_bytes: int
