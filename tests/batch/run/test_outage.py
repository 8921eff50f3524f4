"""What an outage may cost: few requests, no rows, little time."""

from __future__ import annotations

import datetime as dt
import time

import anyio
import pytest

SLOTS = 16
DOWN_S = 60
PROBES = DOWN_S // 5


async def test_a_storm_of_503_costs_hardly_more_than_nothing(job):
    job.add(600)
    job.sandbox.fault(
        on="message", do="status", status=503, headers={"Retry-After": "0"}, every=20, times=None
    )
    ended = await job.run()
    assert job.states() == {"done": 600}
    assert {each.status for each in ended.values()} == {"accepted"}
    assert set(job.messages().values()) == {1}
    requests = job.sandbox.requests()["seen"]
    assert requests["message"] <= 1.06 * 600


def _moments(sandbox) -> list[float]:
    return [
        dt.datetime.fromisoformat(event["at"]).timestamp()
        for event in sandbox.events()
        if event["kind"] == "message"
    ]


def _rate(moments: list[float], start: float, end: float) -> float:
    return sum(start <= at < end for at in moments) / (end - start)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sandbox", [("--latency", "500")], indirect=True)
async def test_a_server_that_is_gone_for_a_minute_costs_no_row_and_few_requests(job):
    job.add(4000, size_bytes=300)
    seen, at = {}, time.time

    def attempts() -> int:
        statistics = job.runner.engine.statistics()
        return statistics.requests + statistics.tokens

    async def watch(running):
        await running.wait()
        await anyio.sleep(12)
        seen["down"], before = at(), attempts()
        job.sandbox.fault(do="refuse", seconds=DOWN_S, drop=True)
        await anyio.sleep(DOWN_S - 2)
        seen["attempts"] = attempts() - before
        await anyio.sleep(2 + 8 + 15)
        job.runner.stop("measured")

    async with anyio.create_task_group() as tasks:
        running = anyio.Event()
        tasks.start_soon(watch, running)

        async def begin(runner, ended):
            running.set()

        ended = await job.run(while_running=begin, settings={"concurrency": SLOTS})
    states = job.states()
    assert "failed" not in states
    assert {each.status for each in ended.values()} <= {"accepted", "in_doubt"}
    assert states.get("in_doubt", 0) <= SLOTS  # their connections were reset after the last byte
    assert seen["attempts"] <= SLOTS + 5 + PROBES
    moments, down = _moments(job.sandbox), seen["down"]
    up = min(m for m in moments if m > down + DOWN_S / 2)
    before = _rate(moments, down - 8, down)
    # Back within 15 s: there is such a window of 5 s, whatever else this machine does meanwhile.
    after = max(_rate(moments, up + start, up + start + 5) for start in range(11))
    assert after >= 0.9 * before
    assert up - down <= DOWN_S + 10
    assert set(job.messages().values()) == {1}
