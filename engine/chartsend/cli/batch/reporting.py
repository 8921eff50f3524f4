"""The text of `batch report`: a table for people, and CSV.

The one rule: one block of rows at a time, however many there are.
"""

from __future__ import annotations

import datetime as dt
import itertools
from typing import TYPE_CHECKING, Final

from ...batch.listing import list_rows
from ...settings.quantity import show_seconds, show_size
from ..words import counted, numbers
from .cells import lines_of as csv_lines
from .listing import ALREADY_SENT
from .status import at_least, cut_off, left_behind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...batch.ledger import LedgerReader
    from ...batch.listing import Listed
    from ...batch.naming import Names
    from ...batch.report import Report, Times

COLUMNS: Final = (
    "row",
    "state",
    "status",
    "error_code",
    "error",
    "bytes",
    "sha256",
    "reference_url",
    "log_ids",
    "trace_id",
    "attempts",
    "seconds",
    "maybe_duplicate",
    "settled_at",
    "decided_by",
    "document_id",
    "source",
    "to",
)
_BLOCK: Final = 500
SHOWN: Final = 20


def csv_of(reader: LedgerReader, names: Names, *, is_running: bool = False) -> Iterator[str]:
    """All rows as CSV (RFC 4180), in blocks of some hundred lines.

    Raises:
        LedgerError: The ledger cannot be read, or is damaged.
    """
    yield csv_lines([COLUMNS])
    rows = list_rows(reader, names, is_running=is_running)
    while block := [_cells(row) for row in itertools.islice(rows, _BLOCK)]:
        yield csv_lines(block)


def _cells(row: Listed) -> list[object]:
    cells: list[object] = []
    for column in COLUMNS:
        value = getattr(row, column)
        if column == "log_ids":
            value = " ".join(row.log_ids)
        elif column == "settled_at" and row.settled_at is not None:
            value = dt.datetime.fromtimestamp(row.settled_at, dt.UTC).isoformat(timespec="milliseconds")
        cells.append("" if value is None else value)
    return cells


def lines_of(report: Report) -> Iterator[str]:
    """The figures, line by line."""
    yield from _rows(report)
    yield from _times(report)
    yield from _requests(report)
    yield from _codes("not accepted", report.errors)
    yield from _codes(
        "rejected", {code: n for code, n in report.rejects.items() if code != ALREADY_SENT}
    )
    if report.slowest:
        slow = ", ".join(f"row {one.row} ({show_seconds(one.seconds)})" for one in report.slowest)
        yield f"slowest: {slow}"
    yield from _advice(report)
    yield from _runs(report)
    yield f"receipts: {report.receipts:,}; the chain ends at {report.head}"


def _rows(report: Report) -> Iterator[str]:
    rows = report.rows
    already_sent = report.rejects.get(ALREADY_SENT, 0)
    ratio = "" if report.success_ratio is None else f"{report.success_ratio:.2%} of the settled ones"
    if not report.planned:
        yield "planning has not finished; so far:"
    for word, count, remark in (
        ("rows", report.total, ""),
        ("  done", rows.done, ", ".join(each for each in (show_size(report.bytes), ratio) if each)),
        ("  failed", rows.failed, ""),
        ("  in doubt", rows.in_doubt, "`batch resolve` decides" if rows.in_doubt else ""),
        ("  rejected", rows.rejected - already_sent, ""),
        ("  already sent", already_sent, "by an earlier batch: nothing to do"),
        ("  pending", rows.pending, "`batch run` goes on" if rows.pending else ""),
    ):
        if count or word != "  already sent":
            yield f"{word:<15}{count:>13,}  {remark}".rstrip()
    if report.orphans or report.maybe_duplicates:
        which = ""
        if report.maybe_duplicate_rows:
            which = f": {numbers(report.maybe_duplicate_rows, shown=SHOWN)}"
        yield f"{left_behind(report.orphans, report.maybe_duplicates)}{which}"


def _runs(report: Report) -> Iterator[str]:
    """Which runs did not end in an orderly way, and whether one goes on."""
    if report.running_pid is not None:
        yield f"process {report.running_pid} works with the ledger now; these figures are of this moment"
    if report.runs_killed:
        yield f"{counted(report.runs, 'run')} so far; {cut_off(report.runs_killed)}"


def _times(report: Report) -> Iterator[str]:
    for what, times in (("a row took", report.send_s), ("the server took", report.answer_s)):
        if times.count:
            yield f"{what}: {_percentiles(times)}"
    if report.wall_s:
        rate = f", {report.requests.per_s:,.1f} requests a second" if report.requests.per_s else ""
        yield f"runs went on for {show_seconds(report.wall_s)}{rate}"


def _percentiles(times: Times) -> str:
    shares = (("half", times.p50), ("95 %", times.p95), ("99 %", times.p99))
    return ", ".join(
        f"{share} at most {show_seconds(seconds)}" for share, seconds in shares if seconds is not None
    )


def _requests(report: Report) -> Iterator[str]:
    asked = report.requests
    yield (
        f"requests: {at_least(report.runs_killed)}{asked.documents:,}, {asked.retries:,} of them"
        f" repeated; {counted(asked.rate_limited, 'answer')} 429; {counted(asked.tokens, 'token')}"
    )
    if asked.quota_share is not None:
        yield (
            f"quota: {asked.quota_share:.0%} used of the {asked.quota_per_s:,.1f} requests a second"
            " that a batch may send"
        )
    if report.statuses:
        counts = (f"{status or 'none'}: {count:,}" for status, count in report.statuses.items())
        yield f"answers by status: {', '.join(counts)}"


def _codes(what: str, codes: Mapping[str, int]) -> Iterator[str]:
    if codes:
        ordered = sorted(codes.items(), key=lambda each: -each[1])
        yield f"{what}: {', '.join(f'{code} ({count:,})' for code, count in ordered)}"


def _advice(report: Report) -> Iterator[str]:
    advice = report.advice
    if advice is not None:
        yield f"bottleneck: {advice.bottleneck}. {advice.because}"
        yield f"  {advice.change}"
