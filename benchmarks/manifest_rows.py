"""How fast rows of a manifest are read, and what memory that takes, at 10,000 rows and at a million.

The one rule: rows are read as a batch reads them: decoded, laid over defaults, validated, their paths
proved inside the root; each size and form in a process of its own.

    python -m benchmarks.manifest_rows [--rows 1000000] [--directory DIR]

Memory is the highest resident set of the process; its growth between 10,000 rows and all is what more
rows cost. The files that the rows name need not be there.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from chartsend.batch.manifest.reading import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chartsend.batch.manifest.entry import Position

SMALL_ROWS = 10_000
SINGLE_ROWS = 5_000
GROWTH_MB = 10
"""What the project promises itself."""
FORMS = ("jsonl", "csv", "quoted.csv")
DEFAULTS = {"type": "Consent Form", "provider": {"id": "9999999995", "id_type": "NPI"}}
COLUMNS = (
    "path",
    "document_id",
    "title",
    "patient.identifiers.0.id",
    "patient.identifiers.0.type",
    "patient.first_name",
    "patient.last_name",
    "patient.birth_date",
    "visit.number",
)


def cells(number: int) -> tuple[str, ...]:
    """One made-up row."""
    return (
        f"scans/{number % 1000:03}/{number:08}.pdf",
        f"doc-{number:08}",
        f"Consent form {number}",
        f"{number:010}",
        "MR",
        "Marla",
        "Quillfeather",
        "1971-03-09",
        f"V-{number % 977}",
    )


def lines(form: str, rows: int) -> Iterator[str]:
    """The manifest, a line at a time."""
    if form != "jsonl":
        yield ",".join(COLUMNS) + "\n"
    for number in range(rows):
        row = cells(number)
        if form == "csv":
            yield ",".join(row) + "\n"
        elif form == "quoted.csv":
            yield '"' + '","'.join(row) + '"\n'
        else:
            yield json.dumps(described(row)) + "\n"


def described(row: tuple[str, ...]) -> dict[str, object]:
    """A row as JSON has it."""
    path, ident, title, mrn, kind, first, last, born, visit = row
    patient = {"identifiers": [{"id": mrn, "type": kind}], "first_name": first, "last_name": last}
    return {
        "path": path,
        "document_id": ident,
        "title": title,
        "patient": {**patient, "birth_date": born},
        "visit": {"number": visit},
    }


def measure(path: str) -> dict[str, float]:
    """Read a manifest to its end, then single rows of it. Runs in a process of its own."""
    with Manifest.open(path, defaults=DEFAULTS) as manifest:
        start = time.perf_counter()
        rows = 0
        positions: list[Position] = []
        for entry in manifest.entries():
            if entry.row is None:
                raise SystemExit(f"row {entry.number} cannot be read")
            rows += 1
            if len(positions) < SINGLE_ROWS:
                positions.append(entry.position)
        seconds = time.perf_counter() - start
        start = time.perf_counter()
        for position in positions:
            manifest.entry_at(position)
        single = (time.perf_counter() - start) / len(positions)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "seconds": seconds, "single_us": single * 1e6, "peak_mb": peak_mb}


def measured(directory: Path, form: str, rows: int) -> dict[str, float]:
    """What a fresh process says of a manifest of so many rows."""
    path = directory / f"{rows}.{form}"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(lines(form, rows))
    try:
        command = [sys.executable, "-m", "benchmarks.manifest_rows", "--measure", str(path)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    finally:
        path.unlink()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    """Measure every form and print a table; 1 when memory grows more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.measure)))
        return 0
    is_flat = True
    with tempfile.TemporaryDirectory(dir=given.directory) as directory:
        for form in FORMS:
            small = measured(Path(directory), form, SMALL_ROWS)
            large = measured(Path(directory), form, given.rows)
            growth_mb = large["peak_mb"] - small["peak_mb"]
            is_flat = is_flat and growth_mb <= GROWTH_MB
            per_s = large["rows"] / large["seconds"]
            print(
                f"{form:<11} {large['rows']:>9,.0f} rows  {per_s:>7,.0f} rows/s"
                f"   one by its position {large['single_us']:>4.0f} us"
                f"   memory {large['peak_mb']:>4.0f} MB, {growth_mb:+.1f} MB since {SMALL_ROWS:,} rows"
            )
    print(f"Python {platform.python_version()}, {platform.machine()}")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
