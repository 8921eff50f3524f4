"""`--fail-fast` and Ctrl-C start nothing new: not even what was already in hand."""

from __future__ import annotations

import json
import signal

import pytest

SLOTS = 16


@pytest.fixture
def sending(sandbox, given):
    """A function: paths and options to the arguments of a `send`."""

    def make(*more):
        destination = ("--to", sandbox.info.destination)
        return ("--profile", sandbox.info.profile, "send", *more, *destination, *given, "--json")

    return make


@pytest.fixture
def files(tmp_path):
    """`f0.pdf` to `f3.pdf`; `empty.pdf`; `sidecar.pdf`, whose sidecar is none."""
    for number in range(4):
        (tmp_path / f"f{number}.pdf").write_bytes(b"%%PDF-1.4 %d" % number)
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "sidecar.pdf").write_bytes(b"%PDF-1.4")
    (tmp_path / "sidecar.pdf.json").write_text("{")
    return tmp_path


def messages(sandbox):
    return sorted(e["document_id"] for e in sandbox.events() if e["kind"] == "message")


@pytest.mark.parametrize("concurrency", [1, 2])
@pytest.mark.parametrize("before", [[], ["f0.pdf"]], ids=["first", "second"])
@pytest.mark.parametrize("bad", ["empty.pdf", "sidecar.pdf"])
def test_after_the_first_failure_nothing_more_is_started(
    chartsend, sandbox, sending, files, concurrency, before, bad
):
    sandbox.fault(on="message", do="delay", seconds=0.5, times=None)
    rest = ["f1.pdf", "f2.pdf", "f3.pdf"]

    done = chartsend(
        *sending(*before, bad, *rest, "--fail-fast", "--concurrency", concurrency), cwd=files
    )

    assert done.code == 1, done.err
    assert "stopping: a document was not accepted (--fail-fast)" in done.err
    assert "Stopped before the end: what has no receipt was not sent." in done.err
    failed = [each for each in done.receipts if each["status"] == "failed"]
    accepted = [each["document_id"] for each in done.receipts if each["status"] == "accepted"]
    assert [each["source"] for each in failed] == [bad]
    assert messages(sandbox) == sorted(accepted)
    # With one slot, nothing but what came before; with two, at most what shared the time with it.
    assert len(accepted) <= len(before) + concurrency - 1


def test_ctrl_c_ends_what_is_under_way_and_starts_nothing(start, seen, sandbox, sending, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(3 * SLOTS):
        (folder / f"{number:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % number)
    sandbox.fault(on="message", do="stop_reading", times=None)
    process = start(*sending(folder, "--workers", 1))
    seen("message", SLOTS)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert b"stopping" in process.stderr.readline()
    sandbox.clear_faults()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130, err
    receipts = [json.loads(line) for line in out.splitlines()]
    assert [each["status"] for each in receipts] == ["accepted"] * SLOTS
    assert messages(sandbox) == sorted(each["document_id"] for each in receipts)
    assert b"Stopped before the end" in err
