"""Readers beside a writer, after it, and after its death; and what no reader must ever find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import anyio
import pytest
from ledger_lives import Lives
from ledger_made import US, bring_to, plan_rows, receipt, refer, upload

from chartsend.batch.row import Planned, State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, schema, session as sessions
from chartsend.errors import LedgerError

READ = """
import sys
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteReader
reader = SqliteReader.open(sys.argv[1])
seen = 0
print("reading", flush=True)
while True:
    done = reader.counts()[State.DONE]
    assert seen <= done <= reader.totals()["receipts"], (seen, done)
    assert sum(1 for _ in reader.rows(State.DONE)) >= done
    assert sum(1 for _ in reader.receipts()) >= done
    assert reader.verify() == []
    seen = done
    if done == int(sys.argv[2]):
        break
reader.close()
"""


@pytest.mark.timeout(180)
async def test_another_process_reads_a_whole_ledger_at_any_time(tmp_path, open_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 500)
    program = [sys.executable, "-c", READ, str(tmp_path / "a"), "500"]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as reader:
        assert reader.stdout.readline() == b"reading\n"

        async def work() -> None:
            while rows := await ledger.claim(US, 1, 0):
                await refer(ledger, rows[0].row)
                await ledger.settle(receipt(rows[0].row), US)

        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(work)
        assert await anyio.to_thread.run_sync(reader.wait) == 0


async def test_readers_that_come_and_go_do_not_make_the_log_grow(tmp_path, open_ledger, monkeypatch):
    monkeypatch.setattr(sessions, "TIDY_COMMITS", 10)
    ledger = await open_ledger("a")
    await plan_rows(ledger, 600)
    stop = threading.Event()
    failures: list[BaseException] = []

    def read() -> None:
        try:
            while not stop.is_set():
                reader = SqliteReader.open(tmp_path / "a")
                for _ in reader.rows():  # slowly, in parts
                    pass
                reader.close()
        except BaseException as exc:  # noqa: BLE001  # for the test to see
            failures.append(exc)

    thread = threading.Thread(target=read)
    thread.start()
    log, sizes = tmp_path / "a" / "ledger.db-wal", []
    try:
        for row in await ledger.claim(US, 600, 0):
            await ledger.settle(receipt(row.row), US)
            sizes.append(log.stat().st_size)
    finally:
        stop.set()
        thread.join()
    assert not failures
    assert max(sizes) < 600 * (sizes[3] - sizes[2]) / 2  # half of what all commits together have


async def test_one_that_is_read_between_two_rows_stays_a_snapshot_of_parts(open_ledger, read_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 1200)
    reader = read_ledger()
    rows = reader.rows()
    assert next(rows).row == 1
    await ledger.claim(US, 1200, 0)
    await ledger.settle(receipt(1200), US)
    assert [one.row for one in rows] == list(range(2, 1201))


def test_what_a_killed_process_left_is_read_with_and_without_its_index(tmp_path):
    lives = Lives(tmp_path / "a", 300)
    child = lives.start()
    for count, _ in enumerate(lives.told()):
        if count == 700:
            lives.kill(child)
    lives.close()
    names = {file.name for file in (tmp_path / "a").iterdir()}
    assert {"ledger.db-wal", "ledger.db-shm"} <= names
    lives.judge()
    (tmp_path / "a" / "ledger.db-shm").unlink()
    lives.judge()
    assert os.stat(tmp_path / "a" / "ledger.db-shm").st_mode & 0o777 == 0o600


async def test_a_reader_goes_on_when_the_writer_has_gone_and_come_back(open_ledger, read_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 2)
    reader = read_ledger("a")
    await bring_to(ledger, 1, State.DONE)
    await ledger.aclose()
    assert reader.counts()[State.DONE] == 1
    ledger = await open_ledger("a")
    await bring_to(ledger, 2, State.DONE)
    assert reader.counts()[State.DONE] == 2
    assert reader.verify() == []


async def test_closing_does_not_wait_for_a_reader(open_ledger, read_ledger, monkeypatch):
    """Whoever still reads keeps the log; the next to open the ledger copies it."""
    monkeypatch.setattr(schema, "BUSY_S", 600.0)
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    reader = read_ledger("a")
    reader._connection.execute("BEGIN")
    assert reader.counts()[State.QUEUED] == 3
    await bring_to(ledger, 1, State.DONE)
    with anyio.fail_after(60):
        await ledger.aclose()
    assert reader.counts()[State.QUEUED] == 3
    reader._connection.execute("ROLLBACK")
    ledger = await open_ledger("a")
    assert reader.counts()[State.QUEUED] == 2
    assert reader.verify() == []


async def test_a_reader_cannot_write(open_ledger, read_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 1)
    reader = read_ledger()
    with pytest.raises(LedgerError):
        reader._select("DELETE FROM rows")
    assert reader.counts()[State.QUEUED] == 1


SECRETS = [
    "Quillfeather, Marla",
    "0000991234",
    "Discharge summary of 12 May",
    "/srv/scans/quillfeather-marla-1971.pdf",
    "Wundliegen am linken Fuß",
]


async def test_what_hashes_are_made_of_is_nowhere_in_the_directory(tmp_path, state_home):
    """The port is given hashes of it, and keeps these; nothing else of it can get there."""
    ledger = await SqliteLedger.open(tmp_path / "a", create=True)
    made = [secret.encode() for secret in SECRETS]
    await ledger.plan(
        [
            Planned(
                row=row,
                offset=row,
                identity=ledger.keyed(b"memorial-ehr", secret, size_bytes=16),
                content=ledger.keyed(*made, size_bytes=8),
                size_bytes=100,
                mtime_ns=1,
                route=1,
            )
            for row, secret in enumerate(made, 1)
        ],
        {"snapshot": ledger.keyed(*made, size_bytes=32).hex()},
    )
    await ledger.reject_duplicates()
    for row in await ledger.claim(US, 9, 0):
        await upload(ledger, row.row)
        await refer(ledger, row.row, message_hash=ledger.keyed(*made, size_bytes=16))
        await ledger.settle(receipt(row.row), US)
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.verify() == []
    for folder in (tmp_path / "a", state_home / "chartsend"):
        for file in folder.iterdir():
            content = file.read_bytes()
            for secret in SECRETS:
                for form in (secret.encode(), json.dumps(secret).encode(), secret.encode("utf-16-le")):
                    assert form not in content
                assert secret.encode().hex().encode() not in content
    # The test can find what is there: what was given knowingly.
    everything = b"".join(file.read_bytes() for file in (tmp_path / "a").iterdir())
    assert b"https://blob.example/Binary/" in everything
    reader.close()
    await ledger.aclose()


async def test_what_was_purged_is_nowhere_in_the_directory(tmp_path, open_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 300)
    secret = "https://blob.example/forget-me-"
    for row in await ledger.claim(US, 300, 0):
        await upload(ledger, row.row, reference_url=f"{secret}{row.row}")
        await ledger.settle(receipt(row.row, reference_url=f"{secret}{row.row}"), US)
    assert await ledger.purge(10**15) == 300
    await ledger.aclose()
    for file in (tmp_path / "a").iterdir():
        assert secret.encode() not in file.read_bytes()
