"""`chartsend batch status`: how far a batch is, at once, however large.

The one rule: it looks and touches nothing: a run that goes on does not notice.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from ...errors import ConfigError
from ...settings.quantity import show_seconds, show_size
from .looking import Place, place_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...batch.status import BatchStatus, QuotaLike

EVERY_S: Final = 2.0
"""On a terminal."""
SELDOM_S: Final = 10.0
"""Elsewhere: a line in a log."""

_EPILOG = """\b
Examples:
  chartsend batch status tonight.jsonl
  chartsend batch status tonight.jsonl --watch
      until nobody runs it any more
  chartsend batch status tonight.jsonl --json | jq .rows.pending
"""


@click.command(epilog=_EPILOG)
@place_options
@click.option("--watch", is_flag=True, help="Again and again, until nobody runs it any more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def status(ctx: click.Context, /, **given: Any) -> None:
    """Say how far a batch is: rows by state, requests, quota, and how long it will take."""
    place = Place.of(given)
    if given["watch"]:
        _watch(ctx, place, as_json=given["as_json"])
    else:
        found = _read(ctx, place)
        _show(found, as_json=given["as_json"])


def _read(ctx: click.Context, place: Place) -> BatchStatus:
    from ...batch.status import read_status  # noqa: PLC0415  # help and completion stay fast

    return read_status(place.ledger, quota=_quota(ctx))


def _quota(ctx: click.Context) -> QuotaLike | None:
    """The request quota of the profile in force; None without a profile."""
    from ...transport.quota import read_state  # noqa: PLC0415  # help stays fast

    try:
        return read_state(ctx.obj.load().settings)
    except ConfigError:
        return None


def _show(found: BatchStatus, *, as_json: bool) -> None:
    import msgspec  # noqa: PLC0415

    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for line in lines_of(found):
        click.echo(line)


def _watch(ctx: click.Context, place: Place, *, as_json: bool) -> None:
    if sys.stdout.isatty() and not as_json:
        _watch_on_terminal(ctx, place)
        return
    while True:
        found = _read(ctx, place)
        if as_json:
            _show(found, as_json=True)
        else:
            click.echo(in_one_line(found))
        if found.running_pid is None:
            return
        time.sleep(SELDOM_S)


def _watch_on_terminal(ctx: click.Context, place: Place) -> None:
    from rich.live import Live  # noqa: PLC0415  # 45 ms, paid in a terminal only
    from rich.text import Text  # noqa: PLC0415

    with Live(auto_refresh=False) as live:
        while True:
            found = _read(ctx, place)
            live.update(Text("\n".join(lines_of(found))), refresh=True)
            if found.running_pid is None:
                return
            time.sleep(EVERY_S)


def lines_of(found: BatchStatus) -> Iterator[str]:
    """How far a batch is, line by line."""
    rows = found.rows
    running = "nobody runs it" if found.running_pid is None else f"process {found.running_pid} runs it"
    so_far = "" if found.planned else "; planning has not finished, so far:"
    yield f"{found.percent:.2f} % of the rows that can be sent are settled; {running}{so_far}"
    counts = (
        ("done", rows.done, show_size(found.bytes)),
        ("failed", rows.failed, ""),
        ("in doubt", rows.in_doubt, ""),
        ("rejected", rows.rejected, ""),
        ("pending", rows.pending, _pending(found)),
    )
    for word, count, remark in counts:
        yield f"  {word:<9}{count:>13,}  {remark}".rstrip()
    yield (
        f"{found.requests:,} requests, {found.retries:,} of them repeated; {found.rate_limited:,}"
        f" answers 429; {found.tokens:,} tokens"
    )
    if found.orphans or found.maybe_duplicates:
        yield (
            f"{found.orphans:,} uploads that nothing refers to; {found.maybe_duplicates:,} messages sent"
            " again knowingly"
        )
    quota = found.quota
    if quota is not None and quota.limit is not None:
        paused = f"; paused for {show_seconds(quota.paused_s)}" if quota.paused_s else ""
        yield (
            f"quota: {quota.used:,} of {quota.limit:,} requests in {show_seconds(quota.window_s)} are"
            f" used{paused}"
        )


def _pending(found: BatchStatus) -> str:
    parts: list[str] = []
    if found.waiting:
        parts.append(f"{found.waiting:,} of them wait for their next try")
    if found.rows.pending and found.eta_s is not None:
        parts.append(f"at least {show_seconds(found.eta_s)} more for {found.requests_left:,} requests")
    return "; ".join(parts)


def in_one_line(found: BatchStatus) -> str:
    """The same for a log."""
    rows = found.rows
    parts = [
        f"{found.percent:.2f} %",
        f"{rows.done:,} done",
        f"{rows.failed:,} failed",
        f"{rows.in_doubt:,} in doubt",
        f"{rows.rejected:,} rejected",
        f"{rows.pending:,} pending",
        f"{found.requests:,} requests",
    ]
    if rows.pending and found.eta_s is not None:
        parts.append(f"at least {show_seconds(found.eta_s)} more")
    return " · ".join(parts)
