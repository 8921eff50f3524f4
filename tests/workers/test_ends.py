"""Workers end with their engine, however that ends, and not before it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import pytest
from rig import TO, open_files, outcome, pattern, until
from seen import Book, children_of, is_alive, is_running, pids_of

from chartsend import Engine, Timeouts, errors

JOB = Path(__file__).with_name("program.py")
DATA = pattern(2_000_000)
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


class Program:
    """A run of `program.py`."""

    def __init__(self, sandbox, how, paths, workers=2, **options):
        self.process = subprocess.Popen(
            [
                sys.executable,
                JOB,
                sandbox.info.profile,
                str(workers),
                how,
                sandbox.info.destination,
                *paths,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
        self.pids = json.loads(self.process.stdout.readline())["pids"]

    def rest(self) -> list[dict]:
        out, self.err = self.process.communicate(timeout=60)
        return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def program(sandbox):
    """A function that runs `program.py`; none of its processes is left afterwards."""
    with contextlib.ExitStack() as stack:

        def run(*arguments, **options):
            made = Program(sandbox, *arguments, **options)
            stack.callback(end, made)
            return made

        yield run


def end(program):
    for pid in [program.process.pid, *program.pids]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    program.process.kill()
    program.process.communicate()
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in program.pids):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_killed_the_engine_takes_its_workers_along_within_a_second(
    sandbox, program, make_document
):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    running = program("go on", [make_document(f"{n}", DATA).path for n in range(6)])
    await until(lambda: len(sandbox.events("message")) >= 2)
    running.process.kill()
    running.process.wait()
    killed_s = time.monotonic()
    await until(lambda: not any(is_running(pid) for pid in running.pids))
    assert time.monotonic() - killed_s < 1.0  # the goal of issue 4
    sandbox.clear_faults()


async def test_a_stopped_worker_dies_with_its_engine_too(sandbox, program, make_document):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    running = program("go on", [make_document("1").path])
    for pid in running.pids:
        os.kill(pid, signal.SIGSTOP)
    running.process.kill()
    await until(lambda: not any(is_running(pid) for pid in running.pids))
    sandbox.clear_faults()


@pytest.mark.parametrize("number", SIGNALS[:2])
async def test_a_signal_to_all_processes_leaves_it_to_the_engine_what_becomes_of_sends(
    sandbox, program, make_document, number
):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    running = program("drain", [make_document(f"{n}", DATA).path for n in range(4)])
    await until(lambda: len(sandbox.events("message")) == 4)
    os.killpg(running.process.pid, number)
    os.killpg(running.process.pid, number)
    sandbox.clear_faults()  # what is delayed is answered now
    *ends, last, closed = await asyncio.to_thread(running.rest)
    assert {each["status"] for each in ends} == {"accepted"}
    assert last["alive"] == running.pids
    assert last["stopped"]
    assert closed == {"closed": True}
    assert "Traceback" not in running.err
    assert "process" not in running.err
    assert running.process.returncode == 0


async def test_ctrl_c_without_a_handler_leaves_no_worker_and_no_words_of_theirs(
    sandbox, program, make_document
):
    sandbox.fault(on="message", do="delay", seconds=60, times=None)
    running = program("go on", [make_document(f"{n}", DATA).path for n in range(4)])
    await until(lambda: len(sandbox.events("message")) == 4)
    os.killpg(running.process.pid, signal.SIGINT)
    await asyncio.to_thread(running.rest)
    assert not any(is_running(pid) for pid in running.pids)
    assert "KeyboardInterrupt" in running.err  # the program's own
    assert "workers/child.py" not in running.err
    sandbox.clear_faults()


async def test_an_engine_closed_while_sends_are_under_way_tells_the_truth_of_each(
    sandbox, program, make_document
):
    """Some are in the sandbox, unanswered; some are not whole."""
    sandbox.fault(on="message", do="delay", seconds=60, times=3)
    sandbox.fault(on="message", do="stop_reading", after_bytes=1000, skip=3, times=None)
    large = pattern(16_000_000)  # more than the kernel takes for somebody who does not read
    running = program("forget", [make_document(f"{n}", large).path for n in range(5)])
    await until(lambda: len(sandbox.events("message")) == 3)
    running.process.stdin.write("\n")
    running.process.stdin.flush()
    said = await asyncio.to_thread(running.rest)
    ends = {each["id"]: each for each in said if "id" in each}
    took = {e["document_id"] for e in sandbox.events("message")}
    assert len(took) == 3
    assert {i for i, each in ends.items() if each["status"] == "in_doubt"} == took
    assert {each["status"] for i, each in ends.items() if i not in took} == {"failed"}
    assert len(ends) == 5
    assert said[-1] == {"closed": True}
    assert not any(is_running(pid) for pid in running.pids)
    sandbox.clear_faults()


async def test_closed_while_small_sends_pass_none_that_is_there_may_be_sent_again(
    sandbox, settings_for, make_document
):
    """The moments in which a worker hears of the end are the ones to look at."""
    for n in range(4):
        ids = [f"{n}-{k}" for k in range(40)]
        found = {}

        async def one(engine, document, found=found):
            found[document.document_id] = await outcome(
                engine, document, method="embed", deadline_s=None
            )

        tasks = []
        async with Engine(
            settings_for(sandbox, timeouts=Timeouts(), concurrency=40), workers=2
        ) as engine:
            tasks = [asyncio.ensure_future(one(engine, make_document(each))) for each in ids]
            await until(lambda found=found, n=n: len(found) > 2 * n)
        await asyncio.wait(tasks)
        took = [e["document_id"] for e in sandbox.events("message")]
        for each in ids:
            end = found[each]
            if isinstance(end, errors.TransferError) and end.receipt.status == "failed":
                assert each not in took, (each, end)


async def test_opened_and_closed_many_times_nothing_is_left(sandbox, settings_for, make_document):
    settings = settings_for(sandbox, timeouts=Timeouts())
    files, threads, children = open_files(), threading.active_count(), children_of(os.getpid())
    for n in range(20):
        async with Engine(settings, workers=2) as engine:
            if n % 5 == 0:
                assert (await engine.send(make_document(f"{n}"), to=TO)).status == "accepted"
        await asyncio.sleep(0)
        assert children_of(os.getpid()) == children
    assert threading.active_count() == threads
    assert {k: v for k, v in open_files().items() if files.get(k) != v} == {}


@pytest.mark.parametrize("fails_at", [0, 1, 2])
async def test_a_worker_that_cannot_be_started_is_an_error_and_leaves_nothing(
    sandbox, settings_for, monkeypatch, fails_at
):
    started, popen = [], subprocess.Popen

    def refuse(*arguments, **options):
        if len(started) == fails_at:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        started.append(popen(*arguments, **options))
        return started[-1]

    before = children_of(os.getpid())
    monkeypatch.setattr("chartsend.workers.start.subprocess.Popen", refuse)
    with pytest.raises(errors.WorkerLostError, match="cannot be started"):
        async with Engine(settings_for(sandbox), workers=3):
            pass
    assert len(started) == fails_at
    assert children_of(os.getpid()) == before


@pytest.mark.parametrize("program_text", ["raise SystemExit(3)", "import time; time.sleep(600)"])
async def test_a_worker_that_does_not_begin_is_an_error_and_leaves_nothing(
    sandbox, settings_for, monkeypatch, program_text
):
    monkeypatch.setattr("chartsend.workers.start._PROGRAM", program_text)
    monkeypatch.setattr("chartsend.workers.crew.START_S", 0.5)
    monkeypatch.setattr("chartsend.workers.member.CLOSE_S", 0.2)
    before = children_of(os.getpid())
    with pytest.raises(errors.WorkerLostError, match="did not start"):
        async with Engine(settings_for(sandbox), workers=2):
            pass
    assert children_of(os.getpid()) == before


async def test_a_worker_of_another_version_refuses_to_work(sandbox, settings_for, monkeypatch, capfd):
    """Somebody upgraded chartsend while the engine's program runs."""
    monkeypatch.setattr("chartsend._version.__version__", "0.0.0")
    with pytest.raises(errors.WorkerLostError):
        async with Engine(settings_for(sandbox), workers=2):
            pass
    assert "start it anew" in capfd.readouterr().err


