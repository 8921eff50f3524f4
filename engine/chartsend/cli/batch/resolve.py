"""`chartsend batch resolve`: rows in doubt, listed and decided. `resolving.py` does the work.

The one rule: nothing is decided that was not asked for by name, and nothing is sent here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from .looking import Place, reading_options

if TYPE_CHECKING:
    from .resolving import Action

ACTIONS: Final[tuple[Action, ...]] = ("sent", "resend", "verify")

_EPILOG = """\b
Examples:
  chartsend batch resolve tonight.jsonl
      which rows, with what is needed to look them up in the logs of Redox
  chartsend batch resolve tonight.jsonl --row 17 --row 230 --sent
      they were found there: they are done
  chartsend batch resolve tonight.jsonl --row 18 --resend
      it was not: the next `batch run` sends the same message again
  chartsend --profile staging batch resolve tonight.jsonl --all --verify
      ask the destinations (FHIR): what is there is done, what is not is queued

\b
--resend counts a row as a possible duplicate before it is sent, and `batch report` says so
for ever. A row that the destination cannot tell of stays in doubt.
"""


@click.command(epilog=_EPILOG)
@reading_options
@click.option("--row", "rows", type=click.IntRange(1), multiple=True, metavar="N", help="This row.")
@click.option("--all", "everything", is_flag=True, help="All rows in doubt.")
@click.option("--sent", is_flag=True, help="Somebody found them at the receiver.")
@click.option("--resend", is_flag=True, help="Queue them for the next run.")
@click.option("--verify", is_flag=True, help="Ask the destinations.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON on stdout.")
@click.pass_context
def resolve(ctx: click.Context, /, **given: Any) -> None:
    """List the rows in doubt, or decide about some or all of them.

    A row is in doubt when its message left whole and its answer is unknown: it may be in the chart.
    """
    rows, everything = given["rows"], given["everything"]
    actions: list[Action] = [each for each in ACTIONS if given[each]]
    if len(actions) > 1:
        raise click.UsageError(
            f"Give one of {', '.join(f'--{each}' for each in actions)}: they contradict each other."
        )
    action = actions[0] if actions else None
    if rows and everything:
        raise click.UsageError("Give --row or --all, not both.")
    if action is not None and not rows and not everything:
        raise click.UsageError(f"--{action} needs to know which rows: give --row N, or --all.")
    if action is None and (rows or everything):
        raise click.UsageError("Say what became of them: --sent, --resend or --verify.")
    from .resolving import Resolving  # noqa: PLC0415  # the engine costs 400 ms

    resolving = Resolving(ctx.obj, Place.of(given))
    if action is None:
        ctx.exit(resolving.show(as_json=given["as_json"]))
    ctx.exit(resolving.decide(action, rows or None, as_json=given["as_json"]))
