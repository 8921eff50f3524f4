"""A batch from its manifest to its ledger, with whatever happens in between."""

from __future__ import annotations

import hashlib

import anyio
import pytest

from chartsend.batch import asking, run as run_module, schedule, unknown
from chartsend.batch.batch import Batch
from chartsend.batch.guard import Guard
from chartsend.batch.options import BatchOptions
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.errors import ConfigError, LedgerLockedError, LostRowError, ManifestError

UPLOAD = 300_000
"""Bytes of a file that is uploaded; smaller ones are embedded."""


async def test_every_row_arrives_once_byte_for_byte_by_its_route(job):
    job.add(30).add(10, size_bytes=UPLOAD)
    ended = await job.run()
    assert {receipt.status for receipt in ended.values()} == {"accepted"}
    assert sorted(ended) == list(range(1, 41))
    assert job.states() == {"done": 40}
    events = [e for e in job.sandbox.events() if e["kind"] == "message"]
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 41)}
    for event in events:
        name = f"f{event['document_id'].removeprefix('D-')}.pdf"
        assert event["sha256"] == hashlib.sha256((job.folder / name).read_bytes()).hexdigest()
    assert job.uploads() == 10


async def test_a_finished_batch_sends_nothing_more(job):
    job.add(5)
    await job.run()
    before = job.sandbox.requests()["total"]
    assert await job.run() == {}
    assert job.sandbox.requests()["total"] == before
    assert job.states() == {"done": 5}


async def test_rows_have_their_own_destination_model_and_method(job):
    here = job.sandbox.info
    job.add(1, model="notes", api="data-model", to=here.destination)
    job.add(1, method="upload").add(1, api="data-model", model="media").add(1)
    ended = await job.run()
    assert [(ended[n].api, ended[n].model, ended[n].method) for n in range(1, 5)] == [
        ("data-model", "notes", "embed"),
        ("fhir", "document-reference", "upload"),
        ("data-model", "media", "embed"),
        ("fhir", "document-reference", "embed"),
    ]


async def test_bad_rows_are_rejected_and_the_others_go(job):
    job.add(3)
    job.rows[1]["path"] = "../outside.pdf"
    job.rows.append({"path": job.file("g.pdf"), "documnt_id": "x"})
    job.rows.append(job.rows[0] | {"title": "another title, the same document"})
    job.rows.append({"path": "not-there.pdf", "type": "Consent Form", "patient": {"last_name": "Q"}})
    job.write()
    ended = await job.run()
    assert sorted(ended) == [1, 3]
    assert job.states() == {"done": 2, "rejected": 4}
    reader = job.reader()
    assert [(row, code) for row, code, _ in reader.rejects()] == [
        (2, "path_escape"),
        (4, "row_rejected"),
        (5, "duplicate_id"),
        (6, "source_missing"),
    ]
    reader.close()


async def test_a_refused_row_fails_and_the_others_go(job):
    job.add(5)
    where = {"document_id": "D-3"}
    job.sandbox.fault(on="message", do="status", status=422, where=where, when="after")
    ended = await job.run()
    assert ended[3].status == "failed"
    assert ended[3].error.code == "invalid"
    assert job.states() == {"done": 4, "failed": 1}
    assert await job.run() == {}  # failed is final, until somebody asks for it
    await job.run(again=frozenset({State.FAILED}))
    assert job.states() == {"done": 5}
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 6)}


async def test_an_unanswered_message_is_held_in_doubt_and_not_sent_again(job):
    job.add(5)
    job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    ended = await job.run()
    assert ended[2].status == "in_doubt"
    assert job.states() == {"done": 4, "in_doubt": 1}
    assert await job.run() == {}
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 6)}


