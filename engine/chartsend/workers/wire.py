"""What an engine and its workers say to each other.

The one rule: whatever decides the outcome of a send crosses before the step that it decides: an intent
before the last chunk is released, a receipt before the caller hears.

Messages are pickled: both ends are the same program, run by the same user, and the line between them
is a socket pair that nobody else holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..auth import Token
    from ..document import Receipt
    from ..errors import TransferError
    from ..ports import Intent, Priority, Progress, Uploaded
    from ..send import Ask
    from ..settings import Settings
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


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker has opened what it needs."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a document.

    Attributes:
        number: Of the job.
        ask: Without `on_progress`, which cannot cross.
        tells_progress: Whether somebody listens.
    """

    number: int
    ask: Ask
    tells_progress: bool


@dataclass(frozen=True, slots=True)
class Cancel:
    """End a job; answered by `Ended`, as any other end is."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A job has ended.

    Attributes:
        number: Of the job.
        receipt: As `Journal.result` is to be told; None for a job that was cancelled and left nothing.
        error: What was raised; None for a success, or after `Cancel`.
    """

    number: int
    receipt: Receipt | None
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class NeedIntent:
    """May the last chunk be released? Answered by `Granted` or `Refused`, where there is a journal."""

    number: int
    intent: Intent


@dataclass(frozen=True, slots=True)
class NeedUploaded:
    """A file was accepted; answered by `Granted` or `Refused`."""

    number: int
    uploaded: Uploaded


@dataclass(frozen=True, slots=True)
class NeedToken:
    """A token that lives so long is needed by then; answered by `Granted` or `Refused`."""

    number: int
    min_life_s: float
    deadline_at: float


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to what a job needs; a job needs one thing at a time.

    Attributes:
        number: Of the job.
        token: Where one was needed.
    """

    number: int
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Refused:
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


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a job is."""

    number: int
    progress: Progress


@dataclass(frozen=True, slots=True)
class Logged:
    """A line for the log."""

    level: int
    text: str


@dataclass(frozen=True, slots=True)
class Counted:
    """All that a worker did so far."""

    statistics: Statistics


@dataclass(frozen=True, slots=True)
class Outage:
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
ToWorker = Begin | Send | Cancel | Granted | Refused | Outage
