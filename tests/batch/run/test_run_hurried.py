"""A run that is ended in a hurry: what may be in a chart never goes back to be sent again, unlisted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import anyio
import pytest

from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions
from chartsend.batch.sqlite import SqliteLedger
from chartsend.errors import LedgerFullError


async def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def run(job, workers=1, runners=None):
    settings = job.settings_of(job.sandbox, quota="off")
    options = BatchOptions(to=job.sandbox.info.destination)
    async with Batch.open(job.manifest, settings, options) as batch:
        await batch.plan()
        runner = await batch.runner(workers=workers)
        if runners is not None:
            runners.append(runner)
        async with runner.run() as settled:
            return [each async for each in settled]


def cancel_all(but):
    for each in asyncio.all_tasks() - but:
        each.cancel()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("turns", [1, 3, 30])
async def test_every_task_cancelled_again_and_again_sends_nothing_twice(job, workers, turns):
    """As `asyncio.run` does after a second Ctrl-C; the workers are too slow to say a word."""
    job.add(1).sandbox.fault(on="message", do="delay", seconds=60)
    before, runners = asyncio.all_tasks(), []
    task = asyncio.create_task(run(job, workers, runners))
    await until(job.messages)
    crew = runners[0].engine._open.crew
    pids = [] if crew is None else crew.pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for _ in range(3):
        cancel_all(before)
        for _ in range(turns):
            await asyncio.sleep(0)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    await asyncio.wait({task})
    assert task.cancelled()
    assert set(job.states()) <= {"in_doubt", "referencing"}
    job.sandbox.clear_faults()
    await run(job)
    assert job.states() == {"in_doubt": 1}
    assert job.messages() == {"D-1": 1}


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_row_whose_outcome_could_not_be_told_is_not_given_back(job, monkeypatch, workers):
    job.add(1)

    async def fails(*_, **__):
        raise RuntimeError("a defect")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "settle", fails)
        with pytest.raises(RuntimeError, match="a defect"):
            await run(job, workers)
    assert job.states() == {"referencing": 1}
    await run(job)
    assert job.states() == {"in_doubt": 1}
    assert job.messages() == {"D-1": 1}


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_ledger_that_fails_ends_the_run_with_its_own_error(job, monkeypatch, workers):
    job.add(1)
    error = LedgerFullError("no room")

    async def fails(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(SqliteLedger, "settle", fails)
        with pytest.raises(LedgerFullError) as raised:
            await run(job, workers)
    assert raised.value is error
    assert job.states() == {"referencing": 1}


async def test_a_row_that_waits_after_a_refusal_is_given_back_when_the_run_is_cancelled(job):
    """Its message was intended and refused: that leaves no doubt."""
    job.add(1).sandbox.fault(
        on="message", do="status", status=503, headers={"Retry-After": "30"}, times=None
    )
    runners = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, job, 1, runners)
        await until(lambda: runners and runners[0].engine and runners[0].engine.statistics().retries)
        assert job.states() == {"referencing": 1}
        tasks.cancel_scope.cancel()
    assert job.states() == {"queued": 1}
    job.sandbox.clear_faults()
    await run(job)
    assert job.states() == {"done": 1}
