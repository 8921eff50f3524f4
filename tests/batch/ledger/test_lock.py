"""One process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from ledger_made import plan_rows

from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.batch.sqlite.lock import Holder, Lock
from chartsend.errors import LedgerLockedError

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import asyncio, sys
from chartsend.batch.sqlite import SqliteLedger
async def main():
    ledger = await SqliteLedger.open(sys.argv[1], create=True)
    print("open", flush=True)
    sys.stdin.readline()
    await ledger.aclose()
asyncio.run(main())
"""


@pytest.fixture
def hold():
    """A function: a process that holds the ledger in a directory until its stdin ends."""
    children: list[subprocess.Popen[bytes]] = []

    def start(directory: Path) -> subprocess.Popen[bytes]:
        child = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        children.append(child)
        assert child.stdout.readline() == b"open\n"
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()


async def test_a_second_process_is_told_who_has_the_ledger(tmp_path, hold):
    child = hold(tmp_path / "a")
    with pytest.raises(LedgerLockedError, match=rf"process {child.pid} "):
        await SqliteLedger.open(tmp_path / "a", create=True)
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.verify() == []
    reader.close()
    child.communicate(b"\n", timeout=60)
    await (await SqliteLedger.open(tmp_path / "a", create=False)).aclose()


async def test_what_a_killed_process_left_is_no_lock(tmp_path, hold):
    child = hold(tmp_path / "a")
    child.send_signal(signal.SIGKILL)
    child.wait(60)
    assert (tmp_path / "a" / "lock").stat().st_size
    await (await SqliteLedger.open(tmp_path / "a", create=False)).aclose()


async def test_a_second_writer_in_the_same_process_is_refused_too(tmp_path, open_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 1)
    with pytest.raises(LedgerLockedError, match=f"process {os.getpid()} "):
        await open_ledger("a")
    await plan_rows(ledger, 2)


async def test_closed_it_is_free_at_once(tmp_path, open_ledger):
    for _ in range(3):
        await (await open_ledger("a")).aclose()


def test_a_lock_whose_file_was_removed_locks_the_new_file(tmp_path):
    file = tmp_path / "lock"
    first = Lock.take(file)
    file.unlink()
    second = Lock.take(file)  # the first is a lock of nothing any more
    with pytest.raises(LedgerLockedError):
        Lock.take(file)
    first.release()
    with pytest.raises(LedgerLockedError):
        Lock.take(file)
    second.release()
    Lock.take(file).release()


@pytest.mark.parametrize("content", [b"", b"\xff", b"{}", b'{"pid": "x"}', b"[" * 2000])
def test_a_lock_that_is_held_is_held_whatever_its_file_says(tmp_path, content):
    lock = Lock.take(tmp_path / "lock")
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(LedgerLockedError, match="another process"):
        Lock.take(tmp_path / "lock")
    lock.release()


def test_a_number_that_went_to_another_process_is_not_its_holder():
    us = Holder.this_process()
    assert us.is_alive
    assert us.started > 0
    assert not Holder(us.pid, us.boot_id, us.started - 1).is_alive
    assert not Holder(us.pid, "another run of the machine", us.started).is_alive
