"""What a batch came to: totals, times, requests, errors, and what held it up.

The one rule: a total follows from rows and receipts that were written in one transaction with what they
count. How often a run was killed changes nothing in it; what a killed process can leave out (its last
second of requests and times) is said.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Final

import msgspec

from ..histogram import Histogram  # noqa: TC001  # a parameter's type
from . import facts as f, totals as t
from .advice import Advice, advise
from .row import State
from .sqlite.reader import SqliteReader
from .standing import CUT_OFF_CODE, cut_off
from .status import Rows, requests_per_s, rows_of, running_pid as pid_of, runs_killed

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from .facts import BatchPlan
    from .ledger import LedgerReader
    from .row import RowReceipt

SLOWEST: Final = 10
MOST_NAMED: Final = 100
"""Possible duplicates that are named; all are counted."""


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """How long something took, in seconds, within 4 %.

    Attributes:
        count: How many were measured.
        p50: What half of them did not exceed; None without any.
        p95: What 95 % did not exceed.
        p99: What 99 % did not exceed.
    """

    count: int = 0
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None

    @classmethod
    def of(cls, counted: Histogram) -> Times:
        """The percentiles of a histogram of milliseconds."""

        def seconds(share: float) -> float | None:
            ms = counted.quantile(share)
            return None if ms is None else float(f"{ms / 1000:.3g}")

        return cls(count=counted.total, p50=seconds(0.5), p95=seconds(0.95), p99=seconds(0.99))


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of the server.

    Attributes:
        documents: Uploads and messages, repeated ones included.
        tokens: Token requests.
        retries: Requests that repeated another one.
        rate_limited: Answers 429.
        per_s: Uploads and messages a second while runs were going on; None before the first.
        quota_per_s: What the quota lets a batch send in the long run; None for no quota.
        quota_share: Of that, how much was used; None where either is not known.
    """

    documents: int = 0
    tokens: int = 0
    retries: int = 0
    rate_limited: int = 0
    per_s: float | None = None
    quota_per_s: float | None = None
    quota_share: float | None = None


