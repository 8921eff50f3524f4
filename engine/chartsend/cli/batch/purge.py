"""`chartsend batch purge`: forget what Redox has forgotten too.

The one rule: what is needed to tell that a row was sent stays, until the whole ledger goes.
"""

from __future__ import annotations

import re
from typing import Any, Final

import click

from ...errors import ConfigError
from ...settings.quantity import parse_duration
from ..progress import say
from ..words import counted, verb
from .looking import Place, place_options

_DAYS: Final = re.compile(r"([0-9]{1,5}) ?d")

_EPILOG = """\b
Examples:
  chartsend batch purge tonight.jsonl
      what receipts of more than 60 days ago say: log ids, references, hashes, errors
  chartsend batch purge tonight.jsonl --older-than 0d
  chartsend batch purge tonight.jsonl --all
      the whole ledger, when nothing is pending or in doubt, or no run was begun

\b
Redox keeps payloads for 60 days; log ids of earlier sends lead nowhere. Rows, states and the
chain of receipts stay, and `batch verify` still proves them; so does what is known of rows
that are pending or in doubt. With --all nobody knows any more what was sent, and a later
batch does not recognise it either.
"""


class Age(click.ParamType[float]):
    """Seconds, such as `60d` or `36h`."""

    name = "AGE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        days = _DAYS.fullmatch(str(value).strip())
        if days is not None:
            return float(days[1]) * 24 * 3600
        try:
            return parse_duration(value)
        except ConfigError:
            self.fail("not an age: write a number with d, h or m, such as 60d", param, ctx)


@click.command(epilog=_EPILOG)
@place_options
@click.option("--older-than", type=Age(), help="Receipts settled longer ago.  [default: 60d]")
@click.option("--all", "everything", is_flag=True, help="Remove the ledger.")
def purge(**given: Any) -> None:
    """Forget what old receipts say, or remove the ledger."""
    import anyio  # noqa: PLC0415  # help stays fast

    from ...batch.purging import KEPT_S, forget_receipts, remove_ledger  # noqa: PLC0415

    place, older_than_s = Place.of(given), given["older_than"]
    if given["everything"]:
        if older_than_s is not None:
            raise click.UsageError("--all removes everything, whatever its age: leave --older-than out.")
        remove_ledger(place.ledger)
        say("The ledger is removed. What was sent is no longer known here.")
        return
    count = anyio.run(forget_receipts, place.ledger, KEPT_S if older_than_s is None else older_than_s)
    were = verb(count, "was", "were")
    say(f"{counted(count, 'receipt')} {were} emptied; the chain keeps every place.")
