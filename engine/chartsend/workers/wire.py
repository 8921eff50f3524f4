"""What an engine and its workers say to each other.

The one rule: whatever decides the outcome of a send crosses before the step that it decides: an intent
before the last chunk is released, a receipt before the caller hears.

Messages are pickled: both ends are the same program, run by the same user, and the line between them
is a socket pair that nobody else holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

    from ..auth import Token
    from ..document import Api, Document, Model, Receipt
    from ..errors import TransferError
    from ..ports import Intent, Priority, Progress, Uploaded
    from ..redox.route import Wish
    from ..send import Earlier
    from ..settings import Destination, Settings
    from ..transport.meter import Statistics


@dataclass(frozen=True, slots=True)
class Begin:
    """The first message to a worker.

    Attributes:
        version: Of chartsend; a worker of another one refuses to work.
        settings: As the engine has them.
        priority: As the engine has it.
        chunk_bytes: How much of a source is read at a time.
        sends: How many it may have under way.
        workers: How many workers there are.
        has_journal: Whether intents have to be waited for.
        log_level: Of the logger `chartsend`.
    """

    version: str
    settings: Settings = field(repr=False)  # holds secrets
    priority: Priority
    chunk_bytes: int
    sends: int
    workers: int
    has_journal: bool
    log_level: int


class Ready(NamedTuple):
    """The worker has opened what it needs."""


class Terms(NamedTuple):
    """What many sends have in common; it crosses once, before the first of them.

    Attributes:
        number: Sends name it by this; 0 makes the worker forget the others.
    """

    number: int
    destination: Destination
    wish: Wish
    api: Api
    model: Model


class Send(NamedTuple):
    """Send a document: an `Ask`, but for its terms, and for `on_progress`, which cannot cross.

    Attributes:
        number: Of the job.
        terms: The number of its terms.
        document: As in `Ask`.
        document_id: As in `Ask`.
        deadline_at: As in `Ask`; all processes of a machine read the same monotonic clock.
        message_at: As in `Ask`.
        row: As in `Ask`.
        earlier: As in `Ask`.
        tells_progress: Whether somebody listens.
    """

    number: int
    terms: int
    document: Document
    document_id: str
    deadline_at: float
    message_at: dt.datetime
    row: str | None
    earlier: Earlier | None
    tells_progress: bool


class Cancel(NamedTuple):
    """End a job; answered by `Ended`, as any other end is."""

    number: int


class Ended(NamedTuple):
    """A job has ended.

    Attributes:
        number: Of the job.
        receipt: As `Journal.result` is to be told; None for a job that was cancelled and left nothing.
        error: What was raised; None for a success, or after `Cancel`.
    """

    number: int
    receipt: Receipt | None
    error: BaseException | None


class NeedIntent(NamedTuple):
    """May the last chunk be released? Answered by `Granted` or `Refused`, where there is a journal."""

    number: int
    intent: Intent


class NeedUploaded(NamedTuple):
    """A file was accepted; answered by `Granted` or `Refused`."""

    number: int
    uploaded: Uploaded


class NeedToken(NamedTuple):
    """A token that lives so long is needed by then; answered by `Granted` or `Refused`."""

    number: int
    min_life_s: float
    deadline_at: float


class Granted(NamedTuple):
    """The answer to what a job needs; a job needs one thing at a time.

    Attributes:
        number: Of the job.
        token: Where one was needed.
    """

    number: int
    token: Token | None = None


class Refused(NamedTuple):
    """The journal or the token source raised.

    Attributes:
        number: Of the job.
        error: What it raised, for the sender to judge; None for what only the journal's owner knows:
            that stays with the engine, and ends the send as it is.
    """

    number: int
    error: TransferError | None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server answered 401 to this token."""

    token: str = field(repr=False)


class Progressed(NamedTuple):
    """How far a job is."""

    number: int
    progress: Progress


class Logged(NamedTuple):
    """A line for the log."""

    level: int
    text: str


class Counted(NamedTuple):
    """All that a worker did so far."""

    statistics: Statistics


class Outage(NamedTuple):
    """A breaker opened or closed; the workers' breakers open and close together.

    Attributes:
        key: Which one.
        what: It stands before, for people.
        is_open: Whether requests wait from now on.
    """

    key: tuple[str, str]
    what: str
    is_open: bool


FromWorker = (
    Ready
    | Ended
    | NeedIntent
    | NeedUploaded
    | NeedToken
    | Rejected
    | Progressed
    | Logged
    | Counted
    | Outage
)
ToWorker = Begin | Terms | Send | Cancel | Granted | Refused | Outage
