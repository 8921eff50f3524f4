"""An outage under a batch: nothing is lost, little is asked, and it goes on when the server is back.

Connection attempts are counted by Python's own audit event, which sees every `connect` of this
process, less those that the sandbox says it let in.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import itertools
import random
import socket
import sys
import time
from urllib.parse import urlsplit

import anyio
import pytest
from rig import QUICK, TO, document, outcome, pattern, until

from chartsend import Engine
from chartsend.errors import (
    AuthUnavailableError,
    ConnectFailedError,
    DeadlineExceededError,
    TransferError,
)
from chartsend.settings import Auth
from chartsend.testing import SandboxProcess
from chartsend.transport import breaker

SLOTS = 16
SMALL = pattern(500)
PROBE_S = 0.25


class Connects:
    """How often this process connects to a port."""

    counts: dict[int, int] | None = None

    @classmethod
    def listen(cls) -> None:
        if cls.counts is None:
            cls.counts = {}
            sys.addaudithook(cls._hook)  # for good: there is no way to take it back

    @classmethod
    def _hook(cls, event, arguments):
        if event == "socket.connect" and isinstance(arguments[1], tuple):
            port = arguments[1][1]
            cls.counts[port] = cls.counts.get(port, 0) + 1


class Outage:
    """The sandbox's ports closed for a time, and what is tried meanwhile."""

    def __init__(self, sandbox):
        Connects.listen()
        self.process = getattr(sandbox, "process", sandbox)
        self.port = urlsplit(sandbox.info.api_url).port

    async def begin(self, seconds: float) -> None:
        """Close the ports; return when what was connected has been reset."""
        self.before = self._balance()
        self.process.fault(do="refuse", seconds=seconds, drop=True)
        # The kernel's table may miss a line when others connect while it is read.
        await until(lambda: not any(self._is_connected() for _ in range(5)), seconds)

    def _is_connected(self) -> bool:
        with open("/proc/net/tcp") as file:
            rows = [line.split() for line in file][1:]
        return any(row[2].endswith(f":{self.port:04X}") and row[3] == "01" for row in rows)

    async def until_open(self) -> int:
        """Wait until the ports are open again; tell how many attempts that took."""
        for tries in itertools.count():
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=10).close()
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                return tries
        raise AssertionError

    def refused(self) -> int:
        """Attempts that found nobody. Ask when the ports are open again."""
        return self._balance() - self.before

    def _balance(self) -> int:
        let_in = self.process.requests()["connections_opened"]  # this connection included
        return Connects.counts[self.port] - let_in


@pytest.fixture
def probing_fast(monkeypatch):
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", PROBE_S)


async def send_all(engine, before, after, between, **options):
    """Send so many; when all have ended, do something; then so many more. Statuses by id."""
    statuses = {}

    async def documents():
        for n in range(before):
            yield document(SMALL, document_id=f"d{n}")
        await until(lambda: len(statuses) == before, 60)
        await between()
        for n in range(before, before + after):
            yield document(SMALL, document_id=f"d{n}")

    async with engine.send_many(documents(), to=TO, **options) as receipts:
        async for receipt in receipts:
            statuses[receipt.document_id] = receipt.status
    return statuses


def arrived(sandbox):
    return sorted(e["document_id"] for e in sandbox.events() if e["kind"] == "message")


