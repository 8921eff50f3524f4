"""`chartsend batch verify`: proof that manifest and ledger agree, row by row.

The one rule: it says row numbers, never a name; its exit code alone tells a script the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ..exits import ACCEPTED, PENDING, SOME_FAILED
from ..progress import say
from ..words import counted, numbers, verb
from .looking import Place, reading_options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...batch.verify import Noted, Verified

SHOWN: Final = 10

_EPILOG = """\b
Examples:
  chartsend batch verify tonight.jsonl
  chartsend batch verify tonight.jsonl --expect 1000000:3f5a...e1
      and that every receipt that was there then is there now
  chartsend batch verify tonight.jsonl --files
      and that the files that were sent are still the same, by size and time

\b
Exit codes: 0 all is as it was written, 1 rows or files differ, 6 the ledger is damaged or
was put back to an earlier state. Note the end of the chain where the ledger's owner cannot
write: then nobody can shorten it unseen.
"""


class _Noted(click.ParamType["Noted"]):
    """The end of a chain, as `batch verify` and `batch report` print it."""

    name = "SEQ:HASH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Noted:
        from ...batch.verify import Noted  # noqa: PLC0415  # help stays fast

        if isinstance(value, Noted):
            return value
        try:
            return Noted.parse(value)
        except ValueError:
            self.fail(
                "give a number, a colon and 64 hex digits, as `batch verify` prints it", param, ctx
            )


@click.command(epilog=_EPILOG)
@reading_options
@click.option("--expect", metavar="SEQ:HASH", type=_Noted(), help="An end of the chain noted before.")
@click.option("--files", is_flag=True, help="Also look at the file of every row that was accepted.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def verify(ctx: click.Context, /, **given: Any) -> None:
    """Prove that the ledger holds every row of the manifest once, unchanged, and nothing else.

    Reads everything: rows, receipts and their chain, counters, pages. No run may go on meanwhile.
    """
    from ...batch.verify import verify as prove  # noqa: PLC0415

    place = Place.of(given)
    with place.open_manifest() as opened:
        found = prove(
            place.ledger,
            opened,
            expected=given["expect"],
            looks_at_files=given["files"],
            on_progress=_tell,
        )
    if given["as_json"]:
        import msgspec  # noqa: PLC0415

        click.echo(msgspec.json.encode(found))
    else:
        for line in lines_of(found):
            click.echo(line)
    ctx.exit(PENDING if found.damage else SOME_FAILED if found.differences else ACCEPTED)


_EVERY: Final = 100_000


def _tell(rows: int) -> None:
    if rows % _EVERY == 0:
        say(f"{rows:,} rows compared")


def lines_of(found: Verified) -> Iterator[str]:
    """What was found, line by line."""
    from ...batch.verify import KINDS  # noqa: PLC0415

    for damage in found.damage:
        yield f"damaged: {damage}"
    for kind, count in found.differences.items():
        yield f"Rows that {KINDS[kind]}: {numbers(found.examples[kind], shown=SHOWN, total=count)}"
    if found.is_clean:
        rows, is_one = found.manifest_rows, found.manifest_rows == 1
        yield (
            f"{counted(rows, 'row')} of the manifest {verb(rows, 'stands', 'stand')} in the ledger,"
            f" {'' if is_one else 'each '}once and unchanged, and"
            f" {verb(rows, 'agrees with its receipt', 'agree with their receipts')}."
        )
    if found.files is not None:
        yield f"{counted(found.files, 'file')} {verb(found.files, 'was', 'were')} looked at."
    if found.head is not None:
        yield f"the chain ends at {found.head}"
