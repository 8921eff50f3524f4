"""A cancelled send leaves no job behind, and what the sandbox may have is in doubt, and only that."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import anyio
import pytest
from rig import TO, outcome, pattern, until
from seen import Book, Gate, pids_of

DATA = pattern(3_000_000)


async def cancelled_by(kind, engine, document, when, **options):
    """Send, cancel as soon as `when()` has returned, and wait for the end; whether it was cancelled."""
    scope = anyio.CancelScope()
    done = []

    async def run():
        with scope:
            done.append(await engine.send(document, to=TO, **options))

    task = asyncio.ensure_future(run())
    await when(task)
    if kind == "task":
        task.cancel()
    else:
        scope.cancel()
    await asyncio.wait({task})
    assert task.cancelled() or scope.cancelled_caught or done
    assert engine.statistics().sends_in_flight == 0
    return not done


def jobs_of(engine):
    return sum(each.in_flight for each in engine._open.crew._members)


async def at_once(_):
    pass


async def next_turn(_):
    await asyncio.sleep(0)


def turns(count):
    async def wait(task):
        for _ in range(count):
            if task.done():
                return
            await asyncio.sleep(0)

    return wait


def after(seconds):
    async def wait(task):
        await asyncio.wait({task}, timeout=seconds)

    return wait


@pytest.mark.parametrize("kind", ["task", "scope"])
@pytest.mark.parametrize("journalled", [True, False])
async def test_cancelled_at_many_moments(sandbox, team, make_document, kind, journalled):
    """Without a journal the sandbox is the only witness; nothing may be left of any of them."""
    moments = [
        at_once,
        *(turns(n) for n in (1, 2, 3, 5, 8, 13)),
        *(after(n * 0.004) for n in range(1, 30)),
    ]
    journal = Book()
    async with team(sandbox, journal if journalled else None) as engine:
        before = pids_of(engine)
        for n, when in enumerate(moments):
            method = "upload" if n % 2 else "embed"
            document = make_document(f"doc-{n}", DATA)
            await cancelled_by(kind, engine, document, when, method=method)
            await until(lambda: jobs_of(engine) == 0)
        assert pids_of(engine) == before
        receipt = await engine.send(make_document("last", DATA), to=TO, method="embed")
        assert receipt.status == "accepted"
    took = [e["document_id"] for e in sandbox.events("message")]
    assert len(took) == len(set(took))
    if journalled:
        for document_id in took:
            assert journal.statuses.get(document_id) in {"in_doubt", "accepted"}, document_id
        doubted = {each for each, status in journal.statuses.items() if status == "in_doubt"}
        assert doubted <= journal.intended


@pytest.mark.parametrize("kind", ["task", "scope"])
async def test_cancelled_at_the_gate_nothing_is_applied_and_nothing_is_in_doubt(
    sandbox, team, make_document, kind
):
    gate = Gate()
    journal = Book(intent_message=gate)
    async with team(sandbox, journal) as engine:

        async def at_the_gate(_):
            await gate.reached.wait()

        assert await cancelled_by(kind, engine, make_document("one", DATA), at_the_gate, method="embed")
    assert journal.statuses == {}
    assert sandbox.events("message") == []


@pytest.mark.parametrize("kind", ["task", "scope"])
@pytest.mark.parametrize("method", ["embed", "upload"])
async def test_cancelled_after_the_message_left_it_is_in_doubt(
    sandbox, team, make_document, kind, method, caplog
):
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    async with team(sandbox, journal) as engine:

        async def it_is_there(_):
            await until(lambda: sandbox.events("message"))

        assert await cancelled_by(kind, engine, make_document("one", DATA), it_is_there, method=method)
        sandbox.clear_faults()
    assert journal.statuses == {"one": "in_doubt"}
    assert [m for m in caplog.messages if "cancelled after its last byte" in m]


async def test_many_cancelled_together_leave_nothing(sandbox, team, make_document):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    journal = Book()
    async with team(sandbox, journal, concurrency=24) as engine:
        async with anyio.create_task_group() as tasks:
            for n in range(20):
                tasks.start_soon(outcome, engine, make_document(f"{n}", DATA))
            await until(lambda: len(sandbox.events("message")) >= 5)
            tasks.cancel_scope.cancel()
        assert engine.statistics().sends_in_flight == 0
        await until(lambda: jobs_of(engine) == 0)
        sandbox.clear_faults()
    took = {e["document_id"] for e in sandbox.events("message")}
    assert took <= {each for each, status in journal.statuses.items() if status == "in_doubt"}


async def test_a_worker_that_does_not_end_a_cancelled_send_is_killed(
    sandbox, team, make_document, monkeypatch
):
    monkeypatch.setattr("chartsend.workers.crew.CANCEL_S", 0.3)
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    async with team(sandbox, journal) as engine:

        async def stopped(_):
            await until(lambda: sandbox.events("message"))
            for pid in pids_of(engine):
                os.kill(pid, signal.SIGSTOP)

        document = make_document("one", DATA)
        assert await cancelled_by("task", engine, document, stopped, method="embed")
        assert journal.statuses == {"one": "in_doubt"}
        assert len(pids_of(engine)) == 1
        for pid in pids_of(engine):
            os.kill(pid, signal.SIGCONT)
        sandbox.clear_faults()


def stop_all(engine, how):
    for pid in pids_of(engine):
        os.kill(pid, how)


async def test_what_a_silent_worker_had_is_in_doubt_before_a_hurried_command_leaves(
    sandbox, team, make_document
):
    """After a second Ctrl-C a command has 2 s to tell what became of its documents, all closed."""
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    async with team(sandbox, journal) as engine:

        async def silent(_):
            await until(lambda: sandbox.events("message"))
            stop_all(engine, signal.SIGSTOP)
            silent.at_s = time.monotonic()

        document = make_document("one", DATA)
        task = asyncio.ensure_future(engine.send(document, to=TO, method="embed"))
        await silent(task)
        task.cancel()
        await asyncio.wait({task})
        assert journal.statuses == {"one": "in_doubt"}
        others = [each.pid for each in engine._open.crew._members if not each.in_flight]
        for pid in others:
            os.kill(pid, signal.SIGCONT)
    assert time.monotonic() - silent.at_s < 2.0
    assert [name for name in journal.began if name == "result"] == ["result"]
    sandbox.clear_faults()


async def test_a_worker_that_ends_a_cancelled_send_late_works_on_and_is_told_once(
    sandbox, team, make_document
):
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    async with team(sandbox, journal) as engine:
        before = pids_of(engine)
        task = asyncio.ensure_future(engine.send(make_document("one", DATA), to=TO, method="embed"))
        await until(lambda: sandbox.events("message"))
        stop_all(engine, signal.SIGSTOP)
        task.cancel()
        await asyncio.wait({task})
        assert jobs_of(engine) == 1
        stop_all(engine, signal.SIGCONT)
        await until(lambda: jobs_of(engine) == 0)
        sandbox.clear_faults()
        for n in range(4):
            receipt = await engine.send(make_document(f"next-{n}", DATA), to=TO, method="embed")
            assert receipt.status == "accepted"
        assert pids_of(engine) == before
    assert journal.began.count("result") == 5
    assert journal.statuses["one"] == "in_doubt"


async def test_every_task_cancelled_twice_leaves_a_doubt_and_not_nothing(sandbox, team, make_document):
    """As `asyncio.run` does when a program ends in a hurry, while the worker is slow."""
    sandbox.fault(on="message", do="delay", seconds=60)
    journal = Book()
    before = asyncio.all_tasks()
    async with team(sandbox, journal) as engine:
        task = asyncio.ensure_future(engine.send(make_document("one", DATA), to=TO, method="embed"))
        await until(lambda: sandbox.events("message"))
        stop_all(engine, signal.SIGSTOP)
        for _ in range(3):
            for each in asyncio.all_tasks() - before:
                each.cancel()
            await asyncio.sleep(0)
        stop_all(engine, signal.SIGCONT)
        await asyncio.wait({task})
        assert task.cancelled()
        sandbox.clear_faults()
    assert journal.statuses == {"one": "in_doubt"}
