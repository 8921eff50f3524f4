"""Stalls, slow peers, late answers, deadlines in every phase, and an event loop that stands still."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import socket
import time

import anyio
import pytest
from rig import QUICK, SHORT, TO, Notes, described, document, open_files, outcome, pattern, until

from chartsend import Document
from chartsend.errors import ConfigError, DeadlineExceededError, OutcomeUnknownError, StallTimeoutError
from chartsend.settings import Timeouts

pytestmark = pytest.mark.short_waits

SMALL, LARGE = pattern(2000), pattern(16_000_000)
ONCE = dataclasses.replace(QUICK, attempts=1)


def method_of(kind: str) -> str:
    return "upload" if kind == "upload" else "embed"


@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_a_server_that_stops_reading_is_a_stall_and_nothing_was_applied(raw, engine_for, kind):
    raw.plan(kind, *[[["read", 100_000], ["hold"]]] * 3)
    before = len(open_files())
    async with engine_for(raw) as engine:
        began = time.monotonic()
        error = await outcome(engine, document(LARGE), method=method_of(kind))
        assert 1.7 < time.monotonic() - began < 5  # three times 0.6 s, and at most a second more
        assert isinstance(error, StallTimeoutError)
        assert error.phase.value == "partly_sent"
        assert "concurrency" in error.message
        assert error.receipt.status == "failed"
        await until(lambda: len(open_files()) <= before + 6)
    assert len(raw.requests(kind)) == 3
    assert raw.commits() == 0


async def test_stalled_sends_hold_buffers_and_no_files(raw, engine_for, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(LARGE)
    raw.plan("upload", *[[["read", 10], ["hold"]]] * 12)
    timeouts = dataclasses.replace(SHORT, stall_s=1.5)
    async with engine_for(raw, timeouts=timeouts, retry=ONCE) as engine:
        base = resident_bytes()
        async with anyio.create_task_group() as tasks:
            for number in range(12):
                doc = Document.from_path(str(path), **described(document_id=f"d{number}"))
                tasks.start_soon(lambda d=doc: outcome(engine, d, method="upload"))
            await until(lambda: len(raw.requests("upload")) == 12)
            await asyncio.sleep(0.5)
            assert resident_bytes() - base < 24 * 2**20  # 12 files are 192 MB
        assert engine.statistics().sends_in_flight == 0


def resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("kind", ["blob", "message"])
async def test_a_slow_and_steady_reader_passes(sandbox, engine_for, kind):
    sandbox.fault(do="slow_read", on=kind, bytes_per_s=6_000_000)
    timeouts = dataclasses.replace(SHORT, slow_bytes_per_s=1_000_000, reply_s=5)
    async with engine_for(sandbox, timeouts=timeouts) as engine:
        receipt = await outcome(engine, document(LARGE), method="upload" if kind == "blob" else "embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert receipt.seconds > 2  # several times the stall limit


async def test_a_reader_below_the_slowest_pace_is_a_stall(sandbox, engine_for):
    sandbox.fault(do="slow_read", on="blob", bytes_per_s=300_000, times=None)
    timeouts = dataclasses.replace(SHORT, stall_s=5, slow_window_s=1.0, slow_bytes_per_s=900_000)
    async with engine_for(sandbox, timeouts=timeouts, retry=ONCE) as engine:
        error = await outcome(engine, document(LARGE), method="upload")
    assert isinstance(error, StallTimeoutError)
    assert error.phase.value == "partly_sent"
    assert sandbox.events("blob") == []


async def test_an_attempt_has_its_own_limit(sandbox, engine_for):
    sandbox.fault(do="slow_read", on="blob", bytes_per_s=2_000_000, times=None)
    timeouts = dataclasses.replace(
        SHORT, stall_s=5, attempt_base_s=1.0, attempt_bytes_per_s=1_000_000_000
    )
    async with engine_for(sandbox, timeouts=timeouts, retry=ONCE) as engine:
        error = await outcome(engine, document(LARGE), method="upload")
    assert isinstance(error, StallTimeoutError)
    assert "did not leave within" in error.message


@pytest.mark.parametrize("size", [2000, 16_000_000])
async def test_an_answer_that_never_comes(raw, engine_for, size):
    lost = [["read", None], ["commit"], ["hold"]]
    raw.plan("upload", lost)
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(pattern(size)), method="upload")
        assert getattr(receipt, "status", receipt) == "accepted"
        assert len(raw.requests("upload")) == 2
        raw.clear()
        raw.plan("message", lost)
        error = await outcome(engine, document(pattern(size)), method="embed")
    assert isinstance(error, OutcomeUnknownError)
    assert error.phase.value == "body_sent"
    assert len(raw.requests("message")) == 1


@pytest.mark.parametrize("sent", ["HTTP/1.1 2", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"])
async def test_an_answer_that_stops_in_the_middle_is_in_doubt(raw, engine_for, sent):
    raw.plan("message", [["read", None], ["commit"], ["send", sent], ["hold"]])
    async with engine_for(raw) as engine:
        began = time.monotonic()
        error = await outcome(engine, document(SMALL), method="embed")
        assert time.monotonic() - began < 3
    assert isinstance(error, OutcomeUnknownError)


async def test_an_answer_that_drips_for_ever_is_in_doubt(raw, engine_for):
    text = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
    raw.plan("message", [["read", None], ["send", text], ["drip", "x" * 1000, 0.02], ["hold"]])
    async with engine_for(raw) as engine:
        began = time.monotonic()
        error = await outcome(engine, document(SMALL), method="embed")
        assert time.monotonic() - began < 3
    assert isinstance(error, OutcomeUnknownError)


async def test_interim_answers_for_ever_are_no_answer(raw, engine_for):
    raw.plan(
        "message", [["read", None], ["drip", "HTTP/1.1 100 Continue\r\n\r\n" * 60, 0.002], ["hold"]]
    )
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert isinstance(error, OutcomeUnknownError)


async def test_a_black_hole_ends_with_the_connect_limit(raw, engine_for):
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        fillers = []
        for _ in range(4):  # fill the queue of connections that nobody accepts
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
            fillers.append(filler)
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        try:
            async with engine_for(
                raw, api_url=url, blob_url=url, token_url=raw.url + "/v2/auth/token", retry=ONCE
            ) as engine:
                began = time.monotonic()
                error = await outcome(engine, document(SMALL), method="embed")
                assert time.monotonic() - began < 3
        finally:
            for filler in fillers:
                filler.close()
    assert error.code == "connect_failed"
    assert error.receipt.status == "failed"


PATIENT = dataclasses.replace(SHORT, stall_s=20, reply_s=20, reply_body_s=20, connect_s=20, read_s=20)

PHASES = {
    # where the time is spent: what the server does, the size, is it applied for all we know?
    "token": ("token", [["read", None], ["hold"]], 2000, False),
    "before the body": ("message", [["read", 0], ["hold"]], 16_000_000, False),
    "within the body": ("message", [["read", 6_000_000], ["hold"]], 16_000_000, False),
    "before the answer": ("message", [["read", None], ["commit"], ["hold"]], 2000, True),
    "within the answer's head": (
        "message",
        [["read", None], ["send", "HTTP/1.1 200"], ["hold"]],
        2000,
        True,
    ),
    "within the answer": (
        "message",
        [["read", None], ["send", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"], ["hold"]],
        2000,
        True,
    ),
}


@pytest.mark.parametrize("phase", PHASES)
async def test_a_deadline_holds_in_every_phase(raw, engine_for, phase):
    kind, plan, size, may_be_applied = PHASES[phase]
    raw.plan(kind, plan)
    notes = Notes()
    async with engine_for(raw, timeouts=PATIENT, journal=notes) as engine:
        began = time.monotonic()
        error = await outcome(engine, document(pattern(size)), method="embed", deadline_s=0.5)
        assert 0.45 < time.monotonic() - began < 1.5
    if may_be_applied:
        assert isinstance(error, OutcomeUnknownError)
        assert notes.order == ["intent message", "result in_doubt"]
    else:
        assert isinstance(error, DeadlineExceededError)
        assert notes.order == ["result failed"]
    assert len(raw.requests("message")) <= 1


async def test_a_deadline_holds_while_waiting_for_a_slot(raw, engine_for):
    raw.plan("message", [["read", None], ["hold"]])
    async with (
        engine_for(raw, timeouts=PATIENT, concurrency=1) as engine,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(lambda: outcome(engine, document(SMALL), method="embed", deadline_s=2))
        await until(lambda: len(raw.requests("message")) == 1)
        began = time.monotonic()
        error = await outcome(engine, document(SMALL), deadline_s=0.3)
        assert time.monotonic() - began < 0.6
        assert isinstance(error, DeadlineExceededError)
        assert error.phase.value == "not_sent"


async def test_a_deadline_holds_while_the_quota_pauses_others(raw, engine_for):
    limited = "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\nRetry-After: 30\r\n\r\n"
    raw.plan("message", [["read", None], ["send", limited]])
    async with engine_for(raw) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: outcome(engine, document(SMALL), method="embed", deadline_s=60))
        await until(lambda: len(raw.requests("message")) == 1)
        await asyncio.sleep(0.05)
        tasks.start_soon(lambda: outcome(engine, document(SMALL), method="embed", deadline_s=60))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        error = await outcome(engine, document(SMALL), method="embed", deadline_s=0.3)
        assert time.monotonic() - began < 0.6
        assert error.code == "deadline_exceeded"
        tasks.cancel_scope.cancel()
    assert len(raw.requests("message")) == 1


async def test_a_deadline_that_has_passed_sends_nothing(raw, engine_for):
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), deadline_s=0)
    assert isinstance(error, DeadlineExceededError)
    assert raw.requests("message") == raw.requests("upload") == []


@pytest.mark.parametrize("deadline", [-1, float("nan")])
async def test_a_deadline_that_is_none_is_refused(raw, engine_for, deadline):
    async with engine_for(raw) as engine:
        with pytest.raises(ValueError, match="deadline"):
            await engine.send(document(SMALL), to=TO, deadline_s=deadline)


async def test_an_event_loop_that_stands_still_is_no_stall(sandbox, engine_for):
    sandbox.fault(do="slow_read", on="blob", bytes_per_s=12_000_000)
    sandbox.fault(do="delay", on="message", seconds=1.2)
    timeouts = dataclasses.replace(SHORT, stall_s=0.4, reply_s=2.0)
    async with engine_for(sandbox, timeouts=timeouts) as engine, anyio.create_task_group() as tasks:

        async def stand_still():
            while True:
                await asyncio.sleep(0.15)
                time.sleep(0.5)  # longer than the stall limit, as a blocking callback of a host would

        tasks.start_soon(stand_still)
        receipt = await outcome(engine, document(LARGE), method="upload", deadline_s=40)
        tasks.cancel_scope.cancel()
    assert getattr(receipt, "status", receipt) == "accepted"
    assert receipt.attempts == 2
    assert len(sandbox.events("message")) == 1


async def test_a_thousand_failures_leave_nothing(raw, engine_for):
    async with engine_for(raw, retry=ONCE) as engine:
        baseline = None
        for number in range(300):
            ending = [["reset"], ["close"], ["fin"]][number % 3]
            raw.plan("message", [["read", 40_000], ending])
            await outcome(engine, document(pattern(300_000)), to=f"to-{number}", method="embed")
            if number == 20:
                baseline = len(open_files())
        assert len(open_files()) <= baseline + 2
        assert engine.statistics().sends_in_flight == 0


def test_timeouts_have_no_off_switch():
    for name in ("connect_s", "stall_s", "reply_s", "read_s", "reply_body_s", "attempt_base_s"):
        for value in (0, -1, float("inf"), float("nan")):
            with pytest.raises(ConfigError):
                Timeouts(**{name: value})
