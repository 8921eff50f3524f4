"""`chartsend send`: files and folders, now. Here are its options; `sending.py` does the work.

The one rule: help and completion must stay fast, so the engine is imported only to send.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .describe import description_options
from .options import Duration, Size, complete_destination, workers_option

_EPILOG = """\b
Examples:
  chartsend send consent.pdf --to memorial-ehr --sandbox
      try it out: a made-up patient, nothing leaves this machine
  chartsend --profile staging send scans/ --to memorial-ehr \\
          --patient 0000991234:MR --type "Consent Form" --dry-run
      what would be sent, and how
  chartsend send ct.pdf --to memorial-ehr --model results \\
          --patient 0000991234:MR --order LAB-77120 --code PDF_REPORT
  chartsend send scans/ --to memorial-ehr --metadata ward.toml --json > receipts.ndjson
  chartsend send scans/ --to memorial-ehr --metadata ward.toml --json \\
          --skip-accepted receipts.ndjson >> receipts.ndjson
      and once more: only what was not accepted

\b
A file a.pdf.json beside a.pdf describes a.pdf and is not sent. Of two descriptions the
more particular wins, key by key: sidecar, options, --metadata, the profile's [document].
Accepted means taken by Redox; the receiver files it later.
"""


@click.command(epilog=_EPILOG)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--to",
    metavar="DESTINATION",
    required=True,
    shell_complete=complete_destination,
    help="A destination of the profile, or a slug (FHIR) or id (Data Model).",
)
@description_options()
@click.option("--note-text/--no-note-text", default=None, help="Text files as searchable Notes.")
@click.option(
    "--concurrency", type=click.IntRange(1, 4096), metavar="N", help="Sends at a time.  [default: 16]"
)
@workers_option
@click.option("--deadline", type=Duration(), default="10m", show_default=True, help="For each document.")
@click.option("--embed-up-to", type=Size(), help="Embed up to this size.  [default: 200KB]")
@click.option("--dry-run", is_flag=True, help="Show route, size and requests; send nothing.")
@click.option("--json", "as_json", is_flag=True, help="Receipts as NDJSON on stdout.")
@click.option("--sandbox", is_flag=True, help="Send to a private sandbox made for this run.")
@click.option(
    "--skip-accepted",
    metavar="RECEIPTS",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Leave out what was accepted before by this destination, by its NDJSON receipts.",
)
@click.option("--fail-fast", is_flag=True, help="Start nothing more after the first failure.")
@click.pass_context
def send(ctx: click.Context, /, **given: Any) -> None:
    """Send files, folders and globs, and say of each what became of it.

    Folders are sent whole, in order; links, names that begin with a dot, and the files that the run
    itself uses are left out.
    """
    from .sending import Given, Sending  # noqa: PLC0415  # the engine costs 400 ms

    ctx.exit(Sending(ctx.obj, Given(**given)).run())
