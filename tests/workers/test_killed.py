"""A worker that dies takes nothing with it but its own sends, and those are judged by what it said."""

from __future__ import annotations

import asyncio
import os
import signal

import anyio
import pytest
from rig import TO, outcome, pattern, until
from seen import Book, Gate, is_running, kill, pids_of

from chartsend import Receipt, errors
from chartsend.errors import Verdict
from chartsend.send import Earlier

DATA = pattern(2_000_000)


def check(found, sandbox, ids):
    """The sandbox's record against what callers were told."""
    took = [e["document_id"] for e in sandbox.events("message")]
    assert len(took) == len(set(took))
    for document_id in ids:
        end = found[document_id]
        if isinstance(end, Receipt):
            assert end.status == "accepted"
            assert document_id in took
        else:
            assert isinstance(end, errors.WorkerLostError | errors.OutcomeUnknownError), end
            assert end.receipt.document_id == end.document_id == document_id
            is_doubt = end.verdict is Verdict.IN_DOUBT
            assert end.receipt.status == ("in_doubt" if is_doubt else "failed")
            assert is_doubt or document_id not in took, document_id


async def send_into(found, engine, document, **options):
    found[document.document_id] = await outcome(engine, document, deadline_s=120, **options)


@pytest.mark.parametrize("journalled", [True, False])
@pytest.mark.parametrize("size", [100, 2_000_000])
async def test_a_worker_killed_while_it_sends(sandbox, team, make_document, journalled, size):
    journal = Book() if journalled else None
    data = pattern(size)
    found, ids = {}, [f"doc-{n}" for n in range(60)]
    async with team(sandbox, journal, workers=3, concurrency=20) as engine:
        victim, *others = pids_of(engine)
        async with anyio.create_task_group() as tasks:
            for each in ids:
                tasks.start_soon(send_into, found, engine, make_document(each, data))
            await until(lambda: len(found) > 3)
            kill(victim)
        assert pids_of(engine) == others
        check(found, sandbox, ids)
        assert sum(isinstance(each, Receipt) for each in found.values()) >= 20
        # The others go on.
        assert (await engine.send(make_document("after", data), to=TO)).status == "accepted"
    if journalled:
        statuses = journal.statuses
        for each in ids:
            assert statuses[each] == getattr(found[each], "receipt", found[each]).status


async def test_killed_while_the_journal_is_asked_it_can_be_sent_again(sandbox, team, make_document):
    """What was not allowed was not released: there is nothing to doubt."""
    gate = Gate()
    journal = Book(intent_message=gate)
    async with team(sandbox, journal) as engine:
        send = asyncio.ensure_future(outcome(engine, make_document("one", DATA), method="embed"))
        await gate.reached.wait()
        for pid in pids_of(engine):
            kill(pid)
        error = await send
    assert isinstance(error, errors.WorkerLostError)
    assert error.verdict is Verdict.RETRY
    assert journal.statuses == {"one": "failed"}
    assert sandbox.events("message") == []


@pytest.mark.parametrize("journalled", [True, False])
async def test_killed_after_the_message_left_it_is_in_doubt(sandbox, team, make_document, journalled):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    journal = Book() if journalled else None
    async with team(sandbox, journal) as engine:
        send = asyncio.ensure_future(
            outcome(engine, make_document("one", DATA), method="upload", deadline_s=None)
        )
        await until(lambda: sandbox.events("message"))
        for pid in pids_of(engine):
            kill(pid)
        error = await send
        sandbox.clear_faults()
    assert isinstance(error, errors.OutcomeUnknownError)
    assert error.receipt.status == "in_doubt"
    assert error.receipt.reference_url == sandbox.events("blob")[0]["reference"]
    assert error.receipt.sha256 is not None
    assert error.receipt.bytes == len(DATA)
    if journalled:
        assert journal.statuses == {"one": "in_doubt"}