@pytest.mark.parametrize(("slots", "method"), [(SLOTS, "embed"), (SLOTS, "upload"), (1, "embed")])
async def test_a_server_that_is_gone_for_a_while_costs_no_document_and_few_attempts(
    sandbox, settings_for, probing_fast, slots, method
):
    outage, down_s = Outage(sandbox), 3.0
    settings = settings_for(sandbox, concurrency=slots)
    async with Engine(settings, priority="backfill") as engine:
        statuses = await send_all(engine, 40, 200, lambda: outage.begin(down_s), method=method)
        assert engine.statistics().waiting_for == ()
        assert engine.statistics().retries >= breaker.FAILURES

    assert set(statuses.values()) == {"accepted"}
    assert arrived(sandbox) == sorted(f"d{n}" for n in range(240))
    assert breaker.FAILURES <= outage.refused() <= slots + breaker.FAILURES + down_s / PROBE_S


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_server_that_is_gone_for_a_minute(sandbox, settings_for):
    """With the real pauses; a producer of 40 documents a second makes the rate."""
    rate, down_s, began = 40, 60.0, {}
    outage = Outage(sandbox)
    async with Engine(settings_for(sandbox, concurrency=SLOTS), priority="backfill") as engine:
        ended = []

        async def documents():
            due = time.monotonic()
            for n in itertools.count():
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                # A document that could not go in its turn is not made up for: the rate is a limit.
                due = max(due, time.monotonic() - 1 / rate) + 1 / rate
                if n == 10 * rate:
                    await until(lambda n=n: len(ended) == n, 60)
                    await outage.begin(down_s)
                    began["down"] = time.time()
                if "down" in began and time.time() > began["down"] + down_s + 20:
                    return
                yield document(SMALL, document_id=f"d{n}")

        async with engine.send_many(documents(), to=TO, method="embed") as receipts:
            async for receipt in receipts:
                ended += [receipt.status]
    refused = outage.refused()

    assert set(ended) == {"accepted"}
    assert len(arrived(sandbox)) == len(ended)
    assert refused <= SLOTS + 5 + 12
    times = [dt.datetime.fromisoformat(e["at"]).timestamp() for e in sandbox.events("message")]
    back = began["down"] + down_s
    before = sum(began["down"] - 8 <= at < began["down"] - 1 for at in times) / 7
    after = sum(back + 12 <= at < back + 19 for at in times) / 7
    assert min(at for at in times if at > began["down"] + 1) < back + 15
    assert after >= 0.9 * before
    print(f"refused={refused} before={before:.1f}/s after={after:.1f}/s")


async def test_an_outage_that_outlives_the_token_is_asked_about_no_more_often(
    settings_for, probing_fast
):
    down_s = 4.0
    with SandboxProcess.start("--quota", "off") as sandbox:
        sandbox.fault(do="token_lifetime", seconds=2)
        outage = Outage(sandbox)
        settings = settings_for(sandbox, concurrency=SLOTS)
        async with Engine(settings, priority="backfill") as engine:
            statuses = await send_all(engine, 20, 200, lambda: outage.begin(down_s))
            refused = engine.statistics().meter.statuses[401]

        assert refused < SLOTS / 2  # they took their tokens after the wait, not before
        assert set(statuses.values()) == {"accepted"}
        assert arrived(sandbox) == sorted(f"d{n}" for n in range(220))
        assert outage.refused() <= SLOTS + breaker.FAILURES + down_s / PROBE_S


async def test_nobody_has_a_token_yet_when_the_server_is_gone(settings_for, probing_fast):
    down_s = 3.0
    with SandboxProcess.start("--quota", "off") as sandbox:
        outage = Outage(sandbox)
        async with Engine(settings_for(sandbox), priority="backfill") as engine:
            statuses = await send_all(engine, 0, 50, lambda: outage.begin(down_s))

        assert set(statuses.values()) == {"accepted"}
        assert outage.refused() <= SLOTS + breaker.FAILURES + down_s / PROBE_S
        assert sandbox.requests()["tokens_issued"] == 1


async def test_a_document_waits_until_its_deadline_and_no_longer(sandbox, settings_for, probing_fast):
    outage = Outage(sandbox)
    async with Engine(settings_for(sandbox), priority="backfill") as engine:
        await engine.send(document(SMALL), to=TO)
        await outage.begin(3.0)
        error = await outcome(engine, document(SMALL), deadline_s=1.0)
        assert isinstance(error, DeadlineExceededError)
        assert error.verdict.value == "retry"
        assert error.receipt.status == "failed"
        assert "the server did not come back" in error.message
        assert engine.statistics().waiting_for == ("the server",)
        receipt = await engine.send(document(SMALL, document_id="doc-2"), to=TO)
        assert receipt.status == "accepted"


