"""Where the time goes, and how requests were answered: what the meter says and the sandbox saw."""

from __future__ import annotations

import asyncio
import dataclasses
import socket

import pytest
from rig import QUICK, SHORT, TO, Notes, described, document, outcome, pattern

from chartsend import Document
from chartsend.errors import ConnectFailedError
from chartsend.settings import Timeouts
from chartsend.testing import SandboxProcess

pytestmark = pytest.mark.short_waits

SMALL, LARGE = pattern(500), pattern(6_000_000)
PATIENT = dataclasses.replace(Timeouts(), connect_s=5.0)


def meter_of(engine):
    return engine.statistics().meter


async def send(engine, data=SMALL, **options):
    receipt = await outcome(engine, document(data), **options)
    assert getattr(receipt, "status", receipt) == "accepted"
    return receipt


def answered(sandbox) -> dict[int, int]:
    """The sandbox's own count of what it answered, by status; 0 where it gave no answer."""
    total: dict[int, int] = {}
    for statuses in sandbox.requests()["statuses"].values():
        for status, number in statuses.items():
            key = 0 if status == "none" else int(status)
            total[key] = total.get(key, 0) + number
    return total


async def test_statuses_are_those_that_the_sandbox_counts(engine_for):
    with SandboxProcess.start("--quota", "off") as sandbox:
        statuses = {
            "blob": [500, 503, 429], "message": [408, 422, 504], "search": [404, 502], "token": [500],
        }  # fmt: skip
        for on, listed in statuses.items():
            sandbox.faults(
                [{"do": "status", "on": on, "status": s, "skip": 4 * k} for k, s in enumerate(listed)]
            )
        sandbox.fault(do="status", on="blob", status=413, when="before", then="close", skip=12)
        sandbox.fault(do="reset", on="message", at_byte=None, skip=12)
        sandbox.fault(do="swallow", on="message", skip=16)
        sandbox.fault(do="expire_tokens", on="message", skip=18)
        async with engine_for(sandbox, timeouts=PATIENT) as engine:
            for n in range(24):
                method = ("upload", "embed")[n % 2]
                await outcome(engine, document(SMALL, document_id=f"d{n}"), method=method)
                await engine.find(f"d{n}", to=TO)
            statistics = engine.statistics()

        counted = dict(statistics.meter.statuses)
        assert counted == answered(sandbox)
        assert {0, 200, 201, 401, 404, 408, 413, 422, 429, 500, 502, 503, 504} <= set(counted)
        assert statistics.throttled == 1
        seen = sandbox.requests()["seen"]
        assert statistics.queries == seen["search"]
        assert statistics.requests == seen["blob"] + seen["message"]
        assert sum(counted.values()) == sandbox.requests()["total"]
        # Of uploads and messages, those that were answered after the whole body.
        whole = sum(counted.values()) - counted[0] - seen["search"] - seen["token"]
        assert statistics.meter.server_times.total in {whole, whole - 1}  # one answer came early


async def test_requests_that_found_nobody_have_status_0(sandbox, engine_for):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with engine_for(sandbox, api_url=url) as engine:
            error = await outcome(engine, document(SMALL))
            meter = meter_of(engine)
    assert isinstance(error, ConnectFailedError)
    assert dict(meter.statuses) == {200: 1, 0: QUICK.attempts}
    assert meter.server_times.total == 0


@pytest.mark.parametrize(("on", "method"), [("message", "embed"), ("blob", "upload")])
async def test_a_late_answer_is_the_servers_time(sandbox, engine_for, on, method):
    async with engine_for(sandbox, timeouts=PATIENT) as engine:
        await send(engine)
        before = meter_of(engine)
        sandbox.fault(do="delay", on=on, seconds=1.0)
        await send(engine, method=method)
        after = meter_of(engine)
    assert after.server_s - before.server_s >= 1.0
    assert after.server_times.quantile(1) >= 0.96 * 1000
    assert after.server_times.total == before.server_times.total + (2 if method == "upload" else 1)
    assert after.sending_s - before.sending_s < after.server_s - before.server_s


