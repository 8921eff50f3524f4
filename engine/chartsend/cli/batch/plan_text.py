"""A plan in words and figures, for people.

The one rule: counts only; and what takes the time is said plainly, with what would save some of it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from ...redox.limits import RECOMMENDED_EMBED_BYTES
from ...settings import parse_quota
from ...settings.quantity import show_seconds, show_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...batch.facts import BatchPlan
    from ...batch.status import Rows
    from ...settings import Settings

UPLOAD_REQUESTS: Final = 2
A_MILLION: Final = 1_000_000
WORTH_HOURS: Final = 0.1
"""From here on a time is told: the first minutes' requests may all go at once."""


class Line(NamedTuple):
    """One figure of a plan: what, how much, and a remark."""

    what: str
    amount: str
    remark: str = ""


def figures(plan: BatchPlan, rows: Rows, *, where: str) -> Iterator[Line]:
    """The figures, in the order in which they are shown.

    Args:
        plan: What is planned.
        rows: What became of them so far.
        where: Where a person finds why rows were rejected; may be empty.
    """
    yield Line("rows", f"{plan.rows:,}")
    yield Line("accepted", f"{plan.accepted:,}", show_size(plan.size_bytes))
    for route, count in plan.by_route.items():
        yield Line(f"  {route}", f"{count:,}")
    yield Line("requests", f"{plan.requests:,}", _time(plan.hours))
    yield from _so_far(rows)
    rejected = sum(plan.rejected.values())
    yield Line("rejected", f"{rejected:,}", where if rejected else "")
    remarks = {"duplicate_id": "as in an earlier row", "already_sent": "by an earlier batch"}
    for code, count in sorted(plan.rejected.items(), key=lambda each: -each[1]):
        yield Line(f"  {code}", f"{count:,}", remarks.get(code, ""))


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
    rejected = sum(plan.rejected.values())
    time = _time(plan.hours)
    return (
        f"Planned: {plan.accepted:,} of {plan.rows:,} rows ({show_size(plan.size_bytes)}) in"
        f" {plan.requests:,} requests"
        + (f", {time}" if time else "")
        + (f"; {rejected:,} rejected{where and f', {where}'}." if rejected else ".")
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
        yield (
            f"{uploads:,} of these rows are uploads, of {UPLOAD_REQUESTS} requests each. The quota,"
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
        less = f"{count:,} {'request' if count == 1 else 'requests'}"
        if plan.hours >= WORTH_HOURS:
            less += f" and {show_seconds(plan.hours * 3600 * count / plan.requests)}"
        yield f"  --embed-up-to {limit_bytes // 1_000}KB would save {less}"


def rejected_lines(rejected: Iterable[tuple[int, str, str]]) -> Iterator[str]:
    """Why rows were rejected: row, error code and text of each."""
    for row, code, text in rejected:
        named = text if text.startswith(f"row {row}") else f"row {row}: {text}"
        yield f"rejected: {named} [{code}]"


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
