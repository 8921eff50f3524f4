"""A disk that is full, fails, or goes away: nothing is confirmed that it did not keep."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_lives import DRIVER, Lives
from ledger_made import THEM, US, bring_to, claim_row, plan_rows, receipt

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, failures
from chartsend.errors import LedgerError, LedgerFullError

NEEDS_STRACE = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def _may_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    asked = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


NEEDS_MOUNTS = pytest.mark.skipif(not _may_mount(), reason="mounting in a namespace is not allowed")


@pytest.fixture
def lives(tmp_path):
    """A function: lives in a directory, started behind a command."""
    started: list[Lives] = []

    def start(name: str, rows: int, *before: str) -> Lives:
        started.append(Lives(tmp_path / name, rows, *before))
        return started[-1]

    yield start
    for one in started:
        one.close()


def ended_with(lives: Lives) -> str:
    """The last word of a life."""
    return list(lives.told())[-1][1]


@pytest.mark.timeout(300)
def test_files_that_may_not_grow_stop_it_at_every_size(lives):
    """The limit moves up by a few pages; where it stops, what was confirmed is there, and it goes on."""
    words = []
    one = lives("a", 60)
    for limit_bytes in range(4096, 300_000, 3 * 4096):
        one.start(limit_bytes=limit_bytes)
        words.append(ended_with(one))
        if (one.directory / "ledger.db").exists():
            one.judge()
    assert set(words) == {"ledger_full", "finished"}
    assert words.index("finished") > 5
    assert one.judge()[State.DONE] == 60


@NEEDS_MOUNTS
@pytest.mark.timeout(300)
def test_a_full_disk_stops_it_and_room_lets_it_go_on(tmp_path):
    """A real file system of a few hundred kilobytes, in a namespace of its own."""
    place = tmp_path / "mnt"
    place.mkdir(0o700)
    script = f"""
        set -e
        mount -t tmpfs -o size=200k,mode=700 tmpfs {place}
        export XDG_STATE_HOME={tmp_path}/state
        echo '{{"directory": "{place}/a", "rows": 400}}' | {sys.executable} {DRIVER} | grep -v ' [1-9]'
        cp -r {place}/a {tmp_path}/full
        mount -o remount,size=20m {place}
        echo '{{"directory": "{place}/a", "rows": 400}}' | {sys.executable} {DRIVER} | grep -v ' [1-9]'
        cp -r {place}/a {tmp_path}/finished
    """
    done = subprocess.run(
        ["unshare", "-Urm", "bash", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    words = [line.split()[-1] for line in done.stdout.splitlines() if " - " in line]
    assert words == ["ledger_full", "finished"], done.stdout
    for name, is_finished in (("full", False), ("finished", True)):
        reader = SqliteReader.open(tmp_path / name)
        assert reader.verify() == []
        assert (reader.counts()[State.DONE] == 400) is is_finished
        reader.close()


@NEEDS_STRACE
@pytest.mark.timeout(300)
def test_nothing_is_confirmed_before_the_disk_has_confirmed_it(tmp_path, lives):
    """With one step at a time: written to the log, the log confirmed, and then said."""
    trace = tmp_path / "trace"
    one = lives(
        "a", 20, *("strace", "-f", "-y", "-o", str(trace), "-e", "trace=pwrite64,fdatasync,write")
    )
    one.start(workers=1)
    assert ended_with(one) == "finished"
    one.close()
    confirmed = 0
    is_durable, asking = False, ""
    for line in trace.read_text(errors="replace").splitlines():
        if "pwrite64(" in line and "ledger.db-wal>" in line:
            is_durable = False
        elif "fdatasync(" in line and "ledger.db-wal>" in line:
            asking = line.split()[0]
            is_durable = line.endswith("= 0")  # or it is resumed later
        elif "<... fdatasync resumed>" in line and line.split()[0] == asking:
            is_durable = line.endswith("= 0")
        elif "write(1" in line and any(f" {step}\\n" in line for step in ("REFERENCING", "DONE")):
            assert is_durable, line
            confirmed += 1
    assert confirmed == 40


@NEEDS_STRACE
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_disk_that_does_not_confirm_stops_it_for_good(lives, call):
    """Each call fails in turn. Nothing is asked again, and the next life finds what was confirmed."""
    words = []
    for when in (1, 2, 3, 4, 5, 7, 10, 20):
        one = lives(
            f"{call}-{when}",
            40,
            *("strace", "-f", "-qq", "-o", os.devnull),
            *("-e", f"trace={call}", "-e", f"inject={call}:error=EIO:when={when}"),
        )
        one.start()
        words.append(ended_with(one))
        after = lives(f"{call}-{when}", 40)
        after.confirmed = dict(one.confirmed)
        if (after.directory / "ledger.db").exists():
            after.judge()
        after.start()
        assert ended_with(after) == "finished"
        assert after.judge()[State.DONE] == 40
    assert "ledger" in words, words
    assert set(words) <= {"ledger", "finished"}, words


@NEEDS_STRACE
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("error", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_write_that_fails_stops_it_for_good(lives, error):
    words = []
    for when in (1, 2, 3, 5, 8, 13, 40):
        one = lives(
            f"{error}-{when}",
            40,
            *("strace", "-f", "-qq", "-o", os.devnull),
            *("-e", "trace=pwrite64", "-e", f"inject=pwrite64:error={error}:when={when}+"),
        )
        one.start()
        words.append(ended_with(one))
        after = lives(f"{error}-{when}", 40)
        after.confirmed = dict(one.confirmed)
        if (after.directory / "ledger.db").exists():
            after.judge()
        after.start()
        assert ended_with(after) == "finished"
        assert after.judge()[State.DONE] == 40
    wanted = "ledger" if error == "EIO" else "ledger_full"
    assert wanted in words, words
    assert set(words) <= {wanted, "finished"}, words


@pytest.mark.parametrize("what", ["ledger.db", "ledger.db-wal", "."])
@pytest.mark.parametrize("how", ["moved", "removed"])
async def test_a_ledger_that_is_taken_away_while_in_use_confirms_nothing(
    tmp_path, open_ledger, what, how
):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    await claim_row(ledger, 1)
    target = (tmp_path / "a" / what).resolve()
    kept = tmp_path / "elsewhere"
    if how == "moved":
        target.rename(kept)
    elif target.is_dir():
        shutil.rmtree(target)
    else:
        target.unlink()
    for _ in range(2):
        with pytest.raises(LedgerError, match=r"moved or removed|failed"):
            await ledger.settle(receipt(1), US)
    await ledger.aclose()


async def test_a_log_that_a_reader_made_anew_is_not_taken_for_ours(tmp_path, open_ledger):
    """Whoever opens a ledger without its log makes an empty one; ours has no name any more."""
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    await ledger.aclose()
    ledger = await open_ledger("a")
    (tmp_path / "a" / "ledger.db-wal").unlink()
    program = (
        "import sys; from chartsend.batch.sqlite import SqliteReader;"
        "print(SqliteReader.open(sys.argv[1]).totals())"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=True)
    assert (tmp_path / "a" / "ledger.db-wal").exists()
    with pytest.raises(LedgerError, match="moved or removed"):
        await claim_row(ledger, 1)


async def test_a_ledger_that_was_replaced_while_in_use_confirms_nothing(tmp_path, open_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    shutil.copy(tmp_path / "a" / "ledger.db", tmp_path / "copy")
    (tmp_path / "copy").rename(tmp_path / "a" / "ledger.db")
    with pytest.raises(LedgerError, match="moved or removed"):
        await claim_row(ledger, 1)


async def test_a_failure_leaves_the_files_as_they_are(tmp_path, open_ledger):
    """No checkpoint on the way out: the disk that just failed is not asked again."""
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    await bring_to(ledger, 1, State.DONE)
    log = tmp_path / "a" / "ledger.db-wal"
    before = log.read_bytes()
    database = (tmp_path / "a" / "ledger.db").read_bytes()

    def fail(store) -> None:
        store.add("sum:x", 1)
        raise MemoryError

    with pytest.raises(LedgerError, match="MemoryError"):
        await ledger._writer.do(fail)
    await ledger.aclose()
    assert log.read_bytes() == before
    assert (tmp_path / "a" / "ledger.db").read_bytes() == database
    again = await SqliteLedger.open(tmp_path / "a", create=False)
    assert [one.row for one in await again.claim(THEM, 9, 0)] == [2, 3]
    await again.aclose()


async def test_a_ledger_that_is_refused_stays_as_it_is(tmp_path, open_ledger):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (tmp_path / "b" / "ledger.db-shm").unlink()
    (tmp_path / "b" / "key").write_bytes(b"x" * 32)
    names = ("ledger.db", "ledger.db-wal")
    before = [(tmp_path / "b" / name).read_bytes() for name in names]
    with pytest.raises(LedgerError):
        await SqliteLedger.open(tmp_path / "b", create=False)
    assert [(tmp_path / "b" / name).read_bytes() for name in names] == before


def test_room_is_asked_for_where_the_ledger_would_grow(tmp_path):
    (tmp_path / "ledger.db").write_bytes(bytes(100_000))
    assert failures.has_room(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]
    program = (
        "import resource, sys; from pathlib import Path; from chartsend.batch.sqlite import failures;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000));"
        "sys.exit(failures.has_room(Path(sys.argv[1])))"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == 0


async def test_where_nothing_can_be_made_the_reason_is_said(tmp_path):
    program = (
        "import asyncio, resource, sys; from chartsend.batch.sqlite import SqliteLedger;"
        "from chartsend.errors import LedgerFullError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "try: asyncio.run(SqliteLedger.open(sys.argv[1], create=True))\n"
        "except LedgerFullError: sys.exit(42)"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "a")], check=False)
    assert done.returncode == 42
    assert LedgerFullError.code == "ledger_full"


@NEEDS_MOUNTS
def test_a_ledger_on_a_disk_that_cannot_be_written_can_be_read(tmp_path):
    """A finished one as it is; one that was left in use only where its log can be mended."""
    script = f"""
        set -e
        export XDG_STATE_HOME={tmp_path}/state
        mkdir -m 700 {tmp_path}/ro
        echo '{{"directory": "{tmp_path}/a", "rows": 20}}' | {sys.executable} {DRIVER} >/dev/null
        mount --bind {tmp_path}/a {tmp_path}/ro
        mount -o remount,bind,ro {tmp_path}/ro
        {sys.executable} -c '{READ}' {tmp_path}/ro
    """
    asked = ["unshare", "-Urm", "bash", "-c", script]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[] 20", "ledger"], done.stderr
    assert Path(tmp_path / "a" / "lock").exists()


READ = """
import asyncio, sys
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.errors import LedgerError
reader = SqliteReader.open(sys.argv[1])
print(reader.verify(), reader.counts()[State.DONE])
try:
    asyncio.run(SqliteLedger.open(sys.argv[1], create=False))
except LedgerError as error:
    print(error.code)
"""
