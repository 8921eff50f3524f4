"""What a batch came to: exact however often a run was killed, and bounded however large it is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing

import pytest

from chartsend.batch.report import Times, read_report, report_of
from chartsend.batch.row import Planned, State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.histogram import Histogram

from .conftest import OWNER, receipt

TOTALS = {
    "requests": 50,
    "tokens": 2,
    "retries": 5,
    "status.200": 42,
    "status.429": 3,
    "status.0": 5,
    "answer_ms.64": 42,
    "runs": 3,
    "runs_ended": 2,
    "wall_ms": 100_000,
    "cpu_ms": 10_000,
    "capacity_ms": 1_600_000,
    "slot_ms": 1_500_000,
    "server_ms": 1_200_000,
}


async def test_rows_come_from_the_states_and_their_codes_from_the_last_receipts(mixed):
    found = read_report(mixed.ledger)

    assert found.total == 6
    assert found.rows.done + found.rows.failed + found.rows.in_doubt == 3
    assert found.success_ratio == 0.25
    assert found.errors == {"invalid": 1, "outcome_unknown": 1}
    assert found.rejects == {"row_rejected": 1}
    assert found.receipts == 3
    assert found.bytes == 1000


async def test_a_row_that_failed_first_and_was_accepted_later_is_counted_once(made):
    made.add(2)
    await made.plan()
    await made.settle(receipt(1, "failed"), receipt(2, "failed"))
    await made.plan(again=frozenset({State.FAILED}))
    await made.settle(receipt(1), receipt(2, "failed", error_code="too_large"))

    found = read_report(made.ledger)

    assert (found.rows.done, found.rows.failed, found.total) == (1, 1, 2)
    assert found.errors == {"too_large": 1}
    assert (found.bytes, found.send_s.count) == (1000, 1)


async def test_a_row_that_a_person_found_adds_its_bytes_and_no_time(mixed):
    ledger = await SqliteLedger.open(mixed.ledger, create=False)
    await ledger.sent(3, decided_by="person", now_ms=7)
    await ledger.aclose()

    found = read_report(mixed.ledger)

    assert found.rows.done == 2
    assert found.send_s.count == 1
    assert found.bytes > 1000


async def test_requests_times_and_statuses_are_what_runs_have_added(mixed):
    await mixed.settle(totals=TOTALS)

    found = read_report(mixed.ledger)

    assert found.requests.documents == 50
    assert (found.requests.tokens, found.requests.retries, found.requests.rate_limited) == (2, 5, 3)
    assert found.requests.per_s == 0.5
    assert found.statuses == {0: 5, 200: 42, 429: 3}
    assert found.answer_s.count == 42
    assert (found.runs, found.runs_killed, found.wall_s) == (3, 1, 100.0)
    assert found.advice.bottleneck == "destination"
    assert found.advice.share == pytest.approx(0.8)


def test_percentiles_are_within_four_percent():
    counted = Histogram()
    for ms in range(1, 1001):
        counted.add(ms)

    times = Times.of(counted)

    assert times.count == 1000
    assert times.p50 == pytest.approx(0.5, rel=0.04)
    assert times.p95 == pytest.approx(0.95, rel=0.04)
    assert times.p99 == pytest.approx(0.99, rel=0.04)
    assert Times.of(Histogram()) == Times()


async def test_the_slowest_rows_come_first_and_each_once(made):
    await made.add(14).plan()
    await made.settle(*(receipt(row, milliseconds=100 * row) for row in range(1, 14)))
    await made.settle(receipt(14, "in_doubt", milliseconds=50_000))
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.send_again(14, None, now_ms=7)
    await ledger.aclose()
    await made.settle(receipt(14, milliseconds=40_000))

    found = read_report(made.ledger)

    assert [slow.row for slow in found.slowest] == [14, 13, 12, 11, 10, 9, 8, 7, 6, 5]
    assert found.slowest[0].seconds == 50.0


async def test_purged_receipts_take_no_row_with_them(mixed):
    ledger = await SqliteLedger.open(mixed.ledger, create=False)
    await ledger.purge(2**60)
    await ledger.aclose()

    found = read_report(mixed.ledger)

    assert found.total == 6
    assert found.errors == {"purged": 1, "outcome_unknown": 1}
    assert (found.bytes, found.send_s.count) == (1000, 1)


async def test_a_batch_that_never_ran_has_a_report(made):
    await made.add(2).plan()

    found = read_report(made.ledger)

    assert found.rows.pending == 2
    assert found.success_ratio is None
    assert found.advice is None
    assert found.head == f"0:{bytes(32).hex()}"


async def test_the_table_says_it_for_people(mixed, command):
    await mixed.settle(totals=TOTALS)

    done = command("batch", "report", mixed.manifest)

    assert done.code == 0
    for part in (
        "25.00%",
        "invalid (1)",
        "row_rejected (1)",
        "bottleneck: destination",
        "80%",
        "none: 5",
    ):
        assert part in done.out
    assert "D-1" not in done.out
    assert done.err == ""


async def test_the_table_of_a_batch_without_anything_is_short(made, command):
    await made.add(1).plan()

    done = command("batch", "report", made.manifest)

    assert done.code == 0
    assert "bottleneck" not in done.out


async def test_which_rows_were_sent_again_is_told(made, command):
    await made.add(4).plan()
    await made.settle(receipt(1), receipt(2, "in_doubt"), receipt(3, "in_doubt"))
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.send_again(2, None, now_ms=7)
    await ledger.send_again(3, None, now_ms=7)
    await ledger.aclose()
    await made.settle(receipt(2))

    found = read_report(made.ledger)
    done = command("batch", "report", made.manifest)

    assert (found.maybe_duplicates, found.maybe_duplicate_rows) == (2, (2, 3))
    assert "2 messages sent again knowingly, perhaps twice in the chart: rows 2, 3" in done.out


async def test_what_a_killed_run_left_unknown_is_in_doubt_in_every_figure(made, command, holder):
    await made.add(3).plan()
    await made.settle(receipt(1), totals={"requests": 2, "runs": 1})
    await made.leave_behind(2)

    found = read_report(made.ledger)
    done = command("batch", "report", made.manifest)

    assert (found.rows.in_doubt, found.rows.pending, found.errors) == (1, 1, {"outcome_unknown": 1})
    assert (found.runs, found.runs_killed, found.running_pid) == (1, 1, None)
    assert "requests: at least 2, " in done.out
    assert "1 run so far; 1 run was cut off" in done.out
    process = holder(made.ledger)
    going_on = command("batch", "report", made.manifest)
    assert f"process {process.pid} works with the ledger now" in going_on.out
    assert "at least" not in going_on.out
    assert "cut off" not in going_on.out


async def test_what_was_already_sent_is_told_apart(made, command):
    await made.add(2).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    one = (await ledger.known(1, 1))[1]
    await ledger.plan(
        [
            Planned(
                row=1, offset=one.offset, identity=bytes(16), content=one.content,
                error_code="already_sent", error="an earlier batch sent it",
            )
        ],
        {},
    )  # fmt: skip
    await ledger.aclose()

    done = command("batch", "report", made.manifest)

    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "rejected 0" in lines
    assert "already sent 1 by an earlier batch: nothing to do" in lines
    assert not any(line.startswith("rejected:") for line in lines)


LIFE = """
import anyio, sys, time
from chartsend.batch.row import RowReceipt
from chartsend.batch.sqlite import SqliteLedger
def now(): return time.time_ns() // 1_000_000
async def one(ledger, owner, claimed):
    row = claimed.row
    await ledger.referencing(row, owner, attempts=1, sha256=None, message_hash=b"h", message_ms=1)
    status = "accepted" if row % 5 else "failed"
    await ledger.settle(RowReceipt(row=row, status=status, at_ms=now(), route=1, size_bytes=row,
        milliseconds=row, attempts=1, error_code=None if row % 5 else "invalid"), owner)
    print(row, flush=True)
