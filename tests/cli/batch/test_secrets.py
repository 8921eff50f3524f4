"""Nothing of a patient or a file's name is anywhere but on stdout, whatever goes wrong."""

from __future__ import annotations

import json
import os

import pytest

SEEDS = (
    "CANARYname",
    "CANARYfirst",
    "CANARYlast",
    "CANARYmrn",
    "CANARYtitle",
    "CANARYtype",
    "CANARYdescription",
    "CANARYfile",
    "CANARYid",
    "CANARYcontent",
    "CANARYkey",
)
FOREVER = {"times": None}


def seeded(job, number, **fields):
    row = {
        "path": f"CANARYfile-{number}.pdf",
        "document_id": f"CANARYid-{number}",
        "title": "CANARYtitle",
        "type": "CANARYtype",
        "description": "CANARYdescription",
        "patient": {
            "identifiers": [{"id": f"CANARYmrn{number}", "type": "MR"}],
            "first_name": "CANARYfirst",
            "last_name": "CANARYlast",
            "birth_date": "1931-07-28",
        },
    }
    (job.folder / row["path"]).write_bytes(b"%%PDF-1.4 CANARYcontent %d" % number)
    job.rows.append(row | fields)


@pytest.fixture
def job(made):
    job = made(0, name="CANARYname")
    for number in range(1, 31):
        seeded(job, number)
    seeded(job, 31, path="../CANARYfile.pdf")
    seeded(job, 32, CANARYkey="x")
    seeded(job, 33, path="CANARYfile-missing.pdf")
    seeded(job, 34, patient={"first_name": 5, "CANARYkey": "CANARYfirst"})
    seeded(job, 35, document_id="CANARYid-1")
    seeded(job, 36, birth_date="CANARY")
    (job.folder / "CANARYfile-37.pdf").write_bytes(b"")
    job.rows.append(job.rows[0] | {"path": "CANARYfile-37.pdf", "document_id": "CANARYid-37"})
    job.manifest = job.folder / "CANARYname.jsonl"
    job.ledger = job.folder / "CANARYname.jsonl.chartsend"
    job.write()
    with open(job.manifest, "ab") as more:
        more.write(b'{"path": "CANARYfile\xff"}\n{"CANARYkey"\n')
    return job


FAULTS = [
    {"on": "message", "do": "swallow", "where": {"document_id": "CANARYid-5"}},
    {"on": "message", "do": "status", "status": 400, "where": {"document_id": "CANARYid-6"},
     "body": '{"issue": [{"diagnostics": "CANARYlast, CANARYfirst"}]}'},
    {"on": "message", "do": "status", "status": 422, "where": {"document_id": "CANARYid-7"},
     "body": "CANARYlast"},
    {"on": "message", "do": "raw", "bytes": "HTTP/1.1 CANARYlast\r\n\r\n",
     "where": {"document_id": "CANARYid-8"}},
    {"on": "message", "do": "reset", "at_byte": None, "skip": 8},
    {"on": "message", "do": "status", "status": 500, "skip": 11, "body": "CANARYmrn1"},
    {"on": "message", "do": "status", "status": 302, "headers": {"Location": "/CANARYlast"}, "skip": 13},
    {"on": "message", "do": "status", "status": 429, "headers": {"Retry-After": "0"}, "skip": 15},
    {"on": "blob", "do": "status", "status": 503, "headers": {"Retry-After": "0"}, "skip": 2},
    {"on": "token", "do": "status", "status": 500, "body": "CANARYlast"},
]  # fmt: skip


def holds_nothing(what: bytes, where: str) -> None:
    for seed in (*SEEDS, "1931-07-28"):
        assert seed.encode() not in what, f"{seed} in {where}"


@pytest.mark.parametrize("method", ["embed", "upload"])
def test_nothing_of_a_patient_is_in_stderr_or_in_the_ledger(batch, job, sandbox, method):
    sandbox.faults(FAULTS)
    before = ("--log-level", "debug")

    plan = batch("plan", job.manifest, "--method", method, before=before)
    run = batch("run", job.manifest, "--method", method, "--json", "--canaries", "0", before=before)
    again = batch("run", job.manifest, "--method", method, "--retry-failed", before=before)

    ends = [json.loads(line) for line in run.out.splitlines() if '"event":"end"' in line]
    assert ends[0]["rows"]["done"] > 10, "the faults did not stop it"
    assert ends[0]["rows"]["in_doubt"] >= 1
    assert ends[0]["rows"]["failed"] >= 1
    assert ends[0]["rows"]["rejected"] >= 8
    for done in (plan, run, again):
        assert "Traceback" not in done.err
        assert "an error of its own" not in done.err
        holds_nothing(done.err.encode(), "stderr")
    for file in sorted(job.ledger.iterdir()):
        holds_nothing(file.read_bytes(), f"the ledger's {file.suffix}")
    state = job.folder.parent / "home" / ".local" / "state" / "chartsend"
    for file in state.iterdir():
        if file.name != "ledgers":  # the directories of ledgers, which the user has named
            holds_nothing(file.read_bytes(), file.name)


def test_nothing_of_a_patient_is_in_a_terminal_or_a_trial(chartsend, terminal, arguments, job, sandbox):
    sandbox.faults(FAULTS)

    trial = chartsend("--log-level", "debug", "batch", "run", job.manifest, "--sandbox")
    shown = terminal("--log-level", "debug", *arguments("run", job.manifest))
    shown.read_until()

    holds_nothing(trial.err.encode() + trial.out.encode(), "a trial")
    holds_nothing(shown.seen, "a terminal")


def test_a_manifest_that_is_no_manifest_is_not_shown(batch, job):
    for content in (b"CANARYfirst,CANARYlast\n" * 3, b"\x00CANARY", b'"CANARYlast', os.urandom(999)):
        for name in ("CANARYname.jsonl", "CANARYname.csv", "CANARYname.txt"):
            manifest = job.folder / name
            manifest.write_bytes(content)
            ledger = job.folder / f"{name}-{len(content)}"
            done = batch("plan", manifest, "--ledger", ledger, before=("--log-level", "debug"))

            assert done.code in {1, 2}
            assert "Traceback" not in done.err
            holds_nothing(done.err.encode(), "stderr")
