"""`chartsend batch`: many documents from a manifest, each accounted for. Here are its verbs' names.

The one rule: a verb costs nothing until it is used, as in `cli/main.py`.
"""

from __future__ import annotations

from typing import Final

import click

from ..lazy import LazyGroup, Verb

VERBS: Final = {
    "plan": Verb(".plan", "plan", "Check everything, without one request."),
    "run": Verb(".run", "run", "Send what is to be sent; run again, it goes on."),
    "status": Verb(".status", "status", "How far it is."),
    "list": Verb(".listing", "list_rows", "Rows by state, and why."),
    "resolve": Verb(".resolve", "resolve", "Decide about rows in doubt."),
    "report": Verb(".report", "report", "What it came to, and what held it up."),
    "verify": Verb(".verify", "verify", "Prove that manifest and ledger agree, row by row."),
    "purge": Verb(".purge", "purge", "Forget what Redox has forgotten too."),
}

_EPILOG: Final = """\b
A night's work:
  chartsend --profile staging batch plan tonight.jsonl --to memorial-ehr
      what would go, what would not and why, how long it takes
  chartsend --profile staging batch run tonight.jsonl --to memorial-ehr
      send it; stopped or killed, the same line goes on
  chartsend batch status tonight.jsonl --watch
  chartsend batch report tonight.jsonl

\b
A manifest is a JSONL or CSV file, one document a row; or a folder, with --pattern.
What became of every row stands in the ledger, MANIFEST.chartsend/ beside it.
"""


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__name__,
    epilog=_EPILOG,
    subcommand_metavar="VERB MANIFEST ...",
)
def batch() -> None:
    """Send the rows of a manifest: durable, resumable, each row accounted for."""
