"""`chartsend batch plan`: everything is read and checked, nothing is sent. `planning.py` does the work.

The one rule: help and completion must stay fast, so the engine is imported only to plan.
"""

from __future__ import annotations

from typing import Any

import click

from .options import Given, batch_options

_EPILOG = """\b
Examples:
  chartsend --profile staging batch plan tonight.jsonl --to memorial-ehr
  chartsend --profile staging batch plan scans/ --pattern '{mrn}_{type}_{id}.pdf' \\
          --to memorial-ehr
  chartsend batch plan tonight.jsonl --sandbox
      without an account: is the manifest right?

\b
Rows that would be refused are written to rejected.csv in the ledger's directory, by line
and field, never by value. Correct them in place and plan again: only they are looked at.
Of descriptions the more particular wins, key by key: row, options, --metadata, the
profile's [document].
"""


@click.command(epilog=_EPILOG)
@batch_options
@click.option("--json", "as_json", is_flag=True, help="The plan as one JSON object on stdout.")
@click.pass_context
def plan(ctx: click.Context, /, **given: Any) -> None:
    """Read and check every row of a manifest, without one request.

    Says how many rows would go and how, how many requests and hours that takes, and which rows would
    not go and why. A ledger is made; `batch run` with the same options goes on from it.
    """
    from .planning import Planning  # noqa: PLC0415  # the engine costs 400 ms

    ctx.exit(Planning(ctx.obj, Given(**given)).run())
