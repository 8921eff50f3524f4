"""`chartsend batch run`, the real command against the real sandbox: once, again, and all its ends."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import shutil

import pytest

PDF = b"%PDF-1.4 "
FOREVER = {"times": None}


def events_of(done):
    return [json.loads(line) for line in done.out.splitlines()]


def end_of(done):
    last = events_of(done)[-1]
    assert last["event"] == "end"
    assert last["exit_code"] == done.code
    return last


def rows_of(done):
    return {event["row"]: event for event in events_of(done) if event["event"] == "row"}


def test_a_manifest_arrives_byte_for_byte(batch, made, sandbox, messages):
    job = made(5)
    job.add(PDF + os.urandom(700_000))
    manifest = job.write()

    done = batch("run", manifest)

    assert done.code == 0, done.err
    assert done.out == ""
    assert "6 rows after " in done.err
    assert "6 done, 0 failed, 0 in doubt, 0 rejected, 0 pending." in done.err
    assert "`chartsend batch report MANIFEST` has the figures." in done.err
    assert sorted(messages()) == sorted(row["document_id"] for row in job.rows)
    for row in job.rows:
        content = (job.folder / row["path"]).read_bytes()
        assert sandbox.file(hashlib.sha256(content).hexdigest()) == content


def test_with_json_every_row_has_an_event_and_the_last_line_is_the_end(batch, made, messages):
    job = made(5)
    job.rows[2]["path"] = "missing.pdf"
    manifest = job.write()

    done = batch("run", manifest, "--json")

    plan, *between, end = events_of(done)
    assert (plan["event"], plan["rows"], plan["accepted"]) == ("plan", 5, 4)
    assert {event["event"] for event in between} == {"row"}
    assert sorted(rows_of(done)) == [1, 2, 4, 5]
    one = rows_of(done)[1]
    assert list(one) == [
        *("event", "row", "document_id", "source", "bytes", "sha256", "api", "method", "model"),
        *("status", "reference_url", "log_ids", "trace_id", "resource_url", "attempts", "seconds"),
        "error",
    ]
    assert (one["document_id"], one["status"], one["error"]) == ("doc-1", "accepted", None)
    assert one["source"] == str(job.folder / "f0001.pdf")
    assert end["rows"] == {"done": 4, "failed": 0, "in_doubt": 0, "rejected": 1, "pending": 0}
    assert (end["exit_code"], end["reason"], end["error"]) == (1, None, None)
    assert len(messages()) == 4


def test_a_second_run_of_a_finished_batch_sends_nothing(batch, made, messages):
    job = made(3)
    assert batch("run", job.manifest).code == 0

    again = batch("run", job.manifest, "--json")

    assert again.code == 0
    assert "Nothing is left to send." in again.err
    assert rows_of(again) == {}
    assert end_of(again)["rows"]["done"] == 3
    assert len(messages()) == 3


def test_a_copy_of_the_manifest_is_the_same_batch(batch, made, messages):
    job = made(3)
    assert batch("run", job.manifest).code == 0
    shutil.copy(job.manifest, job.folder / "copy")
    os.replace(job.folder / "copy", job.manifest)

    again = batch("run", job.manifest)

    assert again.code == 0
    assert "changed" not in again.err
    assert len(messages()) == 3


def test_rows_that_are_added_or_corrected_are_sent_and_said(batch, made, messages):
    job = made(3)
    job.rows[1]["path"] = "missing.pdf"
    manifest = job.write()
    assert batch("run", manifest).code == 1
    job.rows[1]["path"] = "f0002.pdf"
    job.add(PDF + b"one more")
    job.write()

    again = batch("run", manifest)

    assert again.code == 0, again.err
    assert "The manifest changed since it was planned" in again.err
    assert sorted(messages()) == ["doc-1", "doc-2", "doc-3", "doc-4"]


def test_a_row_that_was_sent_and_changed_is_an_error_and_nothing_is_sent(batch, made, messages):
    job = made(3)
    assert batch("run", job.manifest).code == 0
    job.rows[1]["patient"] = {"identifiers": [{"id": "CANARY", "type": "MR"}]}
    job.add(PDF + b"one more")
    job.write()

    again = batch("run", job.manifest)

    assert again.code == 6
    assert "row 2 was changed in the manifest after it was sent" in again.err
    assert "CANARY" not in again.err
    assert len(messages()) == 3


def test_a_file_that_changed_after_planning_goes_as_it_is_now_and_that_is_said(batch, made, sandbox):
    job = made(3)
    assert batch("plan", job.manifest).code == 0
    (job.folder / "f0002.pdf").write_bytes(PDF + b"newer, and longer than it was")

    done = batch("run", job.manifest)

    assert done.code == 0
    assert "Changed after planning, and sent as it was then found: 1 file." in done.err
    content = (job.folder / "f0002.pdf").read_bytes()
    assert sandbox.file(hashlib.sha256(content).hexdigest()) == content


def test_a_row_that_fails_is_the_only_one(batch, made, sandbox, messages):
    job = made(6)
    sandbox.fault(on="message", do="status", status=400, where={"document_id": "doc-4"})

    done = batch("run", job.manifest, "--json")

    assert done.code == 1
    assert end_of(done)["rows"] == {"done": 5, "failed": 1, "in_doubt": 0, "rejected": 0, "pending": 0}
    assert rows_of(done)[4]["error"]["code"] == "invalid"
    assert "Not accepted: invalid (1)." in done.err
    assert "`chartsend batch list MANIFEST --state failed`" in done.err


def test_failed_rows_are_tried_again_on_request_only(batch, made, sandbox, messages):
    job = made(4)
    sandbox.fault(on="message", do="status", status=400, where={"document_id": "doc-4"})
    assert batch("run", job.manifest).code == 1

    assert batch("run", job.manifest).code == 1
    assert len(messages()) == 3
    done = batch("run", job.manifest, "--retry-failed")

    assert done.code == 0, done.err
    assert sorted(messages()) == ["doc-1", "doc-2", "doc-3", "doc-4"]


def test_a_row_in_doubt_is_held_and_listed(batch, made, sandbox, messages):
    job = made(4)
    sandbox.fault(on="message", do="swallow", then="reset", where={"document_id": "doc-2"})

    done = batch("run", job.manifest, "--json")
    again = batch("run", job.manifest)

    assert (done.code, again.code) == (3, 3)
    assert rows_of(done)[2]["status"] == "in_doubt"
    assert end_of(done)["rows"]["in_doubt"] == 1
    assert "`chartsend batch resolve MANIFEST`" in done.err
    assert sorted(messages()) == ["doc-1", "doc-2", "doc-3", "doc-4"]


def test_on_request_a_message_of_unknown_outcome_is_sent_once_more(batch, made, sandbox, messages):
    job = made(2)
    sandbox.fault(on="message", do="swallow", then="reset", where={"document_id": "doc-2"})

    done = batch("run", job.manifest, "--on-unknown", "resend")

    assert done.code == 0, done.err
    assert sorted(messages()) == ["doc-1", "doc-2", "doc-2"]


@pytest.mark.parametrize(("policy", "copies"), [("resend", 2), ("verify", 1)])
def test_rows_in_doubt_are_decided_although_nothing_else_is_left(
    batch, made, sandbox, messages, policy, copies
):
    job = made(2)
    sandbox.fault(on="message", do="swallow", then="reset", where={"document_id": "doc-2"})
    assert batch("run", job.manifest).code == 3

    done = batch("run", job.manifest, "--on-unknown", policy, "--json")

    assert done.code == 0, done.err
    assert end_of(done)["rows"]["done"] == 2
    assert "Nothing is left to send." not in done.err
    assert sorted(messages()) == ["doc-1", *["doc-2"] * copies]


def test_what_stops_every_row_leaves_them_pending(batch, made, sandbox, messages):
    job = made(30)
    ident = sandbox.fault(on="message", do="status", status=400, **FOREVER)

    done = batch("run", job.manifest)

    assert done.code == 6
    assert "the first 3 rows for one destination and type were all refused" in done.err
    assert "The same command goes on." in done.err
    assert sandbox.fault_counts()[ident]["fired"] < 30
    sandbox.clear_faults()
    again = batch("run", job.manifest, "--retry-failed")
    assert again.code == 0, again.err
    assert len(messages()) == 30


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"on": "token", "do": "status", "status": 401, "body": "{}"}, "credential"),
        ({"on": "message", "do": "status", "status": 403}, "403"),
    ],
    ids=["credentials", "forbidden"],
)
def test_a_refusal_for_all_rows_alike_is_fatal_and_leaves_them_pending(
    batch, made, sandbox, messages, fault, said
):
    job = made(30)
    sandbox.faults([{**fault, **FOREVER}])

    done = batch("run", job.manifest, "--canaries", "0", "--json")

    assert done.code == 7, done.err
    assert end_of(done)["rows"]["pending"] > 0
    assert end_of(done)["reason"]
    assert messages() == []


def test_an_empty_manifest_is_nothing_to_do(batch, made):
    done = batch("run", made(0).manifest)

    assert done.code == 4
    assert "Nothing to do" in done.err


def test_wrong_options_are_wrong_usage(batch, made, sandbox):
    done = batch("run", made(1).manifest, "--api", "data-model", "--model", "document-reference")

    assert done.code == 2
    assert sandbox.events() == []


def test_a_setting_that_is_wrong_for_every_row_leaves_them_pending(batch, made, tmp_path, sandbox):
    job = made(2)
    assert batch("plan", job.manifest).code == 0
    whole = tmp_path / "profile.toml"
    text = sandbox.info.profile.read_text().replace("key.pem", "not-there.pem")
    whole.write_text(text)

    done = batch("run", job.manifest, "--json", profile=whole)

    assert done.code == 6, done.err
    assert end_of(done)["error"]["code"] == "config"
    assert end_of(done)["rows"]["pending"] == 2
    assert "Traceback" not in done.err


def test_a_ledger_in_use_is_left_alone(batch, made, start, arguments, sandbox, seen):
    job = made(8)
    sandbox.fault(on="message", do="delay", seconds=600, when="before", **FOREVER)
    process = start(*arguments("run", job.manifest))
    seen("message", 1)

    other = batch("run", job.manifest, "--json")

    assert other.code == 6
    assert end_of(other)["error"]["code"] == "ledger_locked"
    assert "--log-level" not in other.err
    sandbox.clear_faults()
    assert process.wait(60) == 0


def test_a_full_disk_stops_the_run_and_claims_nothing(batch, made, start, arguments, messages):
    job = made(200)
    assert batch("plan", job.manifest).code == 0

    def as_a_full_disk_does():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    process = start(*arguments("run", job.manifest, "--json"), preexec_fn=as_a_full_disk_does)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 6, err
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["error"]["code"] == "ledger_full"
    # By number: a row whose end was durable, and not heard of when the run broke, is told without names.
    rows = [event["row"] for event in events if event["event"] == "row"]
    told = {job.rows[row - 1]["document_id"] for row in rows}
    assert len(told) == len(rows)
    assert told <= set(messages())
    assert events[-1]["rows"]["done"] >= len(told)
    assert b"Make room and run again" in err
    again = batch("run", job.manifest, "--json")
    assert again.code in {0, 3}, again.err
    assert end_of(again)["rows"]["done"] + end_of(again)["rows"]["in_doubt"] == 200
    assert len(messages()) == len(set(messages())) == 200


def test_a_ledger_that_is_damaged_sends_nothing(batch, made, messages):
    job = made(3)
    assert batch("plan", job.manifest).code == 0
    with open(job.ledger / "ledger.db", "r+b") as file:
        file.write(b"not a ledger at all")

    done = batch("run", job.manifest)

    assert done.code == 6, done.err
    assert messages() == []
    assert "Traceback" not in done.err


def test_a_manifest_that_changes_while_it_runs_stops_the_run(
    batch, made, start, arguments, sandbox, seen
):
    job = made(40)
    sandbox.fault(on="message", do="delay", seconds=600, when="before", **FOREVER)
    process = start(*arguments("run", job.manifest, "--concurrency", "2", "--canaries", "0"))
    seen("message", 2)

    with open(job.manifest, "ab") as more:
        more.write(b"\n")
    sandbox.clear_faults()
    _, err = process.communicate(timeout=60)

    assert process.returncode == 6, err
    assert b"the manifest changed while it was read" in err
    assert b"The same command goes on." in err
    assert batch("run", job.manifest).code == 0


def test_rows_wait_for_their_next_try_and_are_given_up_in_time(batch, made, sandbox, messages):
    job = made(3)
    sandbox.fault(
        on="message", do="status", status=503, headers={"Retry-After": "0"}, **FOREVER,
        where={"document_id": "doc-2"},
    )  # fmt: skip

    done = batch("run", job.manifest, "--give-up-after", "0", "--json")

    assert done.code == 1, done.err
    assert rows_of(done)[2]["error"]["code"] == "server_unavailable"
    assert sorted(messages()) == ["doc-1", "doc-3"]


def test_too_many_sends_for_the_limit_on_files_are_fewer_sends(batch, made):
    done = batch("run", made(3).manifest, "--concurrency", "4000")

    assert done.code == 0, done.err


def test_a_slow_reader_of_events_loses_none(start, arguments, made, seen):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    job = made(40)
    process = start(*arguments("run", job.manifest, "--json"), stdout=writer)
    os.close(writer)
    seen("message", 5)

    with os.fdopen(reader, "rb") as out:
        events = [json.loads(line) for line in out]

    assert process.wait(timeout=60) == 0
    assert [event["event"] for event in events] == ["plan", *["row"] * 40, "end"]