async def test_a_token_that_comes_late_is_in_the_sum_and_in_no_percentile(sandbox, engine_for):
    sandbox.fault(do="delay", on="token", seconds=1.0)
    async with engine_for(sandbox, timeouts=PATIENT) as engine:
        await send(engine)
        meter = meter_of(engine)
    assert meter.server_times.total == 1
    assert meter.server_s >= 1.0 + 0.96 * meter.server_times.quantile(1) / 1000


async def test_a_slow_reader_of_the_body_is_time_of_sending(sandbox, engine_for):
    async with engine_for(sandbox, timeouts=PATIENT) as engine:
        sandbox.fault(do="slow_read", on="blob", bytes_per_s=1_000_000)
        await send(engine, LARGE, method="upload")
        meter = meter_of(engine)
    # What the kernels hold is flushed already; the rest had to wait for the reader.
    assert meter.sending_s >= 0.3
    assert meter.source_s < meter.sending_s / 2
    assert meter.journal_s < meter.sending_s / 2


async def test_a_slow_source_is_part_of_the_time_of_sending(sandbox, engine_for):
    async def pieces():
        for _ in range(10):
            await asyncio.sleep(0.1)
            yield bytes(30_000)

    slow = Document.from_stream(
        pieces, size_bytes=300_000, title="a.bin", **described(document_id="slow")
    )
    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, slow, method="upload")
        assert getattr(receipt, "status", receipt) == "accepted"
        meter = meter_of(engine)
    assert meter.source_s >= 1.0
    assert meter.sending_s >= meter.source_s


class Slow(Notes):
    """A ledger on a slow disk."""

    async def intent(self, intent):
        await asyncio.sleep(0.5)
        await super().intent(intent)


async def test_a_slow_journal_is_part_of_the_time_of_sending(sandbox, engine_for):
    async with engine_for(sandbox, journal=Slow()) as engine:
        await send(engine, method="upload")
        meter = meter_of(engine)
    assert meter.journal_s >= 1.0  # two intents
    assert meter.sending_s >= meter.journal_s
    assert meter.source_s < meter.journal_s


async def test_waiting_for_the_quota_is_told(sandbox, engine_for):
    async with engine_for(sandbox, quota="3/2") as engine:
        for n in range(4):
            await outcome(engine, document(SMALL, document_id=f"d{n}"), method="embed", deadline_s=60)
        meter = meter_of(engine)
    assert meter.statuses[200] >= 4
    assert meter.quota_s >= 1.5
    assert meter.connection_s < meter.quota_s


async def test_a_connection_that_does_not_come_is_time_of_connecting(sandbox, engine_for):
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # TCP connects, and TLS gets no answer
        url = f"https://127.0.0.1:{nobody.getsockname()[1]}"
        async with engine_for(sandbox, api_url=url) as engine:
            error = await outcome(engine, document(SMALL))
            meter = meter_of(engine)
    assert isinstance(error, ConnectFailedError)
    assert meter.statuses[0] == QUICK.attempts
    assert meter.connection_s >= 0.9 * QUICK.attempts * (SHORT.connect_s + SHORT.tls_handshake_s)
    assert meter.server_times.total == 0


async def test_what_was_told_does_not_change_afterwards(sandbox, engine_for):
    async with engine_for(sandbox) as engine:
        await send(engine)
        told = engine.statistics()
        before = (dict(told.meter.statuses), dict(told.meter.server_times.counts), told.meter.server_s)
        for n in range(3):
            await outcome(engine, document(SMALL, document_id=f"d{n}"))
        assert meter_of(engine).server_times.total == 4
    assert before == (
        dict(told.meter.statuses),
        dict(told.meter.server_times.counts),
        told.meter.server_s,
    )


async def test_all_parts_together_are_the_time_of_the_attempts(sandbox, engine_for):
    """With one request at a time, nothing of it is counted twice, and little is left out."""
    loop = asyncio.get_running_loop()
    async with engine_for(sandbox, timeouts=PATIENT, concurrency=1) as engine:
        await send(engine)
        first, began = meter_of(engine), loop.time()
        for _ in range(10):
            sandbox.fault(do="delay", on="message", seconds=0.1)
            await send(engine, LARGE[:200_000], method="embed")
        last, took = meter_of(engine), loop.time() - began
    parts = ("quota_s", "connection_s", "sending_s", "server_s")
    total = sum(getattr(last, name) - getattr(first, name) for name in parts)
    assert 1.0 <= total <= took
