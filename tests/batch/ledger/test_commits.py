"""Steps share a commit: each is confirmed after it, fails with it, and may be left by its caller."""

from __future__ import annotations

import asyncio
import sqlite3
import struct

import anyio
import pytest
from ledger_made import (
    THEM,
    US,
    bring_to,
    claim_row,
    plan_rows,
    planned,
    receipt,
    refer,
    rejected,
    upload,
)

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, session as sessions, writer as writers
from chartsend.batch.sqlite.session import Session
from chartsend.errors import LedgerCorruptError, LedgerError, LedgerFullError, LostRowError


class Commits:
    """Counts commits; holds them, or fails them, when asked to."""

    def __init__(self, monkeypatch) -> None:
        self.count = 0
        self.failure: BaseException | None = None
        self.entered, self.go_on = asyncio.Event(), None
        self._loop = asyncio.get_running_loop()
        commit = Session.commit

        def counted(session: Session) -> None:
            self.count += 1
            if self.go_on is not None:
                self._loop.call_soon_threadsafe(self.entered.set)
                asyncio.run_coroutine_threadsafe(self.go_on.wait(), self._loop).result()
            if self.failure is not None:
                raise self.failure
            commit(session)

        monkeypatch.setattr(Session, "commit", counted)

    def hold(self) -> None:
        self.go_on = asyncio.Event()


@pytest.fixture
async def commits(monkeypatch) -> Commits:
    return Commits(monkeypatch)


async def test_steps_that_wait_together_share_a_commit(open_ledger, read_ledger, commits):
    ledger = await open_ledger()
    await plan_rows(ledger, 50)
    rows = await ledger.claim(US, 50, 0)
    commits.hold()
    before = commits.count
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.settle, receipt(rows[0].row), US)
        await commits.entered.wait()
        for row in rows[1:]:
            tasks.start_soon(ledger.settle, receipt(row.row), US)
        await anyio.wait_all_tasks_blocked()
        assert read_ledger().counts()[State.DONE] == 0
        commits.go_on.set()
    assert commits.count == before + 2
    assert read_ledger().counts()[State.DONE] == 50


async def test_a_step_is_not_confirmed_before_its_commit(open_ledger, read_ledger, commits):
    ledger = await open_ledger()
    await plan_rows(ledger, 1)
    await claim_row(ledger, 1)
    commits.hold()
    async with anyio.create_task_group() as tasks:
        confirmed = anyio.Event()

        async def intend() -> None:
            await refer(ledger, 1)
            confirmed.set()

        tasks.start_soon(intend)
        await commits.entered.wait()
        await anyio.wait_all_tasks_blocked()
        assert not confirmed.is_set()
        commits.go_on.set()


FAILURES = [
    (sqlite3.OperationalError("disk I/O error"), LedgerError),
    (OSError(28, "No space left on device"), LedgerFullError),
    (OSError(122, "Disk quota exceeded"), LedgerFullError),
    (OSError(5, "Input/output error"), LedgerError),
    (MemoryError(), LedgerError),
    (sqlite3.DatabaseError("file is not a database"), LedgerError),
]
_corrupt = sqlite3.DatabaseError("database disk image is malformed")
_corrupt.sqlite_errorcode = sqlite3.SQLITE_CORRUPT | (3 << 8)
_full = sqlite3.OperationalError("database or disk is full")
_full.sqlite_errorcode = sqlite3.SQLITE_FULL
FAILURES += [(_corrupt, LedgerCorruptError), (_full, LedgerFullError)]


@pytest.mark.parametrize(("failure", "kind"), FAILURES, ids=lambda one: str(one)[:24])
async def test_a_commit_that_fails_fails_its_group_and_everything_after(
    tmp_path, open_ledger, commits, failure, kind
):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 10)
    rows = await ledger.claim(US, 10, 0)
    commits.failure = failure
    failed: list[LedgerError] = []

    async def settle(row: int) -> None:
        with pytest.raises(LedgerError) as caught:
            await ledger.settle(receipt(row), US)
        failed.append(caught.value)

    async with anyio.create_task_group() as tasks:
        for row in rows:
            tasks.start_soon(settle, row.row)
    assert len(failed) == 10
    assert {type(error) for error in failed} == {kind}
    assert len(set(map(id, failed))) == 10
    commits.failure = None
    count = commits.count
    for step in (ledger.claim(US, 1, 0), ledger.note({"a": "b"}), ledger.purge(5), ledger.known(1, 2)):
        with pytest.raises(kind):
            await step
    assert commits.count == count  # nothing was tried again
    await ledger.aclose()

    ledger = await SqliteLedger.open(tmp_path / "a", create=False)
    assert (await ledger.take_over(THEM, 5)).released == 10
    await ledger.aclose()
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.verify() == []
    reader.close()


