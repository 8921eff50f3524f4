"""`chartsend batch status`: how far a batch is, at once, however large.

The one rule: it looks and touches nothing: a run that goes on does not notice.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from ...errors import ConfigError
from ...settings.quantity import show_seconds, show_size
from ..words import counted, verb
from .looking import Place, place_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...batch.ledger import LedgerReader
    from ...batch.status import BatchStatus, QuotaLike, QuotaSeen

EVERY_S: Final = 2.0
"""On a terminal."""
SELDOM_S: Final = 10.0
"""Elsewhere: a line in a log."""
LEAST_S: Final = 1.0
"""A time that is left and shorter than this is none."""

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
    from ...batch.sqlite import SqliteReader  # noqa: PLC0415  # help and completion stay fast
    from ...batch.status import running_pid, status_of  # noqa: PLC0415

    ledger = place.ledger
    with contextlib.closing(SqliteReader.open(ledger)) as reader:
        return status_of(reader, running_pid=running_pid(ledger), quota=_quota(ctx, reader))


def _quota(ctx: click.Context, reader: LedgerReader) -> QuotaLike | None:
    """The request quota of the profile in force; None where that is not the one that the batch has."""
    from ...batch.options import is_theirs  # noqa: PLC0415  # help stays fast
    from ...transport.quota import read_state  # noqa: PLC0415

    try:
        settings = ctx.obj.load().settings
        return read_state(settings) if is_theirs(settings, reader) else None
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
        ("in doubt", rows.in_doubt, _in_doubt(found)),
        ("rejected", rows.rejected - found.already_sent, ""),
        ("already sent", found.already_sent, "by an earlier batch: nothing to do"),
        ("pending", rows.pending, _pending(found)),
    )
    for word, count, remark in counts:
        if count or word != "already sent":
            yield f"  {word:<13}{count:>13,}  {remark}".rstrip()
    yield (
        f"{at_least(found.runs_killed)}{counted(found.requests, 'request')}, {found.retries:,} of them"
        f" repeated; {counted(found.rate_limited, 'answer')} 429; {counted(found.tokens, 'token')}"
    )
    if found.runs_killed:
        yield cut_off(found.runs_killed)
    if found.orphans or found.maybe_duplicates:
        yield left_behind(found.orphans, found.maybe_duplicates)
    if found.quota is not None and found.quota.limit is not None:
        yield _quota_line(found.quota, found.quota.limit)


def at_least(runs_killed: int) -> str:
    """What stands before a count that a killed process may have left too low."""
    return "at least " if runs_killed else ""


def cut_off(runs_killed: int) -> str:
    """Why counts of requests are too low."""
    runs = counted(runs_killed, "run")
    return (
        f"{runs} {verb(runs_killed, 'was', 'were')} cut off (killed, or the machine stopped): requests,"
        " repeats, answers and tokens lack what"
        f" {verb(runs_killed, 'its', 'their')} last second used; rows and bytes lack nothing"
    )


def left_behind(orphans: int, maybe_duplicates: int) -> str:
    """Uploads without a message, and messages that may have arrived twice."""
    return (
        f"{counted(orphans, 'upload')} that nothing refers to;"
        f" {counted(maybe_duplicates, 'message')} sent again knowingly, perhaps twice in the chart"
    )


def _quota_line(quota: QuotaSeen, limit: int) -> str:
    from ...transport.quota.terms import SHARE  # noqa: PLC0415  # help stays fast

    whole = round(limit / SHARE)
    share = f" ({SHARE:.0%} of {whole:,}, since clocks differ)" if int(whole * SHARE) == limit else ""
    paused = f"; paused for {show_seconds(quota.paused_s)}" if quota.paused_s else ""
    return (
        f"quota: {quota.used:,} of {limit:,} requests in {show_seconds(quota.window_s)} are"
        f" used{share}{paused}"
    )


def _in_doubt(found: BatchStatus) -> str:
    if not found.rows.in_doubt:
        return ""
    killed = f"{found.cut_off:,} of them since a run was killed; " if found.cut_off else ""
    return f"{killed}`batch resolve` decides"


def _pending(found: BatchStatus) -> str:
    parts: list[str] = []
    if found.waiting:
        waits = verb(found.waiting, "waits for its", "wait for their")
        parts.append(f"{found.waiting:,} of them {waits} next try")
    requests = counted(found.requests_left, "request")
    if _is_worth_telling(found):
        parts.append(f"at least {show_seconds(found.eta_s or 0)} more for {requests}")
    elif found.requests_left:
        parts.append(f"{requests} to go")
    return "; ".join(parts)


def _is_worth_telling(found: BatchStatus) -> bool:
    """Whether the time that is left is known, and is some."""
    return found.rows.pending > 0 and found.eta_s is not None and found.eta_s >= LEAST_S


def in_one_line(found: BatchStatus) -> str:
    """The same for a log."""
    rows = found.rows
    parts = [
        f"{found.percent:.2f} %",
        f"{rows.done:,} done",
        f"{rows.failed:,} failed",
        f"{rows.in_doubt:,} in doubt",
        f"{rows.rejected - found.already_sent:,} rejected",
        *([f"{found.already_sent:,} already sent"] if found.already_sent else []),
        f"{rows.pending:,} pending",
        f"{at_least(found.runs_killed)}{counted(found.requests, 'request')}",
    ]
    if _is_worth_telling(found):
        parts.append(f"at least {show_seconds(found.eta_s or 0)} more")
    return " · ".join(parts)
