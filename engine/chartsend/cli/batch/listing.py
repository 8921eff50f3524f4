"""`chartsend batch list`: rows one by one, and why.

The one rule: stdout only: a row is shown with its document's id and its file's path.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING, Any, Final

import click

from ...errors import AlreadySentError
from ..words import counted
from .looking import Place, reading_options

if TYPE_CHECKING:
    from ...batch.listing import Listed

ALREADY_SENT: Final = AlreadySentError.code
WORDS: Final = ("done", "failed", "in_doubt", "rejected", "pending")

_EPILOG = """\b
Examples:
  chartsend batch list tonight.jsonl --state failed
  chartsend batch list tonight.jsonl --state rejected --limit 20
  chartsend batch list tonight.jsonl --json | jq -r 'select(.error_code) | .row'

\b
Document ids and files are read again from the manifest; where a line of it has changed
since, or the manifest is gone, they are left out.
"""


@click.command(epilog=_EPILOG)
@reading_options
@click.option("--state", type=click.Choice(WORDS), help="Only rows in this state.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="So many rows at most.")
@click.option("--json", "as_json", is_flag=True, help="NDJSON, one object a row.")
def list_rows(**given: Any) -> None:
    """List rows in the order of the manifest, with what became of each."""
    from ...batch.listing import list_rows as rows_of  # noqa: PLC0415  # help stays fast
    from ...batch.sqlite import SqliteReader  # noqa: PLC0415
    from ...batch.status import running_pid  # noqa: PLC0415
    from .writing import Writer  # noqa: PLC0415

    place = Place.of(given)
    is_running = running_pid(place.ledger) is not None
    with contextlib.closing(SqliteReader.open(place.ledger)) as reader, place.names(reader) as names:
        found = rows_of(reader, names, given["state"], is_running=is_running)
        rows = itertools.islice(found, given["limit"])
        with Writer() as out:
            for row in rows:
                out.write(_json(row) if given["as_json"] else _line(row))


def _json(row: Listed) -> str:
    import msgspec  # noqa: PLC0415

    return msgspec.json.encode(row).decode()


def _line(row: Listed) -> str:
    from ..show import printable  # noqa: PLC0415

    is_known = row.error_code == ALREADY_SENT
    state = "already sent" if is_known else row.state.replace("_", " ")
    parts = [f"row {row.row}", f"{state:<8}"]
    if row.state == "pending":
        parts.append(row.step)
    parts += [printable(each) for each in (row.source, row.document_id) if each is not None]
    if row.error is not None:
        error = row.error.removeprefix(f"row {row.row}: ")
        parts.append(f"{printable(error)} [{row.error_code}]")
    if row.maybe_duplicate:
        parts.append(f"sent again {counted(row.maybe_duplicate, 'time')}: perhaps twice in the chart")
    if row.is_purged:
        parts.append("what its receipt said was purged")
    return "  ".join(parts)