class Slow(msgspec.Struct, frozen=True, kw_only=True):
    """One of the rows that took longest."""

    row: int
    seconds: float
    status: str
    bytes: int | None
    attempts: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a batch came to.

    Attributes:
        rows: By what became of them.
        total: All rows of the manifest.
        planned: Whether planning was finished; before, counts are of what was planned so far.
        success_ratio: Of the rows that are settled, how many were accepted; None without any.
        bytes: Raw bytes of the rows that were accepted.
        send_s: From a row's slot to its acceptance.
        answer_s: The server's own time for an upload or a message.
        requests: What was asked of the server.
        statuses: How many requests got each HTTP status; 0 for those without a complete answer.
        errors: Rows that failed or are in doubt, by error code.
        rejects: Rows that were refused while planning, by error code.
        orphans: Uploads that nothing refers to.
        maybe_duplicates: Messages of unknown outcome that were knowingly sent again.
        maybe_duplicate_rows: The first rows of which one was; they may be in the chart twice.
        slowest: The ten rows that took longest, or fewer.
        runs: How many runs there were.
        runs_killed: Of these, how many were cut off; requests, retries, statuses and times lack up to
            the last second of each.
        running_pid: The process that works with the ledger now; None when nobody does.
        wall_s: Seconds for which runs were going on.
        activity: Where the time went.
        advice: What held it up; None while too little was measured.
        receipts: How many there are; the chain's last number.
        head: The chain's end, `SEQ:HASH`, for `batch verify --expect`.
    """

    rows: Rows
    total: int
    planned: bool
    success_ratio: float | None
    bytes: int
    send_s: Times
    answer_s: Times
    requests: Requests
    statuses: dict[int, int]
    errors: dict[str, int]
    rejects: dict[str, int]
    orphans: int
    maybe_duplicates: int
    maybe_duplicate_rows: tuple[int, ...]
    slowest: tuple[Slow, ...]
    runs: int
    runs_killed: int
    running_pid: int | None
    wall_s: float
    activity: t.Activity
    advice: Advice | None
    receipts: int
    head: str


def read_report(directory: str | os.PathLike[str]) -> Report:
    """Make the report of a batch. Blocks: it reads what failed or is in doubt, and all receipts' times.

    Args:
        directory: Of its ledger.

    Raises:
        LedgerError: There is no ledger, or it cannot be read.
        LedgerCorruptError: It is damaged.
        InsecureConfigError: Somebody else could have changed it.
    """
    reader = SqliteReader.open(directory)
    with contextlib.closing(reader):
        return report_of(reader, running_pid=pid_of(directory))


def report_of(reader: LedgerReader, *, running_pid: int | None = None) -> Report:
    """The same of an open ledger.

    Args:
        reader: Of the ledger.
        running_pid: The process that works with it now; None when nobody does.

    Raises:
        LedgerError: The ledger cannot be read, or is damaged.
    """
    counts, totals = reader.counts(), reader.totals()
    is_running = running_pid is not None
    plan, rows = f.read_plan(reader.facts()), rows_of(counts, is_running=is_running)
    statuses, activity = t.numbered(totals, t.STATUS), t.Activity.of(totals)
    seq, link = reader.head()
    return Report(
        rows=rows,
        total=rows.total,
        planned=plan is not None,
        success_ratio=rows.success_ratio,
        bytes=totals.get(t.BYTES, 0),
        send_s=Times.of(t.histogram(totals, t.SEND_MS)),
        answer_s=Times.of(t.histogram(totals, t.ANSWER_MS)),
        requests=_requests(totals, statuses, activity, plan),
        statuses=statuses,
        errors=_errors(reader, cut_off(counts, is_running=is_running)),
        rejects=reader.rejects_by_code(),
        orphans=totals["orphans"],
        maybe_duplicates=totals["maybe_duplicates"],
        maybe_duplicate_rows=_sent_again(reader, totals["maybe_duplicates"]),
        slowest=_slowest(reader),
        runs=totals.get(t.RUNS, 0),
        runs_killed=runs_killed(totals, is_running=is_running),
        running_pid=running_pid,
        wall_s=activity.wall_s,
        activity=activity,
        advice=advise(activity, troubles=totals.get(t.RETRIES, 0) + statuses.get(0, 0)),
        receipts=seq,
        head=f"{seq}:{link.hex()}",
    )


def _requests(
    totals: Mapping[str, int], statuses: Mapping[int, int], activity: t.Activity, plan: BatchPlan | None
) -> Requests:
    documents, quota_per_s = totals.get(t.REQUESTS, 0), requests_per_s(plan)
    per_s = documents / activity.wall_s if activity.wall_s else None
    share = per_s / quota_per_s if per_s is not None and quota_per_s else None
    return Requests(
        documents=documents,
        tokens=totals.get(t.TOKENS, 0),
        retries=totals.get(t.RETRIES, 0),
        rate_limited=statuses.get(429, 0),
        per_s=None if per_s is None else round(per_s, 2),
        quota_per_s=None if quota_per_s is None else round(quota_per_s, 2),
        quota_share=None if share is None else round(share, 4),
    )


def _errors(reader: LedgerReader, unsaid: int) -> dict[str, int]:
    """Rows that are not accepted now, by the code of their last receipt, most frequent first.

    Args:
        reader: Of the ledger.
        unsaid: Rows in doubt of which no receipt says so yet.
    """
    codes: Counter[str] = Counter({CUT_OFF_CODE: unsaid} if unsaid else {})
    for state in (State.FAILED, State.IN_DOUBT):
        for _, receipt in reader.settled(state):
            codes["purged" if receipt is None else receipt.error_code or "none"] += 1
    return dict(codes.most_common())


def _sent_again(reader: LedgerReader, messages: int) -> tuple[int, ...]:
    """The first rows of which a message of unknown outcome was sent again, or is about to be.

    Looks at rows only as long as there may be more of them than were found.
    """
    found: list[int] = []
    if messages:
        for claimed, receipt in reader.settled():
            again = max(claimed.maybe_duplicate, 0 if receipt is None else receipt.maybe_duplicate)
            found += [claimed.row] if again else []
            messages -= again
            if messages <= 0 or len(found) == MOST_NAMED:
                break
    return tuple(found)


def _slowest(reader: LedgerReader) -> tuple[Slow, ...]:
    """The rows that took longest; of a row with several receipts the slowest counts."""
    rows: dict[int, Slow] = {}
    for receipt in reader.slowest(2 * SLOWEST):
        rows.setdefault(receipt.row, _slow(receipt))
    return tuple(rows.values())[:SLOWEST]


def _slow(receipt: RowReceipt) -> Slow:
    return Slow(
        row=receipt.row,
        seconds=receipt.milliseconds / 1000,
        status=receipt.status,
        bytes=receipt.size_bytes,
        attempts=receipt.attempts,
    )
