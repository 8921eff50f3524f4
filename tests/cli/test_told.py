"""However a run of `send` ends, every document that the receiver may have has a receipt, or is named."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal

import pytest

FILES = 40


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "work" / "scans"
    made.mkdir(parents=True)
    for number in range(FILES):
        (made / f"{number:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % number)
    return made


@pytest.fixture
def sending(sandbox, given):
    """A function: paths and options to the arguments of a `send` by one process."""

    def make(*more):
        destination = ("--to", sandbox.info.destination)
        whole = ("--profile", sandbox.info.profile, "send", *more, *destination, *given)
        return (*whole, "--json", "--workers", 1, "--concurrency", 4)

    return make


def at_the_receiver(sandbox):
    return {each["document_id"] for each in sandbox.events() if each["kind"] == "message"}


def test_a_terminal_that_closes_loses_no_receipt(start, seen, chartsend, sandbox, sending, folder):
    receipts = folder.parent / "receipts.ndjson"
    sandbox.fault(on="message", do="stop_reading", times=None)
    with receipts.open("wb") as out:
        process = start(*sending(folder), stdout=out)
    seen("message", 4)

    process.send_signal(signal.SIGHUP)
    assert b"stopping" in process.stderr.readline()
    sandbox.clear_faults()
    process.communicate(timeout=60)

    assert process.returncode == 143
    told = {json.loads(line)["document_id"] for line in receipts.read_bytes().splitlines()}
    assert told == at_the_receiver(sandbox)
    again = chartsend(*sending(folder, "--skip-accepted", receipts))
    assert again.code == 0, again.err
    messages = [each for each in sandbox.events() if each["kind"] == "message"]
    assert len(messages) == len(at_the_receiver(sandbox)) == FILES


def test_a_signal_that_the_caller_ignores_stays_ignored(start, seen, sandbox, sending, folder):
    sandbox.fault(on="message", do="stop_reading", times=None)
    process = start(*sending(folder), preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    seen("message", 4)

    process.send_signal(signal.SIGHUP)
    sandbox.clear_faults()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert len(out.splitlines()) == FILES


def test_what_a_full_pipe_does_not_take_is_named_on_stderr(start, sandbox, sending, folder, seen):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    process = start(*sending(folder), stdout=writer)
    os.close(writer)
    seen("message", 10)  # the pipe has room for 8 receipts

    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    with os.fdopen(reader, "rb") as out:
        lines = [line for line in out.read().splitlines() if line.endswith(b"}")]

    assert process.returncode == 130, err
    told = {json.loads(line)["document_id"] for line in lines}
    untold = at_the_receiver(sandbox) - told
    assert untold
    for each in untold:
        assert f"document {each}: accepted; its receipt could not be written" in err.decode()
    assert b"receipts could not be written" in err


def test_a_working_directory_that_goes_away_loses_no_receipt(start, seen, sandbox, sending, folder):
    sandbox.fault(on="message", do="stop_reading", times=None)
    process = start(*sending("scans"), cwd=folder.parent)
    seen("message", 4)

    shutil.rmtree(folder.parent)
    sandbox.clear_faults()
    out, err = process.communicate(timeout=60)

    receipts = [json.loads(line) for line in out.splitlines()]
    accepted = {each["document_id"] for each in receipts if each["status"] == "accepted"}
    assert process.returncode == 1, err
    assert accepted == at_the_receiver(sandbox)
    assert len(receipts) == FILES