async def test_a_step_that_breaks_halfway_takes_its_group_along(open_ledger, read_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 2)

    def half(store) -> None:
        store.add("sum:x", 1)
        raise ZeroDivisionError

    with pytest.raises(LedgerError, match="ZeroDivisionError"):
        await ledger._writer.do(half)
    with pytest.raises(LedgerError):
        await ledger.claim(US, 1, 0)
    assert "x" not in read_ledger().totals()


async def test_a_mistake_of_the_caller_changes_nothing(open_ledger, read_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 1)
    await claim_row(ledger, 1)
    with pytest.raises(UnicodeEncodeError):
        await ledger.note({"a": "\udcff"})
    with pytest.raises(UnicodeEncodeError):
        await ledger.plan([planned(2)], {"a": "\udcff"})
    with pytest.raises(UnicodeEncodeError):
        await ledger.plan([rejected(2, error="\udcff")], {})
    with pytest.raises(ValueError, match="16 and 8 bytes"):
        await ledger.plan([planned(2, identity=b"x" * 17)], {})
    with pytest.raises(OverflowError):
        await ledger.retry_at(1, US, next_try_ms=2**70, attempts=1, error_code="x")
    with pytest.raises((OverflowError, struct.error)):
        await ledger.plan([planned(2, size_bytes=2**70)], {})
    await ledger.settle(receipt(1), US)
    assert read_ledger().verify() == []


CANCELLED = {
    "claim": (None, lambda ledger: ledger.claim(US, 1, 0)),
    "uploading": (State.QUEUED, lambda ledger: ledger.uploading(1, US, attempts=1)),
    "uploaded": (
        State.UPLOADING,
        lambda ledger: ledger.uploaded(1, US, reference_url="x", source_id=None, sha256=None, now_ms=1),
    ),
    "referencing": (State.UPLOADED, lambda ledger: refer(ledger, 1)),
    "settle": (State.REFERENCING, lambda ledger: ledger.settle(receipt(1), US)),
    "retry_at": (
        State.REFERENCING,
        lambda ledger: ledger.retry_at(1, US, next_try_ms=5, attempts=1, error_code="x"),
    ),
    "release": (State.UPLOADED, lambda ledger: ledger.release(1, US, attempts=1)),
    "send_again": (State.IN_DOUBT, lambda ledger: ledger.send_again(1, US, now_ms=1)),
    "sent": (State.IN_DOUBT, lambda ledger: ledger.sent(1, decided_by="person", now_ms=1)),
    "take_over": (State.REFERENCING, lambda ledger: ledger.take_over(THEM, 1)),
    "plan": (State.FAILED, lambda ledger: ledger.plan([planned(1), planned(9)], {"a": "b"})),
    "plan_again": (State.FAILED, lambda ledger: ledger.plan_again(frozenset({State.FAILED}))),
    "reject_duplicates": (None, lambda ledger: ledger.reject_duplicates()),
    "purge": (State.DONE, lambda ledger: ledger.purge(10**15)),
    "note": (None, lambda ledger: ledger.note({"a": "b"})),
    "count": (None, lambda ledger: ledger.count({"requests": 1})),
}


def told(reader) -> tuple[object, ...]:
    return (
        list(reader.settled()),
        list(reader.receipts()),
        reader.facts(),
        reader.totals(),
        reader.counts(),
    )


@pytest.mark.parametrize("name", CANCELLED)
async def test_a_step_is_made_once_or_not_at_all_however_it_is_cancelled(open_ledger, read_ledger, name):
    """It is cancelled at one turn of the loop after the other; the ledger is as before, or as after."""
    state, step = CANCELLED[name]

    async def prepared(number: str):
        ledger = await open_ledger(number)
        await plan_rows(ledger, 2)
        if state is State.QUEUED:
            await claim_row(ledger, 1)
        elif state is not None:
            await bring_to(ledger, 1, state)
        return ledger

    ledger = await prepared("model")
    before = told(read_ledger("model"))
    await step(ledger)
    after = told(read_ledger("model"))
    was_cancelled = True
    turn = 0
    while was_cancelled:
        ledger = await prepared(str(turn))
        task = asyncio.ensure_future(step(ledger))
        for _ in range(turn):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        was_cancelled = task.cancelled()
        await ledger.known(1, 1)  # what was asked before this has been made, or never will be
        assert told(read_ledger(str(turn))) in (before, after)
        assert read_ledger(str(turn)).verify() == []
        await ledger.aclose()
        turn += 1 + turn // 4


