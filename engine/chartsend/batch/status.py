"""How far a batch is: counts and times, from the ledger's counters alone.

The one rule: it costs the same for ten rows and for ten million, and disturbs nobody: a run may be
going on, or none, or one that was killed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from . import facts as f, totals as t
from .row import State
from .sqlite.lock import Holder
from .sqlite.place import find
from .sqlite.reader import SqliteReader
from .standing import counted, cut_off

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .facts import BatchPlan
    from .ledger import LedgerReader

_MOST_BYTES: Final = 1024


class Rows(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a batch by what became of them; together, every row that was planned.

    Attributes:
        done: Redox took them.
        failed: Given up.
        in_doubt: Redox may have taken them; a person or a query decides. Those that were being sent
            when a run was killed are among them from that moment on.
        rejected: Refused while planning.
        pending: None of these yet.
    """

    done: int = 0
    failed: int = 0
    in_doubt: int = 0
    rejected: int = 0
    pending: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.done + self.failed + self.in_doubt + self.rejected + self.pending

    @property
    def settled(self) -> int:
        """All that are not pending."""
        return self.total - self.pending

    @property
    def success_ratio(self) -> float | None:
        """Of the settled ones, how many were accepted; None while none is settled."""
        return self.done / self.settled if self.settled else None


def rows_of(counts: Mapping[State, int], *, is_running: bool = False) -> Rows:
    """Rows by state, in the words for people.

    Args:
        counts: Rows by state.
        is_running: Whether a process sends them now, and will hear the answers that are awaited.
    """
    return Rows(**counted(counts, is_running=is_running))


class QuotaSeen(msgspec.Struct, frozen=True, kw_only=True):
    """What the request quota says at this moment, for all processes of this user.

    Attributes:
        limit: Requests that may count at once; None where the quota is off.
        used: Requests that count now.
        window_s: How long a request counts.
        paused_s: Seconds until a pause after a 429 ends; 0 when there is none.
    """

    limit: int | None
    used: int
    window_s: float
    paused_s: float


class QuotaLike(Protocol):
    """What is needed of `transport.quota.QuotaState`."""

    @property
    def limit(self) -> int | None:
        """Requests that may count at once; None where the quota is off."""
        ...

    @property
    def used(self) -> int:
        """Requests that count now."""
        ...

    @property
    def window_s(self) -> float:
        """How long a request counts."""
        ...

    @property
    def paused_s(self) -> float:
        """Seconds until a pause ends."""
        ...

    def seconds_for(self, requests: int, *, backfill: bool = False) -> float:
        """How long so many requests take from now on."""
        ...


class BatchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How far a batch is.

    Attributes:
        rows: By what became of them.
        percent: Of the rows that can be sent, how many are settled; 0 while nothing is planned.
        planned: Whether every row of the manifest was planned. Before, counts are of what was so far.
        waiting: Of the pending rows, those that were tried and wait for their next try.
        cut_off: Of the rows in doubt, those that were being sent when a run was killed and that no
            run and no decision has taken over yet.
        already_sent: Of the rejected rows, those that an earlier batch sent, by the last plan.
        bytes: Raw bytes of the rows that were accepted.
        requests: Uploads and messages that were sent, repeated ones included; after a killed run at
            least so many, since its last second is missing. So are the next three.
        tokens: Token requests.
        retries: Requests that repeated another one.
        rate_limited: Answers 429.
        runs_killed: Runs that did not end in an orderly way; one that goes on is none of them.
        orphans: Uploads that nothing refers to.
        maybe_duplicates: Messages of unknown outcome that were knowingly sent again.
        quota: What the request quota says now; None when it was not asked.
        requests_left: Uploads and messages that pending rows still need, if nothing goes wrong.
        eta_s: Seconds for these, by the quota and by how fast rows went so far, whichever is later;
            None while neither is known.
        running_pid: The process that runs it now; None when nobody does.
    """

    rows: Rows
    percent: float
    planned: bool
    waiting: int
    cut_off: int
    already_sent: int
    bytes: int
    requests: int
    tokens: int
    retries: int
    rate_limited: int
    runs_killed: int
    orphans: int
    maybe_duplicates: int
    quota: QuotaSeen | None
    requests_left: int
    eta_s: float | None
    running_pid: int | None


def read_status(directory: str | os.PathLike[str], *, quota: QuotaLike | None = None) -> BatchStatus:
    """Read how far a batch is. Blocks for some milliseconds.

    Args:
        directory: Of its ledger.
        quota: The request quota as it is now; it also makes the time that is left more exact.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        LedgerCorruptError: It is damaged.
        InsecureConfigError: Somebody else could have changed it.
    """
    reader = SqliteReader.open(directory)
    with contextlib.closing(reader):
        return status_of(reader, running_pid=running_pid(directory), quota=quota)


def status_of(
    reader: LedgerReader, *, running_pid: int | None, quota: QuotaLike | None = None
) -> BatchStatus:
    """How far a batch is, from an open ledger. Blocks for some milliseconds.

    Raises:
        LedgerError: The ledger cannot be read, or is damaged.
    """
    counts, totals = reader.counts(), reader.totals()
    is_running = running_pid is not None
    rows, plan = rows_of(counts, is_running=is_running), f.read_plan(reader.facts())
    sendable = rows.total - rows.rejected
    left = _requests_left(rows, counts.get(State.UPLOADED, 0), plan)
    statuses = t.numbered(totals, t.STATUS)
    return BatchStatus(
        rows=rows,
        percent=round(100 * (sendable - rows.pending) / sendable, 2) if sendable else 0.0,
        planned=plan is not None,
        waiting=counts.get(State.RETRY_AT, 0),
        cut_off=cut_off(counts, is_running=is_running),
        already_sent=0 if plan is None else plan.already_sent,
        bytes=totals.get(t.BYTES, 0),
        requests=totals.get(t.REQUESTS, 0),
        tokens=totals.get(t.TOKENS, 0),
        retries=totals.get(t.RETRIES, 0),
        rate_limited=statuses.get(429, 0),
        runs_killed=runs_killed(totals, is_running=is_running),
        orphans=totals["orphans"],
        maybe_duplicates=totals["maybe_duplicates"],
        quota=None if quota is None else _seen(quota),
        requests_left=left,
        eta_s=_eta_s(rows, _by_quota_s(left, plan, quota), t.Activity.of(totals)),
        running_pid=running_pid,
    )


def runs_killed(totals: Mapping[str, int], *, is_running: bool) -> int:
    """Runs that began, did not end in an orderly way, and do not go on."""
    unended = totals.get(t.RUNS, 0) - totals.get(t.ENDED, 0)
    return max(0, unended - is_running)


def _requests_left(rows: Rows, uploaded: int, plan: BatchPlan | None) -> int:
    """Requests of the pending rows, by the plan's mean; a file that is uploaded saves one."""
    if plan is None or not plan.accepted:
        return 0
    return max(0, round(rows.pending * plan.requests / plan.accepted) - uploaded)


def requests_per_s(plan: BatchPlan | None) -> float | None:
    """What the quota lets this batch send in the long run; None for no quota, or no plan."""
    if plan is None or not plan.hours:
        return None
    return plan.requests / (plan.hours * 3600)


def _seen(quota: QuotaLike) -> QuotaSeen:
    return QuotaSeen(
        limit=quota.limit, used=quota.used, window_s=quota.window_s, paused_s=round(quota.paused_s, 1)
    )


def _by_quota_s(left: int, plan: BatchPlan | None, quota: QuotaLike | None) -> float | None:
    """Seconds for so many requests by the quota; None where there is none, or nothing is planned."""
    if quota is not None:
        return None if quota.limit is None else quota.seconds_for(left, backfill=True)
    per_s = requests_per_s(plan)
    return left / per_s if per_s else None


def _eta_s(rows: Rows, by_quota_s: float | None, activity: t.Activity) -> float | None:
    if not rows.pending:
        return 0.0
    sent = rows.done + rows.failed + rows.in_doubt
    by_speed_s = rows.pending * activity.wall_s / sent if sent and activity.wall_s else None
    known = [seconds for seconds in (by_quota_s, by_speed_s) if seconds is not None]
    return round(max(known), 1) if known else None


def running_pid(directory: str | os.PathLike[str]) -> int | None:
    """The process that works with a ledger now; None when nobody does.

    It is told by what the process wrote beside the ledger, not by trying the lock: for the moment of
    the trial, nobody could begin a run.

    Raises:
        LedgerError: There is no ledger.
        InsecureConfigError: Somebody else could have changed it.
    """
    lock = find(Path(directory).absolute()).lock
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        descriptor = os.open(lock, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            holder = msgspec.json.decode(os.read(descriptor, _MOST_BYTES), type=Holder)
        finally:
            os.close(descriptor)
        return holder.pid if holder.is_alive else None
    return None