@pytest.mark.parametrize("kind", ["task", "scope"])
@pytest.mark.parametrize("wait_s", [0.0, 0.001, 0.01, 0.05, 0.2])
async def test_opening_that_is_cancelled_leaves_nothing(sandbox, settings_for, kind, wait_s):
    settings = settings_for(sandbox)
    before = children_of(os.getpid())

    async def open_it():
        async with Engine(settings, workers=3):
            await anyio.sleep_forever()

    if kind == "scope":
        with anyio.move_on_after(wait_s):
            await open_it()
    else:
        task = asyncio.ensure_future(open_it())
        await asyncio.wait({task}, timeout=wait_s)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    await until(lambda: children_of(os.getpid()) == before)


def test_an_engine_in_another_thread_has_workers_too(sandbox, settings_for, make_document):
    document = make_document("threaded")
    found = []

    async def run():
        async with Engine(settings_for(sandbox), workers=2) as engine:
            pids = pids_of(engine)
            found.append(await engine.send(document, to=TO))
            assert engine._open.parts.statistics().requests == 0
        assert not any(is_alive(pid) for pid in pids)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    thread.join()
    assert found[0].status == "accepted"


async def test_an_error_in_the_block_ends_workers(sandbox, settings_for, make_document):
    journal = Book()
    with pytest.raises(ZeroDivisionError):
        async with Engine(settings_for(sandbox), journal=journal, workers=2) as engine:
            pids = pids_of(engine)
            await engine.send(make_document("one"), to=TO)
            raise ZeroDivisionError
    assert not any(is_alive(pid) for pid in pids)
