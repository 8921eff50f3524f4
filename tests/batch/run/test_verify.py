"""`--on-unknown verify`: what is there is done, and what is not there is not missing before its time."""

from __future__ import annotations

from contextlib import closing

import pytest

from chartsend.batch import asking, unknown
from chartsend.batch.row import State

NEVER_ARRIVES = {"on": "message", "do": "close", "at_byte": None}
"""The message is read whole and thrown away: no answer, and nothing is there."""


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)


async def test_what_is_not_there_so_soon_is_held_and_asked_about_when_it_has_had_its_time(
    job, monkeypatch
):
    monkeypatch.setattr(asking, "LEAST_AGE_S", 3.0)
    job.add(2)
    job.sandbox.fault(**NEVER_ARRIVES, where={"document_id": "D-2"})
    heard = []

    async def listen(_, ended):
        with closing(job.reader()) as reader:
            heard.append((sorted(ended), reader.counts()[State.IN_DOUBT]))

    ended = await job.run(on_unknown="verify", while_running=listen)

    assert heard[-2] == ([1, 2], 1), "held first"
    assert {row: each.status for row, each in ended.items()} == {1: "accepted", 2: "accepted"}
    assert job.states() == {"done": 2}
    assert job.messages() == {"D-1": 1, "D-2": 1}
    assert job.totals()["maybe_duplicates"] == 1


async def test_what_is_not_there_is_not_sent_again_when_the_run_is_stopped_before_its_time(job):
    job.add(2)
    job.sandbox.fault(**NEVER_ARRIVES, where={"document_id": "D-2"})

    async def stop(runner, ended):
        if len(ended) == 2:
            runner.stop("enough")

    ended = await job.run(on_unknown="verify", while_running=stop)

    assert ended[2].status == "in_doubt"
    assert job.states() == {"done": 1, "in_doubt": 1}
    assert job.messages() == {"D-1": 1}


async def test_a_later_run_counts_from_when_it_was_sent(job, monkeypatch):
    job.add(1)
    job.sandbox.fault(**NEVER_ARRIVES)
    await job.run()
    assert job.states() == {"in_doubt": 1}
    monkeypatch.setattr(asking, "LEAST_AGE_S", 0.0)

    await job.run(on_unknown="verify")

    assert job.states() == {"done": 1}
    assert job.messages() == {"D-1": 1}


async def test_a_message_that_was_sent_three_times_is_still_asked_about(job, monkeypatch):
    monkeypatch.setattr(asking, "LEAST_AGE_S", 0.0)
    job.add(1)
    job.sandbox.fault(on="message", do="swallow", then="close", times=None)
    await job.run(on_unknown="resend")
    assert (job.states(), job.messages()) == ({"in_doubt": 1}, {"D-1": 3})
    before = job.sandbox.requests()["seen"].get("search", 0)

    await job.run(on_unknown="verify")

    assert job.sandbox.requests()["seen"]["search"] == before + 1
    assert job.states() == {"done": 1}
    assert job.messages() == {"D-1": 3}


async def test_a_message_that_was_sent_three_times_and_is_not_there_is_held(job, monkeypatch):
    monkeypatch.setattr(asking, "LEAST_AGE_S", 0.0)
    job.add(1)
    job.sandbox.fault(**NEVER_ARRIVES, times=None)
    await job.run(on_unknown="resend")

    await job.run(on_unknown="verify")

    assert job.states() == {"in_doubt": 1}
    assert job.totals()["maybe_duplicates"] == 2