async def test_resend_lists_a_possible_duplicate_before_it_sends_the_same_bytes(job, monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    job.add(3, size_bytes=UPLOAD)
    job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    ended = await job.run(on_unknown="resend")
    assert ended[2].status == "accepted"
    assert job.states() == {"done": 3}
    assert job.messages() == {"D-1": 1, "D-2": 2, "D-3": 1}
    assert job.totals()["maybe_duplicates"] == 1
    first, second = (
        e for e in job.sandbox.events() if e["kind"] == "message" and e["document_id"] == "D-2"
    )
    assert first["sha256"] == second["sha256"]
    assert first["reference"] == second["reference"]


async def test_resend_stops_after_two(job, monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    job.add(2)
    where = {"document_id": "D-2"}
    job.sandbox.fault(on="message", do="swallow", where=where, then="close", times=None)
    ended = await job.run(on_unknown="resend")
    assert ended[2].status == "in_doubt"
    assert job.messages() == {"D-1": 1, "D-2": 3}
    assert job.totals()["maybe_duplicates"] == 2


async def test_a_row_that_may_be_there_stays_in_doubt_when_its_second_try_is_refused(job, monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    job.add(2)
    where = {"document_id": "D-2"}
    job.sandbox.fault(on="message", do="swallow", where=where, then="close")
    job.sandbox.fault(on="message", do="status", status=422, where=where, when="after", skip=1)
    ended = await job.run(on_unknown="resend")
    assert ended[2].status == "in_doubt"
    assert job.states() == {"done": 1, "in_doubt": 1}


async def test_a_file_that_changed_is_not_sent_as_the_same_message(job, monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    job.add(2)
    job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    path = job.folder / "f2.pdf"
    decide = unknown.Unknown.decide

    async def then_change(self, claimed, wanted, error):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        return await decide(self, claimed, wanted, error)

    monkeypatch.setattr(unknown.Unknown, "decide", then_change)
    ended = await job.run(on_unknown="resend")
    assert ended[2].status == "in_doubt"
    assert job.messages() == {"D-1": 1, "D-2": 1}


@pytest.mark.parametrize("is_there", [True, False])
async def test_verify_asks_the_destination(job, monkeypatch, is_there):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    monkeypatch.setattr(asking, "LEAST_AGE_S", 0.5)
    job.add(2)
    if is_there:
        job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    else:
        job.sandbox.fault(on="message", do="close", where={"api": "fhir"}, at_byte=None, skip=1)
    ended = await job.run(on_unknown="verify", settings={"concurrency": 1})
    assert {each.status for each in ended.values()} == {"accepted"}
    assert job.states() == {"done": 2}
    assert set(job.messages().values()) == {1}


@pytest.mark.parametrize("policy", ["resend", "verify"])
async def test_what_an_earlier_run_left_in_doubt_is_decided_as_asked(job, policy):
    job.add(3)
    job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    await job.run()
    assert job.states() == {"done": 2, "in_doubt": 1}
    await job.run(on_unknown=policy)
    assert job.states() == {"done": 3}
    sent = {"resend": 2, "verify": 1}[policy]
    assert job.messages() == {"D-1": 1, "D-2": sent, "D-3": 1}
    assert job.totals()["maybe_duplicates"] == sent - 1


async def test_verify_without_a_clear_answer_holds(job, monkeypatch):
    monkeypatch.setattr(unknown, "WAIT_S", 1.0)
    job.add(2)
    job.sandbox.fault(on="message", do="swallow", where={"document_id": "D-2"}, then="close")
    job.sandbox.fault(on="search", do="status", status=404, times=None)
    ended = await job.run(on_unknown="verify")
    assert ended[2].status == "in_doubt"
    assert job.messages() == {"D-1": 1, "D-2": 1}


async def test_an_uploaded_file_is_not_uploaded_again_when_its_message_waits(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.2,))
    job.add(3, size_bytes=UPLOAD)
    job.sandbox.fault(
        on="message", do="status", status=503, headers={"Retry-After": "0"}, times=7, when="before"
    )
    ended = await job.run(settings={"concurrency": 1, "retry": {"attempts": 1}})
    assert len(ended) == 3
    assert job.states() == {"done": 3}
    assert job.uploads() == 3
    assert job.messages() == {"D-1": 1, "D-2": 1, "D-3": 1}


async def test_an_upload_whose_message_is_refused_is_one_that_nothing_refers_to(job):
    job.add(1, size_bytes=UPLOAD)
    job.sandbox.fault(on="message", do="status", status=422, when="after")
    ended = await job.run()
    assert (ended[1].status, job.uploads()) == ("failed", 1)
    assert job.totals()["orphans"] == 1


async def test_an_uploaded_file_that_changed_on_disk_is_uploaded_again(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.2,))
    job.add(1, size_bytes=UPLOAD)
    job.sandbox.fault(on="message", do="status", status=503, headers={"Retry-After": "0"}, when="before")
    path = job.folder / "f1.pdf"
    retry_at = run_module.schedule.wait_s

    def change(*args):
        path.write_bytes(b"%PDF-1.4\n" + b"x" * UPLOAD)
        return retry_at(*args)

    monkeypatch.setattr(run_module.schedule, "wait_s", change)
    ended = await job.run(settings={"retry": {"attempts": 1}})
    assert job.uploads() == 2
    (event,) = (e for e in job.sandbox.events() if e["kind"] == "message")
    assert event["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() == ended[1].sha256
    assert job.totals()["orphans"] == 1


async def test_a_row_is_given_up_in_the_end(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.1,))
    job.add(3)
    where = {"document_id": "D-2"}
    job.sandbox.fault(on="message", do="status", status=408, where=where, when="after", times=None)
    ended = await job.run(give_up_after_s=1, settings={"retry": {"attempts": 1}})
    assert ended[2].status == "failed"
    assert ended[2].error.code == "server_unavailable"
    assert job.states() == {"done": 2, "failed": 1}


async def test_a_pause_between_runs_takes_no_tries_away(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.1,))
    job.add(1)
    job.sandbox.fault(on="message", do="status", status=408, when="after", times=3)
    await job.plan_only()
    long_ago_ms = 1_000_000_000_000
    ledger = await SqliteLedger.open(job.ledger, create=False)
    await ledger.claim("then", 1, long_ago_ms)
    await ledger.retry_at(1, "then", next_try_ms=1, attempts=1, error_code="stall_timeout")
    await ledger.aclose()

    ended = await job.run(give_up_after_s=600, settings={"retry": {"attempts": 1}})

    assert ended[1].status == "accepted"
    assert ended[1].attempts == 1
    assert job.states() == {"done": 1}


async def test_credentials_that_are_refused_leave_every_row_pending(job):
    job.add(40)
    job.sandbox.fault(on="token", do="status", status=400, times=None)
    assert await job.run() == {}
    assert job.runner.fatal is not None
    assert job.states() == {"queued": 40}
    job.sandbox.clear_faults()
    await job.run()
    assert job.states() == {"done": 40}


async def test_a_failure_of_everybody_stops_the_intake(job):
    job.add(300)
    job.sandbox.fault(on="message", do="status", status=422, when="after", times=None)
    ended = await job.run()
    assert "refused" in job.runner.reason
    assert 3 <= len(ended) <= 8
    states = job.states()
    assert states["failed"] == len(ended)
    assert states["queued"] == 300 - len(ended)


async def test_a_share_of_failures_of_one_kind_stops_the_intake(job):
    job.add(400)
    job.sandbox.fault(on="message", do="status", status=415, when="after", times=None, every=3, skip=10)
    ended = await job.run()
    assert "of the last" in job.runner.reason
    states = job.states()
    assert 41 <= states["failed"] <= 41 + 16
    assert states["queued"] > 200
    assert sum(states.values()) == 400
    assert len(ended) == states["failed"] + states["done"]


async def test_stopping_lets_what_is_under_way_end_and_gives_the_rest_back(job):
    job.add(100)

    async def stop(runner, ended):
        if len(ended) == 20:
            runner.stop("enough")

    ended = await job.run(while_running=stop)
    states = job.states()
    assert 20 <= states["done"] == len(ended) <= 20 + 40
    assert states["queued"] == 100 - len(ended)
    await job.run()
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 101)}


