"""`chartsend batch run`: plan what is not planned, then send. Here are its options; `running.py` works.

The one rule: help and completion must stay fast, so the engine is imported only to run.
"""

from __future__ import annotations

from typing import Any

import click

from .options import Given, batch_options

_EPILOG = """\b
Examples:
  chartsend --profile staging batch run tonight.jsonl --to memorial-ehr
  chartsend batch run tonight.jsonl --sandbox
      a trial: everything is sent, to a private sandbox; nothing is kept
  nohup chartsend --profile staging batch run tonight.jsonl --to memorial-ehr 2> tonight.log &
      all night; see it with `chartsend batch status tonight.jsonl`

\b
Stopped, or killed, or out of disk: the same line goes on where it was, and what was sent
is never sent again. What may have been sent is held in doubt, for `batch resolve`.
Ctrl-C (or SIGTERM) takes no more rows and gives what is under way 10 s; a second one acts
at once.
"""


@click.command(epilog=_EPILOG)
@batch_options
@click.option("--dry-run", is_flag=True, help="The same as `batch plan`.")
@click.option("--json", "as_json", is_flag=True, help="Events as NDJSON on stdout, one a row.")
@click.pass_context
def run(ctx: click.Context, /, *, dry_run: bool, **given: Any) -> None:
    """Plan a manifest and send its rows; run again, go on.

    One verb for all: the first run, the run after a crash, the run after corrections. Rows that wait
    for their next try are waited for, until they are given up.
    """
    if dry_run:
        from .planning import Planning  # noqa: PLC0415  # the engine costs 400 ms

        ctx.exit(Planning(ctx.obj, Given(**given)).run())
    from .running import Running  # noqa: PLC0415

    ctx.exit(Running(ctx.obj, Given(**given)).run())