async def main():
    owner = sys.argv[2]
    ledger = await SqliteLedger.open(sys.argv[1], create=False)
    await ledger.take_over(owner, now())
    while rows := await ledger.claim(owner, 16, now()):
        async with anyio.create_task_group() as together:
            for each in rows:
                together.start_soon(one, ledger, owner, each)
    await ledger.aclose()
anyio.run(main)
"""


async def test_totals_are_exact_after_any_number_of_kills(made, command):
    rows, kills = 400, 12
    ledger = await SqliteLedger.open(made.ledger, create=True)
    await ledger.plan([_planned(row) for row in range(1, rows + 1)], {})
    await ledger.aclose()

    for life in range(kills):
        _live(made, command, f"life-{life}", lines=3 + 7 * life % 30)
        with closing(made.reader()) as reader:
            _check_arithmetic(reader, rows)
    _live(made, command, "last", lines=None)

    with closing(made.reader()) as reader:
        _check_arithmetic(reader, rows)
        assert reader.verify() == []
    found = read_report(made.ledger)
    assert found.rows.pending == 0
    assert found.rows.in_doubt <= kills * 16
    assert found.rows.in_doubt + found.rows.done + found.rows.failed == rows


def _live(made, command, owner: str, *, lines: int | None) -> None:
    """One life, killed when it has told of so many rows."""
    process = subprocess.Popen(
        [sys.executable, "-c", LIFE, str(made.ledger), owner],
        stdout=subprocess.PIPE,
        env=command.environ,
    )
    for number, _ in enumerate(process.stdout, start=1):
        if number == lines:
            process.send_signal(signal.SIGKILL)
            break
    process.stdout.close()
    code = process.wait(60)
    assert code in ((0, -signal.SIGPIPE) if lines is None else (0, -signal.SIGKILL))


def _check_arithmetic(reader, rows: int) -> None:
    """Every total of the report is the sum over the rows' own receipts."""
    found = report_of(reader)
    accepted = [one for _, one in reader.receipts() if one.status == "accepted"]
    assert found.total == rows
    assert found.rows.done == len(accepted)
    assert found.bytes == sum(one.size_bytes for one in accepted)
    assert found.send_s.count == sum(one.decided_by == "answer" for one in accepted)
    assert sum(found.errors.values()) == found.rows.failed + found.rows.in_doubt