async def test_a_cancelled_run_leaves_nothing_half_known(job, monkeypatch):
    job.add(60)
    job.sandbox.fault(on="message", do="delay", seconds=0.05, times=None)

    for _ in range(6):
        with anyio.CancelScope() as scope:

            async def cancel(runner, ended, scope=scope):
                if len(ended) >= 4:
                    scope.cancel()

            await job.run(while_running=cancel)
    await job.run()
    states = job.states()
    assert sum(states.values()) == 60
    assert set(states) <= {"done", "in_doubt"}
    assert set(job.messages().values()) == {1}
    assert sum(job.messages().values()) >= states["done"]


async def test_a_row_corrected_in_place_and_rows_added_at_the_end_are_planned(job):
    job.add(5)
    job.rows[2]["type"] = 17
    job.write()
    await job.run()
    assert job.states() == {"done": 4, "rejected": 1}
    job.rows[2]["type"] = "Consent Form"
    job.add(2)
    ended = await job.run()
    assert sorted(ended) == [3, 6, 7]
    assert any("Rows that changed: 1; new ones: 2." in each for each in job.news)
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 8)}


async def test_a_sent_row_that_changed_is_refused_before_anything_is_sent(job):
    job.add(5)
    await job.run()
    job.rows[2]["title"] = "another"
    job.add(1)
    before = job.sandbox.requests()["total"]
    with pytest.raises(LostRowError, match="3"):
        await job.run()
    assert job.sandbox.requests()["total"] == before


