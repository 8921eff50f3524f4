"""Workers share what there must be one of: the token, the quota, an outage, the counts, the log."""

from __future__ import annotations

import asyncio
import logging
import time

import anyio
import pytest
from rig import TO, outcome, pattern, until
from seen import Book, pids_of

from chartsend import Receipt
from chartsend.settings import Retry
from chartsend.testing import SandboxProcess

DATA = pattern(100_000)
PATIENT = Retry(attempts=10, base_s=0.05, cap_s=1.0)


@pytest.fixture
def own_sandbox():
    """With counts of its own: a function of options to a sandbox as `rig` shows it."""
    import contextlib

    import rig

    with contextlib.ExitStack() as stack:
        yield lambda *options: rig.Sandbox(stack.enter_context(SandboxProcess.start(*options)))


async def send_all(engine, documents, found, **options):
    async def one(document):
        found[document.document_id] = await outcome(engine, document, deadline_s=150, **options)

    async with anyio.create_task_group() as tasks:
        for each in documents:
            tasks.start_soon(one, each)


def seen_by(server) -> dict[str, int]:
    """Requests that the sandbox saw, by kind."""
    requests = server.process.requests()
    return {kind: sum(counts.values()) for kind, counts in requests["answers"].items()}


@pytest.mark.timeout(170)
async def test_a_503_storm_costs_as_many_requests_as_for_one_process_and_all_resume(
    own_sandbox, team, make_document, caplog
):
    server = own_sandbox()
    found = {}
    documents = [make_document(f"{n}") for n in range(36)]
    async with team(
        server, workers=3, priority="backfill", concurrency=12, retry=PATIENT, quota="off"
    ) as engine:
        warm = [make_document(f"warm {n}") for n in range(6)]
        await send_all(engine, warm, found, method="embed")
        rule = server.fault(
            do="status", on="message", status=503, headers={"Retry-After": "0"}, times=None
        )
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_all, engine, documents, found)
            await until(lambda: any("is down" in m for m in caplog.messages))
            await until(lambda: engine.statistics().waiting_for)
            await asyncio.sleep(1.0)  # what was under way has ended
            began_s, before = time.monotonic(), server.fault_counts()[rule]["seen"]
            # What was under way, and at most five failures in each.
            assert before <= 12 + 5 * 3 + 3
            await asyncio.sleep(8.0)
            lasted_s = time.monotonic() - began_s
            probes = server.fault_counts()[rule]["seen"] - before
            assert probes <= 2 + 2 * lasted_s / 5.0
            server.clear_faults()
        assert engine.statistics().waiting_for == ()
    assert {getattr(each, "status", each) for each in found.values()} == {"accepted"}
    took = [e["document_id"] for e in server.events("message")]
    assert len(took) == len(set(took)) == 42


@pytest.mark.timeout(170)
async def test_a_closed_port_is_waited_out_by_all(own_sandbox, team, make_document):
    server = own_sandbox()
    found = {}
    async with team(
        server, workers=3, priority="backfill", concurrency=12, retry=PATIENT, quota="off"
    ) as engine:
        await send_all(engine, [make_document(f"warm {n}") for n in range(6)], found, method="embed")
        server.fault(do="refuse", seconds=4, drop=True)
        await send_all(engine, [make_document(f"{n}") for n in range(30)], found, method="embed")
        assert engine.statistics().waiting_for == ()
        statistics = engine.statistics()
    assert {getattr(each, "status", each) for each in found.values()} == {"accepted"}
    assert statistics.meter.statuses[0] <= 12 + 5 * 3 + 20  # connections that were refused
    took = [e["document_id"] for e in server.events("message")]
    assert len(took) == len(set(took)) == 36


async def test_a_revoked_token_costs_one_refresh_and_one_more_request_each(
    own_sandbox, team, make_document
):
    server = own_sandbox("--quota", "off")
    found = {}
    async with team(server, workers=3, concurrency=9) as engine:
        await send_all(engine, [make_document(f"warm {n}") for n in range(9)], found, method="embed")
        assert server.process.requests()["tokens_issued"] == 1
        server.fault(do="expire_tokens")
        await send_all(engine, [make_document(f"{n}", DATA) for n in range(9)], found, method="embed")
        assert server.process.requests()["tokens_issued"] == engine.statistics().tokens == 2
        statistics = engine.statistics()
    assert {getattr(each, "status", each) for each in found.values()} == {"accepted"}
    assert statistics.meter.statuses[401] <= 9
    assert statistics.requests == 18 + statistics.meter.statuses[401]
    assert len(server.events("message")) == 18