async def test_killed_with_a_file_uploaded_earlier_the_receipt_still_names_it(
    sandbox, team, make_document
):
    document = make_document("one", DATA)
    async with team(sandbox) as engine:
        first = await engine.send(document, to=TO, method="upload")
        earlier = Earlier(reference_url=first.reference_url, size_bytes=len(DATA), sha256=first.sha256)
        sandbox.fault(on="message", do="delay", seconds=60, times=None)
        send = asyncio.ensure_future(
            outcome(engine, document, method="upload", earlier=earlier, deadline_s=None)
        )
        await until(lambda: len(sandbox.events("message")) == 2)
        for pid in pids_of(engine):
            kill(pid)
        receipt = (await send).receipt
        sandbox.clear_faults()
    assert receipt.status == "in_doubt"
    assert (receipt.method, receipt.reference_url) == ("upload", first.reference_url)
    assert (receipt.sha256, receipt.bytes) == (first.sha256, len(DATA))
    assert len(sandbox.events("blob")) == 1


@pytest.mark.parametrize("journalled", [True, False])
async def test_killed_while_the_engine_looks_away_nothing_that_is_there_can_be_sent_again(
    sandbox, team, make_document, journalled
):
    """The engine's loop stands still while workers send and die; then it writes to them first."""
    journal = Book() if journalled else None
    found, ids = {}, [f"doc-{n}" for n in range(30)]
    async with team(sandbox, journal, concurrency=40) as engine:
        await engine.send(make_document("warm"), to=TO, method="embed")
        async with anyio.create_task_group() as tasks:
            for each in ids:
                tasks.start_soon(send_into, found, engine, make_document(each))
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # they are on their way to the workers
            await asyncio.sleep(0)
            if not journalled:
                # Not awaited: nothing in this process happens meanwhile.
                while len(sandbox.events("message")) < 10:
                    pass
            for pid in pids_of(engine):
                kill(pid)
                while is_running(pid):
                    pass
            for member in engine._open.crew._members:
                member._line.say(None)
                member._line.flush()  # the write fails, before anything was read
        check(found, sandbox, ids)
    if not journalled:  # the test did what it is for
        known = [e for e in found.values() if not isinstance(e, errors.WorkerLostError)]
        assert len(known) >= 9


async def test_with_all_workers_killed_the_engine_sends_itself(sandbox, team, make_document):
    async with team(sandbox) as engine:
        for pid in pids_of(engine):
            kill(pid)
        await until(lambda: pids_of(engine) == [])
        receipt = await engine.send(make_document("one", DATA), to=TO)
        assert receipt.status == "accepted"
        assert engine._open.parts.statistics().requests == engine.statistics().requests > 0
    assert [e["document_id"] for e in sandbox.events("message")] == ["one"]


async def test_a_worker_that_stands_still_is_killed_some_time_after_the_deadline(
    sandbox, team, make_document, monkeypatch
):
    monkeypatch.setattr("chartsend.workers.crew.LATE_S", 0.2)
    async with team(sandbox) as engine:
        before = pids_of(engine)
        for pid in before:
            os.kill(pid, signal.SIGSTOP)
        error = await outcome(engine, make_document("one", DATA), method="embed", deadline_s=0.3)
        assert isinstance(error, errors.WorkerLostError)
        assert error.receipt.status == "failed"
        left = pids_of(engine)
        assert len(left) == 1
        os.kill(left[0], signal.SIGCONT)
        assert (await engine.send(make_document("two"), to=TO)).status == "accepted"
    assert [e["document_id"] for e in sandbox.events("message")] == ["two"]


async def test_a_worker_that_stands_still_after_the_message_left_leaves_a_doubt(
    sandbox, team, make_document, monkeypatch
):
    monkeypatch.setattr("chartsend.workers.crew.LATE_S", 0.2)
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    async with team(sandbox, journal) as engine:
        send = asyncio.ensure_future(
            outcome(engine, make_document("one", DATA), method="embed", deadline_s=8)
        )
        await until(lambda: sandbox.events("message"))
        for pid in pids_of(engine):
            os.kill(pid, signal.SIGSTOP)
        error = await send
        for pid in pids_of(engine):
            os.kill(pid, signal.SIGCONT)
        sandbox.clear_faults()
    assert isinstance(error, errors.OutcomeUnknownError)
    assert journal.statuses == {"one": "in_doubt"}


async def test_a_dead_worker_is_no_zombie_once_the_engine_has_closed(sandbox, team, make_document):
    async with team(sandbox, workers=3) as engine:  # `team` looks at all it had
        kill(pids_of(engine)[0])
        await until(lambda: len(pids_of(engine)) == 2)
        assert (await engine.send(make_document("one"), to=TO)).status == "accepted"
        assert engine.statistics().requests >= 1