@pytest.mark.parametrize("which", [0, 2, 4])
async def test_a_row_that_disappeared_is_refused(job, which):
    job.add(5)
    await job.run()
    lines = job.manifest.read_text().splitlines(keepends=True)
    lines[which] = "\n" if which < 4 else ""
    job.manifest.write_text("".join(lines))
    with pytest.raises(ManifestError, match=f"row {which + 1} was planned"):
        await job.run()


async def test_a_copy_of_the_manifest_is_the_manifest(job):
    job.add(5)
    await job.run()
    content = job.manifest.read_bytes()
    job.manifest.unlink()
    job.manifest.write_bytes(content)
    assert await job.run() == {}
    assert job.news == []


async def test_other_options_are_refused_by_name(job):
    job.add(2)
    await job.run()
    with pytest.raises(ConfigError, match="--model"):
        await job.run(api="data-model", model="notes")
    with pytest.raises(ConfigError, match="--to"):
        await job.run(to="somebody-else")
    with pytest.raises(ConfigError, match="description"):
        await job.run(defaults={"type": "Other"})
    await job.run(on_unknown="verify", deadline_s=60, settings={"concurrency": 3})


async def test_what_an_earlier_batch_sent_is_not_sent_again(job, tmp_path):
    job.add(5)
    await job.run()
    other = tmp_path / "other.jsonl"
    job.add(2)
    other.write_bytes(job.manifest.read_bytes())
    job.manifest = other
    settings = job.settings_of(job.sandbox, quota="off")
    async with Batch.open(other, settings, BatchOptions(to=job.sandbox.info.destination)) as batch:
        plan = await batch.plan()
        assert plan.already_sent == 5
        assert plan.accepted == 2
        async with (await batch.runner()).run() as settled:
            assert sorted([each.row async for each in settled]) == [6, 7]
    assert job.messages() == {f"D-{n}": 1 for n in range(1, 8)}


async def test_two_at_once_are_one_too_many(job):
    job.add(2)
    settings = job.settings_of(job.sandbox, quota="off")
    options = BatchOptions(to=job.sandbox.info.destination)
    async with Batch.open(job.manifest, settings, options):
        with pytest.raises(LedgerLockedError):
            async with Batch.open(job.manifest, settings, options):
                pass


async def test_a_plan_makes_no_request(job):
    job.add(20).add(5, size_bytes=UPLOAD)
    settings = job.settings_of(job.sandbox)
    before = job.sandbox.requests()["total"]
    async with Batch.open(
        job.manifest, settings, BatchOptions(to=job.sandbox.info.destination)
    ) as batch:
        plan = await batch.plan()
    assert job.sandbox.requests()["total"] == before
    assert (plan.rows, plan.accepted, plan.requests) == (25, 25, 30)
    assert plan.by_route == {"embed document-reference": 20, "upload document-reference": 5}
    assert plan.size_bytes == 20 * 2000 + 5 * UPLOAD
    assert plan.uploads_by_limit[500_000] == 5


async def test_planning_goes_on_where_it_was_stopped(job, monkeypatch):
    job.add(700)
    settings = job.settings_of(job.sandbox, quota="off")
    options = BatchOptions(to=job.sandbox.info.destination)
    with anyio.CancelScope() as scope:

        def stop(seen):
            if seen > 300:
                scope.cancel()

        async with Batch.open(job.manifest, settings, options) as batch:
            await batch.plan(on_progress=stop)
    assert scope.cancelled_caught
    async with Batch.open(job.manifest, settings, options) as batch:
        plan = await batch.plan()
        assert any("goes on at row" in each for each in batch.news)
    assert plan.accepted == 700


def test_a_guard_that_never_saw_anything_is_quiet():
    assert Guard().reason is None
