"""The report as CSV: every row once, no cell a formula, and never more than a block in memory."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys

import pytest

from .conftest import receipt

DANGEROUS = [
    "=1+1",
    "=cmd|' /C calc'!A0",
    "+1",
    "-1",
    "-2+3",
    "@SUM(A1)",
    '=HYPERLINK("http://x/")',
    "@",
    "=",
]
HARMLESS = [
    "D-1",
    "1=1",
    "a+b",
    "a-b",
    "a@b",
    " =1",
    "'=1",
    '"=1',
    "\u00fc\u4e16",
    "a,b",
    'a"b',
    "a;b",
    "0",
]


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("ident", DANGEROUS)
async def test_a_cell_that_a_spreadsheet_would_calculate_is_escaped(made, command, ident):
    await made.add(1, document_id=ident).plan()

    done = command("batch", "report", made.manifest, "--format", "csv")

    (row,) = table(done.out)
    assert done.code == 0
    assert row["document_id"] == f"'{ident}"


async def test_other_texts_stay_as_they_are(made, command):
    for ident in HARMLESS:
        made.add(1, document_id=ident)
    await made.plan()

    rows = table(command("batch", "report", made.manifest, "--format", "csv").out)

    assert [row["document_id"] for row in rows] == HARMLESS


async def test_texts_of_receipts_and_rejects_are_escaped_too(made, command):
    made.add(2)
    await made.plan()
    await made.settle(
        receipt(1, "failed", error="\t=1+1", error_code="\r=x"),
        receipt(2, log_ids=("@log",), trace_id="-trace", reference_url="+url"),
    )

    first, second = table(command("batch", "report", made.manifest, "--format", "csv").out)

    assert (first["error"], first["error_code"]) == ("'\t=1+1", "'\r=x")
    assert (second["log_ids"], second["trace_id"]) == ("'@log", "'-trace")
    assert second["reference_url"] == "'+url"


async def test_a_file_s_name_with_any_character_is_one_cell(made, command):
    names = ["=a.pdf", "a,b.pdf", 'a"b.pdf', "a'b.pdf", "a;b.pdf", "\u202e.pdf"]
    for name in names:
        made.add(1)
        (made.folder / f"f{len(made.rows)}.pdf").rename(made.folder / name)
        made.rows[-1]["path"] = name
    await made.plan()

    rows = table(command("batch", "report", made.manifest, "--format", "csv").out)

    assert [row["source"] for row in rows] == [str(made.folder / name) for name in names]


async def test_every_row_of_every_state_is_a_line(mixed, command):
    done = command("batch", "report", mixed.manifest, "--format", "csv")

    rows = table(done.out)
    assert [(row["row"], row["state"]) for row in rows] == [
        ("1", "done"),
        ("2", "failed"),
        ("3", "in_doubt"),
        ("4", "rejected"),
        ("5", "pending"),
        ("6", "pending"),
    ]
    assert rows[0]["settled_at"].endswith("+00:00")
    assert rows[0]["sha256"] == (1).to_bytes(32, "big").hex()
    assert rows[3]["error_code"] == "row_rejected"
    assert rows[0]["seconds"] == "0.04"
    assert done.out.count("\r\n") == 7


async def test_a_reader_that_has_had_enough_ends_it_quietly(made, command):
    await made.add(3).plan()
    await _many(made, 3000)
    process = subprocess.Popen(
        [sys.executable, "-m", "chartsend", "batch", "report", made.manifest, "--format", "csv"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=command.environ,
    )
    process.stdout.readline()
    process.stdout.close()
    errors = process.stderr.read()
    process.stderr.close()

    assert process.wait(60) == 1
    assert errors == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
async def test_a_full_disk_behind_stdout_is_said(mixed, command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "chartsend", "batch", "report", mixed.manifest, "--format", "csv"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=command.environ,
            timeout=60,
            check=False,
        )

    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


async def _many(made, count: int) -> None:
    """More rows of the same file, so that the output is more than a pipe holds."""
    made.rows = [made.rows[0] | {"document_id": f"D-{number}"} for number in range(count)]
    await made.plan()


async def test_json_is_one_object_with_the_rows_first(mixed, command):
    done = command("batch", "report", mixed.manifest, "--format", "json")

    assert next(iter(json.loads(done.out))) == "rows"
    assert done.json["rows"] == {"done": 1, "failed": 1, "in_doubt": 1, "rejected": 1, "pending": 2}
    assert done.out.count("\n") == 1