async def test_tokens_that_expire_again_and_again_cost_no_document(own_sandbox, team, make_document):
    """Each intent without a journal is told and not asked: its word must not pass for a token."""
    server = own_sandbox("--quota", "off")
    found = {}
    async with team(server, workers=2, concurrency=8) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_all, engine, [make_document(f"{n}") for n in range(150)], found)
            for n in range(6):
                await until(lambda n=n: len(found) >= 20 * n)
                server.fault(do="expire_tokens")
    assert {getattr(each, "status", each) for each in found.values()} == {"accepted"}
    took = [e["document_id"] for e in server.events("message")]
    assert len(took) == len(set(took)) == 150


async def test_credentials_that_are_refused_are_refused_for_all(own_sandbox, team, make_document):
    server = own_sandbox()
    found = {}
    server.fault(do="status", on="token", status=401, times=None)
    async with team(server, workers=3) as engine:
        await send_all(engine, [make_document(f"{n}") for n in range(9)], found)
        assert engine.statistics().tokens <= 2
    assert {each.code for each in found.values()} == {"auth_rejected"}
    assert {each.receipt.status for each in found.values()} == {"failed"}


@pytest.mark.timeout(120)
async def test_the_quota_holds_across_workers(own_sandbox, team, make_document):
    server = own_sandbox("--quota", "30/3")
    found = {}
    documents = [make_document(f"{n}") for n in range(100)]
    async with team(server, workers=3, concurrency=24, quota="30/3") as engine:
        began_s = time.monotonic()
        await send_all(engine, documents, found, method="embed")
        took_s = time.monotonic() - began_s
        assert engine.statistics().throttled == 0
    assert {getattr(each, "status", each) for each in found.values()} == {"accepted"}
    assert took_s >= 9.0 - 0.5  # 101 requests in windows of 30: three full windows at least


@pytest.mark.parametrize("journalled", [False, True])
async def test_statistics_add_up_to_what_the_sandbox_saw(own_sandbox, team, make_document, journalled):
    server = own_sandbox("--quota", "off")
    server.fault(do="status", on="message", status=422, times=3)
    server.fault(do="status", on="blob", status=503, times=4, every=3)
    found = {}
    journal = Book() if journalled else None
    async with team(server, journal, workers=3, concurrency=10, quota="off") as engine:
        await send_all(engine, [make_document(f"{n}", DATA) for n in range(40)], found, method="upload")
        statistics = engine.statistics()
    requests = server.process.requests()
    assert statistics.sends_in_flight == 0
    assert statistics.tokens == requests["tokens_issued"] == 1
    assert sum(statistics.meter.statuses.values()) == statistics.requests + statistics.tokens
    assert statistics.meter.statuses[422] == 3
    assert statistics.meter.statuses[503] == statistics.retries == 4
    # A file for each, four of them twice; a message for each.
    assert statistics.requests == 40 + 4 + 40
    assert statistics.meter.statuses[201] + statistics.meter.statuses[200] == 40 + 37 + 1
    assert sum(isinstance(each, Receipt) for each in found.values()) == 37


async def test_log_lines_arrive_once_with_their_level(sandbox, team, make_document, caplog):
    caplog.set_level(logging.DEBUG, "chartsend")
    sandbox.fault(do="status", on="blob", status=503, times=1)
    async with team(sandbox) as engine:
        assert len(pids_of(engine)) == 2
        await engine.send(make_document("told", pattern(300_000)), to=TO, method="upload")
        await engine.send(make_document("warned", pattern(300_000)), to=TO, method="embed")
    told = [r for r in caplog.records if "told" in r.getMessage()]
    assert [(r.name, r.levelname) for r in told] == [("chartsend", "WARNING")]
    assert "upload will be tried again after server_unavailable" in told[0].getMessage()
    assert [r.levelname for r in caplog.records if "warned" in r.getMessage()] == ["WARNING"]


async def test_levels_that_the_engine_does_not_want_do_not_cross(sandbox, team, make_document, caplog):
    caplog.set_level(logging.ERROR, "chartsend")
    async with team(sandbox) as engine:
        await engine.send(make_document("quiet", pattern(300_000)), to=TO, method="embed")
    assert [r for r in caplog.records if "quiet" in r.getMessage()] == []