async def test_who_sends_in_real_time_hears_of_it_at_once(sandbox, settings_for):
    outage = Outage(sandbox)
    async with Engine(settings_for(sandbox)) as engine:
        await engine.send(document(SMALL), to=TO)
        await outage.begin(2.0)
        error = await outcome(engine, document(SMALL), deadline_s=60)
        assert isinstance(error, ConnectFailedError)
        assert error.receipt.attempts == QUICK.attempts
        assert engine.statistics().waiting_for == ()
    ours = await outage.until_open()
    assert outage.refused() - ours == QUICK.attempts


async def test_cancelled_while_they_wait_they_leave_the_others_in_peace(
    sandbox, settings_for, probing_fast
):
    outage, draw = Outage(sandbox), random.Random(7)
    settings = settings_for(sandbox, concurrency=SLOTS)
    scopes, ended = [], []

    async def one(engine, n):
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            receipt = await engine.send(document(SMALL, document_id=f"d{n}"), to=TO)
            ended.append(receipt.document_id)

    async with Engine(settings, priority="backfill") as engine:
        await engine.send(document(SMALL), to=TO)
        await outage.begin(3.0)
        async with anyio.create_task_group() as tasks:
            for n in range(SLOTS):
                tasks.start_soon(one, engine, n)
            await until(lambda: engine.statistics().waiting_for, 30)
            # Whoever probes at that moment is among them sooner or later.
            for scope in draw.sample(scopes, SLOTS - 2):
                await anyio.sleep(draw.uniform(0, PROBE_S / 2))
                scope.cancel()
    assert len(ended) >= 2
    assert arrived(sandbox) == sorted(["doc-1", *ended])


async def test_leaving_the_engine_ends_those_that_wait(sandbox, settings_for, probing_fast):
    outage, errors = Outage(sandbox), []

    async def one(engine, n):
        try:
            await engine.send(document(SMALL, document_id=f"d{n}"), to=TO, deadline_s=None)
        except (TransferError, RuntimeError) as error:
            errors.append(error)

    async with anyio.create_task_group() as tasks:
        async with Engine(settings_for(sandbox), priority="backfill") as engine:
            await engine.send(document(SMALL), to=TO)
            await outage.begin(2.0)
            for n in range(SLOTS):
                tasks.start_soon(one, engine, n)
            await until(lambda: engine.statistics().waiting_for, 30)
    assert len(errors) == SLOTS
    await outage.until_open()


def two_destinations(settings):
    one = settings.destinations[TO]
    both = {name: dataclasses.replace(one, name=name) for name in ("near", "far")}
    return dataclasses.replace(settings, destinations=both)


def unavailable(names, **fields):
    """503 for the messages of these documents, until the faults are cleared."""
    return [
        {"do": "status", "on": "message", "status": 503, "times": None, **fields,
         "where": {"document_id": name}}
        for name in names
    ]  # fmt: skip


