"""`--workers`: the same receipts from several processes, and an orderly end of all of them."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from seen import children_of, is_running

from chartsend import Settings, workers_for
from chartsend.workers import count

SENDS = 40


@pytest.fixture
def many(tmp_path):
    """A folder of small files, and one that is uploaded."""
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(SENDS - 1):
        (folder / f"{n:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    (folder / "large.pdf").write_bytes(b"%PDF-1.4 " + os.urandom(700_000))
    return folder


@pytest.fixture
def sending(sandbox, many, given):
    """Arguments of a `send` of that folder."""
    destination = ("--to", sandbox.info.destination)
    return ("--profile", sandbox.info.profile, "send", many, *destination, *given, "--json")


def wait_until(condition, what, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def messages(sandbox):
    return sorted(e["document_id"] for e in sandbox.events() if e["kind"] == "message")


def test_several_workers_give_the_receipts_of_one(chartsend, sandbox, sending):
    done = chartsend(*sending, "--workers", 2, timeout=150)

    assert done.code == 0, done.err
    assert [each["status"] for each in done.receipts] == ["accepted"] * SENDS
    assert messages(sandbox) == sorted(each["document_id"] for each in done.receipts)
    assert f"{SENDS + 1} requests" in done.err


@pytest.mark.parametrize("workers", ["two", "0.5", "-1", "65"])
def test_a_number_that_is_none_is_refused(chartsend, sending, sandbox, workers):
    done = chartsend(*sending, "--workers", workers)

    assert done.code == 2
    assert "workers is auto, or 1 to 64" in done.err
    assert messages(sandbox) == []


def test_ctrl_c_in_a_terminal_reaches_all_and_only_the_engine_heeds_it(start, sandbox, sending):
    sandbox.fault(on="message", do="delay", seconds=1.5, times=None)
    process = start(*sending, "--workers", 2, "--concurrency", 4, start_new_session=True)
    wait_until(lambda: sandbox.requests()["seen"].get("message", 0) >= 4, "nothing is under way")
    workers = children_of(process.pid)

    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)

    assert len(workers) == 2
    assert process.returncode == 130, err
    statuses = [json.loads(line)["status"] for line in out.splitlines()]
    assert len(statuses) >= 4
    assert set(statuses) == {"accepted"}
    assert len(statuses) == len(messages(sandbox)) < SENDS
    assert not any(map(is_running, workers))


def test_workers_die_with_a_killed_engine(start, sandbox, sending):
    sandbox.fault(on="message", do="delay", seconds=30, times=None)
    process = start(*sending, "--workers", 3, start_new_session=True)
    wait_until(lambda: sandbox.requests()["seen"].get("message", 0) >= 3, "nothing is under way")
    workers = children_of(process.pid)
    assert len(workers) == 3

    process.kill()

    wait_until(lambda: not any(map(is_running, workers)), "workers live on without their engine", 10)


def test_a_batch_goes_on_from_workers_where_it_was_killed(start, chartsend, sandbox, many, tmp_path):
    manifest = tmp_path / "tonight.jsonl"
    rows = [
        {
            "path": f"many/{path.name}",
            "document_id": f"doc-{path.stem}",
            "type": "Consent Form",
            "patient": {"identifiers": [{"id": "0000991234", "type": "MR"}]},
        }
        for path in sorted(many.iterdir())
    ]
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run = ("--profile", sandbox.info.profile, "batch", "run", manifest, "--to", "memorial-ehr")
    options = ("--workers", 2, "--on-unknown", "resend", "--canaries", 0)
    sandbox.fault(on="message", do="delay", seconds=0.2, times=None)
    process = start(*run, *options, start_new_session=True)
    wait_until(lambda: len(messages(sandbox)) >= 6, "nothing was sent")
    process.kill()
    process.communicate()
    sandbox.clear_faults()

    done = chartsend(*run, *options, timeout=150)
    report = chartsend("batch", "report", manifest, "--format", "json")

    assert done.code == 0, done.err
    rows_of = json.loads(report.out)["rows"]
    assert rows_of["done"] == SENDS
    assert set(messages(sandbox)) == {row["document_id"] for row in rows}


def settings(**fields):
    return Settings(environment="Development", source_id="s", **fields)


@pytest.fixture
def sixteen_cores(monkeypatch):
    monkeypatch.setattr(count, "cores", lambda: 16)


@pytest.mark.usefixtures("sixteen_cores")
def test_a_job_is_worth_what_its_work_and_the_quota_feed():
    free = settings(quota="off", concurrency=64)

    assert workers_for(free) == 16
    assert workers_for(free, documents=10, mean_bytes=10_000) == 1  # done before a worker is there
    assert workers_for(free, documents=400, mean_bytes=29_000_000) > 2
    assert workers_for(settings(quota="off", concurrency=3)) == 3  # no more than sends at a time
    # Redox's own quota: 33 requests a second are little work, whatever the night brings.
    assert workers_for(settings(concurrency=64), documents=1_000_000, mean_bytes=100_000) == 1
    assert workers_for(settings(concurrency=64), documents=1_000_000, mean_bytes=29_000_000) == 2
