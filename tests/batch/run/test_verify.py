"""`--on-unknown verify`: what arrived is done, and what is not there is not missing before its time."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from chartsend import Document, Engine, Patient
from chartsend.batch import asking, schedule, unknown
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger

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


# -- a document with the id is there, of an earlier message ---------------------------------


@pytest.fixture
def day_two(job, monkeypatch, tmp_path):
    """A function: the job of the next day, with a ledger of its own; its files are corrected ones."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def made(size_bytes=2500, **fields):
        after = type(job)(job.folder, job.sandbox, job.settings_of)
        after.manifest = job.folder / "day-two.jsonl"
        return after.add(1, size_bytes=size_bytes, **fields)

    return made


DATED = {"documented_at": "2026-07-02T14:05:11Z"}


@pytest.mark.parametrize("fields", [{}, DATED, {"method": "upload"}, {"method": "upload", **DATED}])
async def test_the_document_of_the_day_before_is_not_today_s_corrected_one(job, day_two, fields):
    await job.add(1, **fields).run()
    job.sandbox.fault(**NEVER_ARRIVES)
    after = day_two(**fields)

    ended = await after.run(on_unknown="verify", sends_again=True)
    await after.run(on_unknown="verify")

    assert ended[1].status == "in_doubt"
    assert after.states() == {"in_doubt": 1}
    assert after.messages() == {"D-1": 1}, "nor is it sent again"


@pytest.mark.parametrize("fields", [{}, DATED, {"method": "upload", **DATED}])
async def test_a_corrected_document_after_a_send_without_a_ledger_is_not_the_one_from_then(
    job, day_two, fields
):
    async with Engine(job.settings_of(job.sandbox, quota="off")) as engine:
        described = {"type": "Consent Form", "patient": Patient.identified("0000991234", "MR")}
        path = job.folder / job.file("f1.pdf")
        document = Document.from_path(str(path), document_id="D-1", **described)
        await engine.send(document, to=job.sandbox.info.destination)
    job.sandbox.fault(**NEVER_ARRIVES)
    after = day_two(**fields)

    ended = await after.run(on_unknown="verify")

    assert ended[1].status == "in_doubt"
    assert after.states() == {"in_doubt": 1}


@pytest.mark.parametrize("fields", [{}, {"method": "upload"}, {"method": "upload", **DATED}])
async def test_a_message_that_arrived_is_told_from_the_earlier_one_of_the_same_id(job, day_two, fields):
    await job.add(1, **fields).run()
    job.sandbox.fault(on="message", do="swallow", then="close", times=2)
    now, later = day_two(**fields), day_two(**fields)
    later.manifest = job.folder / "day-three.jsonl"
    later.write()

    ended = await now.run(on_unknown="verify", sends_again=True)
    await later.run(sends_again=True)
    await later.run(on_unknown="verify", sends_again=True)

    assert ended[1].status == "accepted"
    assert (now.states(), later.states()) == ({"done": 1}, {"done": 1})
    assert job.messages() == {"D-1": 3}


BARE = {"resource": {"resourceType": "DocumentReference", "masterIdentifier": {"value": "D-1"}}}
ID_ONLY = {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [BARE]}


async def test_where_only_ids_are_shown_an_id_that_was_not_sent_before_is_enough(job, day_two):
    after = day_two()
    job.sandbox.fault(on="message", do="swallow", then="close")
    job.sandbox.fault(on="search", do="status", status=200, body=json.dumps(ID_ONLY), times=None)

    ended = await after.run(on_unknown="verify")

    assert ended[1].status == "accepted"
    assert after.states() == {"done": 1}


@pytest.mark.parametrize("size_bytes", [2000, 2500])
async def test_where_only_ids_are_shown_an_id_that_another_ledger_sent_proves_nothing(
    job, day_two, size_bytes
):
    await job.add(1).run()
    after = day_two(size_bytes)
    job.sandbox.fault(**NEVER_ARRIVES)
    job.sandbox.fault(on="search", do="status", status=200, body=json.dumps(ID_ONLY), times=None)

    ended = await after.run(on_unknown="verify", sends_again=True)

    assert ended[1].status == "in_doubt"
    assert after.states() == {"in_doubt": 1}


async def test_where_only_ids_are_shown_a_ledger_that_cannot_be_read_leaves_the_doubt(job, day_two):
    await job.add(1).run()
    after = day_two()
    (job.ledger / "key").chmod(0o644)
    job.sandbox.fault(on="message", do="swallow", then="close")
    job.sandbox.fault(on="search", do="status", status=200, body=json.dumps(ID_ONLY), times=None)

    ended = await after.run(on_unknown="verify", sends_again=True)

    assert ended[1].status == "in_doubt"


async def test_where_only_ids_are_shown_a_ledger_that_is_not_there_leaves_the_doubt(job, day_two):
    await job.add(1).run()
    after = day_two()
    await after.plan_only(sends_again=True)
    job.ledger.rename(job.folder / "elsewhere")
    job.sandbox.fault(**NEVER_ARRIVES)
    job.sandbox.fault(on="search", do="status", status=200, body=json.dumps(ID_ONLY), times=None)

    ended = await after.run(on_unknown="verify", sends_again=True)

    assert ended[1].status == "in_doubt"
    assert after.states() == {"in_doubt": 1}


async def test_where_only_sizes_are_shown_another_size_is_another_document_in_every_run(job):
    sized = BARE["resource"] | {"content": [{"attachment": {"size": 77}}]}
    found = ID_ONLY | {"entry": [{"resource": sized}]}
    job.sandbox.fault(**NEVER_ARRIVES)
    job.sandbox.fault(on="search", do="status", status=200, body=json.dumps(found), times=None)
    job.add(1)

    for _ in range(2):
        await job.run(on_unknown="verify")
        assert job.states() == {"in_doubt": 1}
    assert job.messages() == {}


async def test_what_was_sent_by_hand_while_a_row_waited_is_not_the_row_s_document(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.2,))
    job.add(1, size_bytes=300_000)
    job.sandbox.fault(on="blob", do="status", status=503, headers={"Retry-After": "0"}, when="before")
    retry_at = SqliteLedger.retry_at

    async def and_by_hand(*args, **more):
        await retry_at(*args, **more)
        path = job.folder / job.file("other.pdf", 14)
        described = {"type": "Consent Form", "patient": Patient.identified("0000991234", "MR")}
        async with Engine(job.settings_of(job.sandbox, quota="off")) as engine:
            document = Document.from_path(str(path), document_id="D-1", **described)
            await engine.send(document, to=job.sandbox.info.destination)
        job.sandbox.fault(**NEVER_ARRIVES)

    monkeypatch.setattr(SqliteLedger, "retry_at", and_by_hand)

    ended = await job.run(on_unknown="verify", settings={"retry": {"attempts": 1}})

    assert ended[1].status == "in_doubt"
    assert job.states() == {"in_doubt": 1}
