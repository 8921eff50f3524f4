"""`chartsend batch report`: what a batch came to, as a table, as JSON, or row by row as CSV.

The one rule: help and completion must stay fast; `reporting.py` makes the text.
"""

from __future__ import annotations

import contextlib
from typing import Any

import click

from .looking import Place, reading_options

_EPILOG = """\b
Examples:
  chartsend batch report tonight.jsonl
  chartsend batch report tonight.jsonl --format json | jq .rows
  chartsend batch report tonight.jsonl --format csv > tonight.csv
      one line a row, with document ids and files: keep it where such lists may be kept

\b
In CSV, a text that a spreadsheet would take for a formula has an apostrophe before it.
"""


@click.command(epilog=_EPILOG)
@reading_options
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Figures for people, figures for programs, or every row.",
)
def report(**given: Any) -> None:
    """Report what a batch came to: rows, times, requests, errors, and what held it up.

    Right at any time: while it runs, after a crash, after the last row.
    """
    from ...batch.sqlite import SqliteReader  # noqa: PLC0415  # help stays fast
    from ...batch.status import running_pid  # noqa: PLC0415
    from .reporting import csv_of, lines_of  # noqa: PLC0415
    from .writing import Writer  # noqa: PLC0415

    place = Place.of(given)
    pid = running_pid(place.ledger)
    with contextlib.closing(SqliteReader.open(place.ledger)) as reader, Writer() as out:
        if given["shape"] == "csv":
            with place.names(reader) as names:
                for block in csv_of(reader, names, is_running=pid is not None):
                    out.write(block, end="")
            return
        from ...batch.report import report_of  # noqa: PLC0415

        found = report_of(reader, running_pid=pid)
        if given["shape"] == "json":
            import msgspec  # noqa: PLC0415

            out.write(msgspec.json.encode(found).decode())
            return
        for line in lines_of(found):
            out.write(line)