@pytest.mark.parametrize("method", ["embed", "upload"])
async def test_503s_close_the_way_to_their_destination_only(sandbox, settings_for, probing_fast, method):
    """Uploads that succeed meanwhile say nothing of the destination."""
    far = [f"far{n}" for n in range(SLOTS // 2)]
    faults = sandbox.faults(unavailable(far, headers={"Retry-After": "0"}))
    # More attempts than failures that open it: whoever is alone with it for a while opens it too.
    retry = dataclasses.replace(QUICK, attempts=breaker.FAILURES + 1)
    settings = two_destinations(settings_for(sandbox, concurrency=SLOTS, retry=retry))
    ended = []

    async def one(engine, name, to):
        receipt = await engine.send(document(SMALL, document_id=name), to=to, method=method)
        ended.append(receipt.document_id)

    began = time.monotonic()
    async with Engine(settings, priority="backfill") as engine:
        async with anyio.create_task_group() as tasks:
            for name in far:
                tasks.start_soon(one, engine, name, "far")
            await until(lambda: engine.statistics().waiting_for == ("destination far",), 30)
            for n in range(50):
                await one(engine, f"near{n}", "near")
            await asyncio.sleep(4 * PROBE_S)
            assert ended == [f"near{n}" for n in range(50)]
            assert engine.statistics().waiting_for == ("destination far",)
            counts, took_s = sandbox.fault_counts(), time.monotonic() - began
            sandbox.clear_faults()
    assert sorted(ended[50:]) == far
    assert arrived(sandbox) == sorted(ended)
    # Before it opened, each of them asked once, and then one at a time.
    asked = sum(counts[fault]["fired"] for fault in faults)
    assert breaker.FAILURES + 1 <= asked <= len(far) + breaker.FAILURES + took_s / PROBE_S


@pytest.mark.parametrize(("slots", "method"), [(4, "embed"), (1, "upload")])
async def test_503s_that_leave_messages_in_doubt_leave_few(
    sandbox, settings_for, probing_fast, slots, method
):
    """An upload that succeeds before each of them does not make them any less in a row."""
    sandbox.fault(do="status", on="message", status=503, times=None)
    statuses, down = [], ()
    async with Engine(settings_for(sandbox, concurrency=slots), priority="backfill") as engine:
        documents = (document(SMALL, document_id=f"d{n}") for n in range(60))
        async with engine.send_many(documents, to=TO, method=method) as receipts:
            async for receipt in receipts:
                statuses.append(receipt.status)
                if len(statuses) == 12:
                    down = engine.statistics().waiting_for
                    sandbox.clear_faults()
    # Five opened it with at most three beside them; then it was one at a time.
    assert down == (f"destination {sandbox.info.destination}",)
    assert statuses.count("in_doubt") <= 12 + 1
    assert statuses.count("accepted") == 60 - statuses.count("in_doubt")


@pytest.mark.parametrize("status", [500, 503])
async def test_a_token_server_that_fails_is_waited_for(settings_for, probing_fast, status):
    with SandboxProcess.start("--quota", "off") as sandbox:
        async with Engine(settings_for(sandbox, concurrency=SLOTS), priority="backfill") as engine:

            async def fail():
                sandbox.fault(do="status", on="token", status=status, times=9)
                sandbox.fault(do="expire_tokens")

            statuses = await send_all(engine, 20, 100, fail)
            assert engine.statistics().tokens == 1 + 9 + 1
        assert set(statuses.values()) == {"accepted"}
        assert len(arrived(sandbox)) == 120


@pytest.mark.parametrize("priority", ["backfill", "realtime"])
async def test_answers_of_the_token_server_that_are_none_are_waited_out_by_a_batch_only(
    settings_for, probing_fast, priority
):
    with SandboxProcess.start("--quota", "off") as sandbox:
        sandbox.fault(do="status", on="token", status=200, body="<html>", times=12)
        async with Engine(settings_for(sandbox), priority=priority) as engine:
            result = await outcome(engine, document(SMALL), deadline_s=60)
            if priority == "realtime":
                assert isinstance(result, AuthUnavailableError)
            else:
                assert getattr(result, "status", result) == "accepted"


async def test_refused_credentials_are_not_waited_out(settings_for, key_file, probing_fast):
    with SandboxProcess.start("--quota", "off") as sandbox:
        settings = settings_for(sandbox)
        wrong = dataclasses.replace(settings.auth, key_id="nobody")
        assert isinstance(wrong, Auth)
        async with Engine(dataclasses.replace(settings, auth=wrong), priority="backfill") as engine:
            error = await outcome(engine, document(SMALL), deadline_s=60)
        assert error.code == "auth_rejected"
        assert sandbox.requests()["seen"] == {"token": 1}
