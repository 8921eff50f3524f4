"""A document that another batch of this user has sent is not sent again, whenever that was."""

from __future__ import annotations

import shutil

import anyio
import pytest

from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.errors import LedgerError


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """A list of ledgers that nobody else is on."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "chartsend"


@pytest.fixture
def plan(job):
    """A function: plans the job's manifest into a ledger of its own, and gives plan and news."""

    async def made(name, **options):
        settings = job.settings_of(job.sandbox, quota="off")
        wanted = BatchOptions(to=job.sandbox.info.destination, **options)
        async with Batch.open(job.manifest, settings, wanted, ledger=job.folder / name) as batch:
            return await batch.plan(), batch.news

    return made


@pytest.fixture
def run(job):
    """A function: the same, and sends; gives what was settled."""

    async def ran(name, **options):
        settings = job.settings_of(job.sandbox, quota="off", retry={"attempts": 1})
        wanted = BatchOptions(to=job.sandbox.info.destination, **options)
        async with (
            Batch.open(job.manifest, settings, wanted, ledger=job.folder / name) as batch,
            batch.run() as settled,
        ):
            return {each.row: each.receipt.status async for each in settled}

    return ran


def rejected(job, name):
    reader = SqliteReader.open(job.folder / name)
    try:
        assert reader.verify() == []
        return reader.rejects_by_code()
    finally:
        reader.close()


async def test_what_another_batch_sent_after_this_plan_was_made_is_not_sent_again(job, plan, run):
    job.add(3)
    for name in ("a", "b"):
        await plan(name)

    assert len(await run("a")) == 3
    assert await run("b") == {}

    assert job.messages() == {"D-1": 1, "D-2": 1, "D-3": 1}
    assert rejected(job, "b") == {"already_sent": 3}
    (made, news) = await plan("b")
    assert (made.rows, made.accepted, made.already_sent) == (3, 0, 3)
    assert news == []


async def test_a_plan_that_was_made_to_send_again_does_not_without_being_told_so_again(job, plan, run):
    job.add(2)
    await run("a")
    assert (await plan("b", sends_again=True))[0].accepted == 2

    assert await run("b") == {}
    assert job.messages() == {"D-1": 1, "D-2": 1}
    await plan("c", sends_again=True)
    assert len(await run("c", sends_again=True)) == 2
    assert job.messages() == {"D-1": 2, "D-2": 2}


async def test_a_row_that_waits_for_its_next_try_is_not_sent_once_another_batch_has_sent_it(job, run):
    job.add(2)
    where = {"document_id": "D-2"}
    fault = job.sandbox.fault(on="message", do="status", status=408, where=where, times=None)
    settings = job.settings_of(job.sandbox, quota="off", retry={"attempts": 1})
    wanted = BatchOptions(to=job.sandbox.info.destination)
    async with Batch.open(job.manifest, settings, wanted, ledger=job.folder / "a") as batch:
        await batch.plan()
        runner = await batch.runner()
        async with runner.run() as settled:
            async for each in settled:
                assert each.row == 1
                break
    assert fault is not None
    job.sandbox.clear_faults()
    assert await run("b") == {2: "accepted"}

    assert await run("a") == {}

    assert job.messages() == {"D-1": 1, "D-2": 1}
    assert rejected(job, "a") == {"already_sent": 1}


async def test_a_row_that_a_killed_run_had_claimed_is_not_sent_once_another_batch_has_sent_it(
    job, plan, run
):
    job.add(2)
    await plan("a")
    ledger = await SqliteLedger.open(job.folder / "a", create=False)
    assert len(await ledger.claim("killed", 9, 1)) == 2
    await ledger.aclose()
    await run("b")

    assert await run("a") == {}

    assert job.messages() == {"D-1": 1, "D-2": 1}


async def test_a_plan_that_nobody_has_overtaken_costs_no_look_at_rows(job, plan, run, monkeypatch):
    job.add(2)
    await run("a")
    await plan("b")
    asked = []
    reject = SqliteLedger.reject_already_sent

    async def counted(self, earlier, **more):
        asked.append(earlier)
        return await reject(self, earlier, **more)

    monkeypatch.setattr(SqliteLedger, "reject_already_sent", counted)
    await plan("b")
    assert asked == []
    ledger = await SqliteLedger.open(job.folder / "a", create=False)
    await ledger.note({"x": "1"})
    await ledger.aclose()
    await plan("b")
    assert asked == [str(job.folder / "a")]


