"""A plan in words and figures, for people.

The one rule: counts only; and what takes the time is said plainly, with what would save some of it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from ...errors import DuplicateIdError
from ...redox.limits import RECOMMENDED_EMBED_BYTES
from ...settings import parse_quota
from ...settings.quantity import show_seconds, show_size
from ..words import counted, verb
from .listing import ALREADY_SENT
from .rejects import REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...batch.facts import BatchPlan
    from ...batch.status import Rows
    from ...settings import Settings
    from .trial import Lacking

UPLOAD_REQUESTS: Final = 2
A_MILLION: Final = 1_000_000
WORTH_HOURS: Final = 0.1
"""From here on a time is told: the first minutes' requests may all go at once."""


class Line(NamedTuple):
    """One figure of a plan: what, how much, and a remark."""

    what: str
    amount: str
    remark: str = ""


def figures(
    plan: BatchPlan, rows: Rows, *, where: str, lacking: Lacking | None = None
) -> Iterator[Line]:
    """The figures, in the order in which they are shown.

    Args:
        plan: What is planned.
        rows: What became of them so far.
        where: Where a person finds why rows were rejected; may be empty.
        lacking: Of a trial: the rows for which something was made up.
    """
    yield Line("rows", f"{plan.rows:,}")
    yield Line("accepted", f"{plan.accepted:,}", show_size(plan.size_bytes))
    for route, count in plan.by_route.items():
        yield Line(f"  {route}", f"{count:,}")
    if lacking is not None and lacking.rows:
        yield Line("  made up for", f"{lacking.rows:,}", "a real run would reject these")
    yield Line("requests", f"{plan.requests:,}", _time(plan.hours))
    yield from _so_far(rows)
    rejected = others_of(plan)
    yield Line("rejected", f"{rejected:,}", where if rejected else "")
    for code, count in _reasons(plan):
        yield Line(
            f"  {code}", f"{count:,}", "as in an earlier row" if code == DuplicateIdError.code else ""
        )
    if plan.already_sent:
        yield Line("already sent", f"{plan.already_sent:,}", "by an earlier batch: nothing to do")


def others_of(plan: BatchPlan) -> int:
    """Rows that were rejected, and that no earlier batch has sent."""
    return sum(plan.rejected.values()) - plan.already_sent


def _reasons(plan: BatchPlan) -> list[tuple[str, int]]:
    """Why rows were rejected, the most frequent first; what was already sent is no fault."""
    others = [(code, count) for code, count in plan.rejected.items() if code != ALREADY_SENT]
    return sorted(others, key=lambda each: -each[1])


def _so_far(rows: Rows) -> Iterator[Line]:
    """What became of accepted rows already, if anything did."""
    if rows.done or rows.failed or rows.in_doubt:
        yield Line("done", f"{rows.done:,}")
        yield Line("failed", f"{rows.failed:,}")
        yield Line("in doubt", f"{rows.in_doubt:,}")
        yield Line("to go", f"{rows.pending:,}")


def _time(hours: float) -> str:
    """How long the quota makes it take, where that is what takes long."""
    return f"about {show_seconds(hours * 3600)} at the quota of a batch" if hours >= WORTH_HOURS else ""


def in_one_line(plan: BatchPlan, *, where: str) -> str:
    """A plan in one sentence, for the beginning of a run; arguments as above."""
    rejected = others_of(plan)
    time = _time(plan.hours)
    return (
        f"Planned: {plan.accepted:,} of {counted(plan.rows, 'row')} ({show_size(plan.size_bytes)}) in"
        f" {counted(plan.requests, 'request')}"
        + (f", {time}" if time else "")
        + (f"; {rejected:,} rejected{where and f', {where}'}" if rejected else "")
        + (
            f"; {plan.already_sent:,} already sent by an earlier batch (nothing to do)"
            if plan.already_sent
            else ""
        )
        + "."
    )