@pytest.mark.parametrize("turn", range(6))
async def test_an_opening_that_is_cancelled_leaves_no_lock(tmp_path, turn):
    task = asyncio.ensure_future(SqliteLedger.open(tmp_path / "a", create=True))
    for _ in range(turn):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with anyio.fail_after(60):
        while True:
            try:
                ledger = await SqliteLedger.open(tmp_path / "a", create=True)
            except LedgerError:
                await anyio.sleep(0.01)  # the thread is still closing
            else:
                break
    await ledger.aclose()


async def test_closing_commits_what_waits(open_ledger, read_ledger, commits):
    ledger = await open_ledger()
    await plan_rows(ledger, 20)
    rows = await ledger.claim(US, 20, 0)
    commits.hold()
    async with anyio.create_task_group() as tasks:
        for row in rows:
            tasks.start_soon(ledger.settle, receipt(row.row), US)
        await commits.entered.wait()
        tasks.start_soon(ledger.aclose)
        await anyio.wait_all_tasks_blocked()
        commits.go_on.set()
    assert read_ledger().counts()[State.DONE] == 20


async def test_a_close_that_is_cancelled_closes_all_the_same(open_ledger, commits):
    ledger = await open_ledger("a")
    commits.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.note, {"a": "b"})
        await commits.entered.wait()
        with anyio.move_on_after(0):
            await ledger.aclose()
        commits.go_on.set()
    await ledger.aclose()
    await (await open_ledger("a")).aclose()


async def test_nothing_is_left_of_a_closed_ledger(tmp_path, baseline):
    ledger = await SqliteLedger.open(tmp_path / "a", create=True)
    await plan_rows(ledger, 5)
    await ledger.aclose()
    with pytest.raises(LedgerError):
        await SqliteLedger.open(tmp_path / "nothing", create=False)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == [
        "key",
        "ledger.db",
        "lock",
        "mark",
    ]
    await baseline.check()


async def test_a_ledger_whose_loop_ended_still_closes_its_files(tmp_path):
    """Steps that wait when the loop is gone are made; nobody is told, and nothing breaks."""

    def run() -> None:
        async def begin() -> None:
            nonlocal ledger
            ledger = await SqliteLedger.open(tmp_path / "a", create=True)
            await ledger.plan([planned(1)], {})
            task = asyncio.ensure_future(ledger.note({"left": "behind"}))
            await asyncio.sleep(0)
            task.cancel()

        ledger = None
        asyncio.run(begin())
        ledger._writer._steps.put(None)
        ledger._writer._thread.join(60)
        assert not ledger._writer._thread.is_alive()

    await asyncio.get_running_loop().run_in_executor(None, run)
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.facts() == {"left": "behind"}
    reader.close()


async def test_the_log_is_copied_into_the_tables_and_does_not_grow(tmp_path, open_ledger, monkeypatch):
    monkeypatch.setattr(sessions, "TIDY_COMMITS", 20)
    ledger = await open_ledger("a")
    await plan_rows(ledger, 600)
    sizes = []
    for row in await ledger.claim(US, 600, 0):
        await ledger.settle(receipt(row.row), US)
        sizes.append((tmp_path / "a" / "ledger.db-wal").stat().st_size)
    assert max(sizes[300:]) <= max(sizes[:300])
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.counts()[State.DONE] == 600
    reader.close()


async def test_a_group_has_a_bounded_length(open_ledger, read_ledger, monkeypatch, commits):
    monkeypatch.setattr(writers, "MOST_STEPS", 16)
    ledger = await open_ledger()
    commits.hold()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.note, {"a": "b"})
        await commits.entered.wait()
        for _ in range(64):
            tasks.start_soon(ledger.count, {"requests": 1})
        await anyio.wait_all_tasks_blocked()
        commits.go_on.set()
    assert commits.count == 1 + 4
    assert read_ledger().totals()["requests"] == 64


async def test_a_lost_row_names_the_row_and_not_its_owner(open_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 1)
    await claim_row(ledger, 1)
    with pytest.raises(LostRowError) as caught:
        await upload(ledger, 1, THEM)
    assert "row 1" in caught.value.message
    assert US not in caught.value.message