def _planned(row: int) -> Planned:
    return Planned(
        row=row,
        offset=row * 300,
        identity=row.to_bytes(16, "big"),
        content=row.to_bytes(8, "big"),
        size_bytes=row,
        mtime_ns=1,
        route=1,
    )


MEASURE = """
import resource, sys, os
from contextlib import closing
from chartsend.batch.naming import Names
from chartsend.batch.report import report_of
from chartsend.batch.sqlite import SqliteReader
from chartsend.batch.verify import verify
from chartsend.batch.manifest.reading import Manifest
from chartsend.cli.batch.reporting import csv_of
with closing(SqliteReader.open(sys.argv[1])) as reader, Manifest.open(sys.argv[2]) as manifest:
    lines = sum(block.count("\\n") for block in csv_of(reader, Names(manifest, reader.keyed)))
    found = report_of(reader)
    proof = verify(sys.argv[1], manifest)
print(lines, found.rows.done, len(proof.damage), sum(proof.differences.values()),
    resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.memory
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_memory_stays_flat_with_200_000_rows(tmp_path, command):
    peaks = {}
    for rows in (2_000, 200_000):
        ledger, manifest = await _filled(tmp_path / str(rows), rows)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, ledger, manifest],
            env=command.environ,
            capture_output=True,
            timeout=500,
            check=True,
        )
        lines, accepted, damage, differing, peaks[rows] = map(int, done.stdout.split())
        assert lines == rows + 1
        assert accepted == rows // 2
        assert damage == 0
        assert differing == 0

    assert peaks[200_000] - peaks[2_000] < 10 * 1024  # kB


async def _filled(folder, rows: int):
    """A ledger with so many rows, every second accepted, and the manifest that it is of."""
    folder.mkdir()
    manifest = folder / "manifest.jsonl"
    ledger = await SqliteLedger.open(folder / "ledger", create=True)
    try:
        with manifest.open("wb") as file:
            for start in range(1, rows + 1, 2000):
                await ledger.plan([_line(file, ledger, row) for row in range(start, start + 2000)], {})
        await _settle_half(ledger, rows)
    finally:
        await ledger.aclose()
    return folder / "ledger", manifest


def _line(file, ledger, row: int) -> Planned:
    raw = json.dumps({"path": "f.pdf", "document_id": f"D-{row}"}).encode()
    offset = file.tell()
    file.write(raw + b"\n")
    return Planned(
        row=row,
        offset=offset,
        identity=row.to_bytes(16, "big"),
        content=ledger.keyed(b"row", raw, size_bytes=8),
        size_bytes=1000,
        mtime_ns=1,
        route=1,
    )


async def _settle_half(ledger, rows: int) -> None:
    import anyio

    left = rows // 2
    while left:
        claimed = await ledger.claim(OWNER, min(1000, left), 1000)
        left -= len(claimed)
        async with anyio.create_task_group() as together:
            for each in claimed:
                together.start_soon(ledger.settle, receipt(each.row), OWNER)