def advice(plan: BatchPlan, settings: Settings, *, to: str | None) -> Iterator[str]:
    """What the uploads cost, and what embedding more of them would save.

    Args:
        plan: What is planned.
        settings: Quota and limits.
        to: The destination of rows that name none, which may take less than Redox does.
    """
    uploads = sum(count for route, count in plan.by_route.items() if route.startswith("upload "))
    quota = parse_quota(settings.quota)
    if uploads and quota is not None:
        requests, window_s = quota
        per_s = requests / window_s / UPLOAD_REQUESTS
        what = verb(uploads, "of these rows is an upload", "of these rows are uploads")
        yield (
            f"{uploads:,} {what}, of {UPLOAD_REQUESTS} requests each. The quota,"
            f" {requests:,} requests in {window_s:.0f} s for one address, moves at most {per_s:.1f}"
            f" uploads a second: {A_MILLION:,} take {A_MILLION / per_s / 3600:.1f} h."
        )
    limit_bytes = settings.limits.request_bytes
    if to is not None:
        limit_bytes = settings.destination(to).request_limit_bytes or limit_bytes
    yield from _savings(plan, settings, most_bytes=limit_bytes // 4 * 3)


def _savings(plan: BatchPlan, settings: Settings, *, most_bytes: int) -> Iterator[str]:
    """A line for each higher limit that would embed more rows than the one before."""
    saved = 0
    for limit_bytes, count in sorted(plan.uploads_by_limit.items()):
        if not settings.limits.embed_up_to_bytes < limit_bytes <= most_bytes or count <= saved:
            continue
        if not saved:
            yield (
                f"Embedded, a row takes 1 request; Redox advises against it over"
                f" {show_size(RECOMMENDED_EMBED_BYTES)}, so ask the receiver first."
            )
        saved = count
        less = counted(count, "request")
        if plan.hours >= WORTH_HOURS:
            less += f" and {show_seconds(plan.hours * 3600 * count / plan.requests)}"
        yield f"  --embed-up-to {limit_bytes // 1_000}KB would save {less}"


def reasons_line(plan: BatchPlan) -> Iterator[str]:
    """Why rows were rejected, with counts, in one line; none without any."""
    reasons = ", ".join(f"{code} ({count:,})" for code, count in _reasons(plan))
    if reasons:
        yield f"Rejected: {reasons}."


def rejected_lines(
    plan: BatchPlan, rejected: Sequence[tuple[int, str, str]], *, is_trial: bool
) -> Iterator[str]:
    """Why rows were rejected: row, error code and text of the first ones, and how many more there are.

    Args:
        plan: What is planned.
        rejected: The first rejected rows.
        is_trial: Whether no file will say it of the others.
    """
    for row, code, text in rejected:
        named = text if text.startswith(f"row {row}") else f"row {row}: {text}"
        yield f"rejected: {named} [{code}]"
    more = others_of(plan) - len(rejected)
    if more > 0:
        where = (
            "a plan with a profile, without --sandbox, writes all of them to a file"
            if is_trial
            else f"all of them stand in {REJECTED} in the ledger's directory"
        )
        yield f"rejected: and {counted(more, 'row')} more; {where}"


def made_up_line(lacking: Lacking) -> Iterator[str]:
    """What a trial made up, and for how many rows; nothing where no row needs it."""
    if lacking.rows:
        fields = ", ".join(lacking.fields)
        rows = counted(lacking.rows, "row")
        yield (
            f"Made up (Marla Quillfeather, MR 0000991234): {rows} {verb(lacking.rows, 'lacks', 'lack')}"
            f" {fields}. A real run would reject {verb(lacking.rows, 'it', 'them')}, unless its"
            " profile's [document] or options say it."
        )


def only_sent_already(rejected: int, already_sent: int, failed: int = 0) -> Iterator[str]:
    """The words for exit code 1 where nothing is to be corrected."""
    if already_sent and already_sent == rejected and not failed:
        yield (
            f"{counted(already_sent, 'row')} {verb(already_sent, 'was', 'were')} sent by an earlier"
            " batch already: nothing to do. Exit code 1 says that rows of this manifest were not sent"
            " from it; --send-again sends them once more."
        )


def rendered(lines: Iterable[Line]) -> str:
    """Figures as a table: styled on a terminal, plain elsewhere."""
    whole = list(lines)
    if sys.stdout.isatty():
        return _styled(whole)
    widths = [max(len(text) for text in column) for column in zip(*whole, strict=True)]
    plain = (
        f"{line.what:<{widths[0]}}  {line.amount:>{widths[1]}}  {line.remark}".rstrip() for line in whole
    )
    return "".join(f"{line}\n" for line in plain)


def _styled(lines: Iterable[Line]) -> str:
    from rich.console import Console  # noqa: PLC0415  # 45 ms, paid in a terminal only
    from rich.table import Table  # noqa: PLC0415

    console = Console(highlight=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", style="bold")
    table.add_column(style="dim")
    for line in lines:
        table.add_row(*line)
    with console.capture() as captured:
        console.print(table)
    return captured.get()