async def test_killed_while_it_asks_the_others_a_plan_has_no_stale_counts(job, plan, run, monkeypatch):
    job.add(3)
    await plan("b")
    await run("a")
    reject = SqliteLedger.reject_already_sent

    async def then_die(self, earlier, **more):
        await reject(self, earlier, **more)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SqliteLedger, "reject_already_sent", then_die)
        with pytest.raises(KeyboardInterrupt):
            await plan("b")

    (made, _) = await plan("b")

    assert (made.accepted, made.already_sent) == (0, 3)
    assert await run("b") == {}


async def test_an_earlier_ledger_that_is_damaged_is_named_and_can_be_gone_without(job, plan, run):
    job.add(2)
    await run("a")
    await run("z", sends_again=True)
    with (job.folder / "a" / "ledger.db").open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)

    with pytest.raises(LedgerError) as refused:
        await plan("b")

    said = refused.value.message
    assert said.startswith("another ledger of yours (line 1 of the list")
    assert "--send-again" in said
    assert str(job.folder) not in said
    assert (await plan("b", sends_again=True))[0].accepted == 2


async def test_ledgers_that_are_gone_are_told_when_a_plan_is_made(job, plan, run):
    job.add(1)
    await run("a")
    shutil.rmtree(job.folder / "a")

    made, news = await plan("b")

    assert made.accepted == 1
    (line,) = [each for each in news if "not there any more" in each]
    assert line.startswith("Ledgers of your list")
    assert " 1. " in line
    assert str(job.folder) not in line
    assert (await plan("b"))[1] == []


async def test_rejected_and_failed_rows_come_back_although_a_run_that_looks_again_dies(job, monkeypatch):
    job.add(3)
    job.rows[1]["path"] = "not-there.pdf"
    job.write()
    job.sandbox.fault(on="message", do="status", status=422, where={"document_id": "D-3"})
    await job.run()
    assert job.states() == {"done": 1, "failed": 1, "rejected": 1}
    unplan = SqliteLedger.plan_again

    async def then_die(self, states):
        await unplan(self, states)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(SqliteLedger, "plan_again", then_die)
        with pytest.raises(KeyboardInterrupt):
            await job.run(again=frozenset({State.FAILED, State.REJECTED}))
    assert job.states() == {"done": 1}
    job.file("not-there.pdf")

    await job.run()

    assert job.states() == {"done": 3}
    assert job.messages() == {"D-1": 1, "D-2": 1, "D-3": 1}


async def test_a_second_run_of_one_batch_hears_of_what_was_sent_in_between(job, run, monkeypatch):
    job.add(2)
    settings = job.settings_of(job.sandbox, quota="off", retry={"attempts": 1})
    wanted = BatchOptions(to=job.sandbox.info.destination)
    async with Batch.open(job.manifest, settings, wanted, ledger=job.folder / "a") as batch:
        claim = SqliteLedger.claim
        with anyio.CancelScope() as scope, monkeypatch.context() as patched:

            async def claim_and_leave(*args):
                scope.cancel()  # it is durable all the same, and nobody hears of it
                return await claim(*args)

            patched.setattr(SqliteLedger, "claim", claim_and_leave)
            async with batch.run() as settled:
                assert [each async for each in settled] == []
        assert len(await run("b")) == 2

        async with batch.run() as settled:
            assert [each async for each in settled] == []

    assert job.messages() == {"D-1": 1, "D-2": 1}
    assert rejected(job, "a") == {"already_sent": 2}


async def test_a_run_tells_of_ledgers_that_are_not_there_any_more(job, plan, run):
    job.add(1)
    await plan("a")
    await run("b")
    (job.folder / "b").rename(job.folder / "elsewhere")

    _, news = await plan("a")

    assert [line for line in news if "Ledgers of your list that are not there any more" in line]
