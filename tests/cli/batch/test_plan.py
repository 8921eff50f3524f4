"""`chartsend batch plan`, the real command against the real sandbox, which hears nothing of it."""

from __future__ import annotations

import csv
import json
import os
import stat
import time

import pytest

PDF = b"%PDF-1.4 "


@pytest.fixture
def silent(sandbox):
    """Afterwards the sandbox has had no request at all."""
    yield sandbox
    assert sandbox.requests()["total"] == 0


def rejected_of(folder):
    with open(folder.ledger / "rejected.csv", newline="") as lines:
        return list(csv.reader(lines))


def test_a_plan_counts_and_makes_no_request(batch, made, silent):
    job = made(3)
    job.add(PDF + os.urandom(300_000))
    manifest = job.write()

    done = batch("plan", manifest)

    assert done.code == 0, done.err
    figures = [line.split() for line in done.out.splitlines()]
    assert ["rows", "4"] in figures
    assert ["accepted", "4", "300.1", "kB"] in figures
    assert ["embed", "document-reference", "3"] in figures
    assert ["upload", "document-reference", "1"] in figures
    assert ["requests", "5"] in figures
    assert ["rejected", "0"] in figures
    assert not [line for line in figures if line[0] == "done"]
    assert done.out.endswith("Nothing was sent.\n")
    assert done.err == ""
    assert stat.S_IMODE(job.ledger.stat().st_mode) == 0o700
    assert not (job.ledger / "rejected.csv").exists()


def test_the_plan_as_json_is_one_object(batch, made, silent):
    job = made(2)
    job.rows[1]["path"] = "../elsewhere.pdf"
    job.rows.append(dict(job.rows[0]))
    manifest = job.write()

    done = batch("plan", manifest, "--json")

    assert done.code == 1
    [plan] = map(json.loads, done.out.splitlines())
    assert (plan["rows"], plan["accepted"], plan["requests"]) == (3, 1, 1)
    assert plan["rejected"] == {"duplicate_id": 1, "path_escape": 1}
    assert (plan["duplicates"], plan["already_sent"]) == (1, 0)
    assert plan["by_route"] == {"embed document-reference": 1}
    assert plan["rejected_file"] == str(job.ledger / "rejected.csv")
    assert plan["news"] == []


def test_rejects_stand_in_a_file_by_line_and_field_never_by_value(batch, made, silent):
    job = made(6)
    job.rows[1]["path"] = "../CANARY.pdf"
    job.rows[2]["tipe"] = "CANARY"
    job.rows[3]["path"] = "CANARY-missing.pdf"
    job.rows[4]["patient"] = {"identifiers": "CANARY"}
    job.rows[5]["model"] = "CANARY"
    manifest = job.write()
    with open(manifest, "ab") as more:
        more.write(b'{"path": "CANARY\xff"}\nCANARY\n')

    done = batch("plan", manifest)

    assert done.code == 1
    head, *lines = rejected_of(job)
    assert head == ["row", "code", "text"]
    assert [(row, code) for row, code, _ in lines] == [
        ("2", "path_escape"),
        *((str(row), "row_rejected") for row in (3,)),
        ("4", "source_missing"),
        *((str(row), "row_rejected") for row in (5, 6, 7, 8)),
    ]
    assert "CANARY" not in str(lines)
    assert "CANARY" not in done.out + done.err
    assert "rejected: row 2: path has `..` in it" in done.out
    assert str(job.ledger / "rejected.csv") in done.out
    assert stat.S_IMODE((job.ledger / "rejected.csv").stat().st_mode) == 0o600


def test_rows_that_were_corrected_are_no_longer_rejected(batch, made, silent):
    job = made(3)
    job.rows[1]["path"] = "missing.pdf"
    manifest = job.write()
    assert batch("plan", manifest).code == 1
    job.rows[1]["path"] = "f0002.pdf"
    job.write()

    again = batch("plan", manifest)

    assert again.code == 0, again.out
    assert "The manifest changed since it was planned" in again.err
    assert not (job.ledger / "rejected.csv").exists()


def test_files_that_were_mended_are_looked_at_again_on_request(batch, made, silent):
    job = made(3)
    (job.folder / "f0002.pdf").rename(job.folder / "away.pdf")
    manifest = job.manifest
    assert batch("plan", manifest).code == 1
    (job.folder / "away.pdf").rename(job.folder / "f0002.pdf")

    assert batch("plan", manifest).code == 1
    assert batch("plan", manifest, "--retry-failed").code == 0


def test_an_empty_manifest_is_nothing_to_do(batch, made, silent):
    job = made(0)

    done = batch("plan", job.manifest)

    assert done.code == 4
    assert "Nothing to do" in done.err


def test_what_an_earlier_batch_has_sent_is_not_sent_again(batch, made, messages):
    job, other = made(3), made(1, name="other")
    assert batch("run", job.manifest).code == 0
    other.rows = [row | {"path": f"../job/{row['path']}"} for row in job.rows[:2]] + other.rows
    for row in other.rows:
        row["path"] = row["path"].removeprefix("../job/")
    for name in ("f0001.pdf", "f0002.pdf"):
        (other.folder / name).write_bytes((job.folder / name).read_bytes())
    other.rows[2]["document_id"] = "a-new-one"
    manifest = other.write()

    done = batch("plan", manifest, "--json")

    plan = json.loads(done.out)
    assert done.code == 1
    assert (plan["accepted"], plan["already_sent"]) == (1, 2)
    assert batch("plan", manifest, "--send-again").code == 0
    assert len(messages()) == 3


def test_a_plan_of_a_batch_that_ran_says_what_became_of_it(batch, made, messages):
    job = made(3)
    assert batch("run", job.manifest).code == 0
    job.add(PDF + b"one more")
    job.write()

    done = batch("plan", job.manifest)
    as_json = batch("plan", job.manifest, "--json")

    figures = [line.split() for line in done.out.splitlines()]
    assert ["done", "3"] in figures
    assert ["to", "go", "1"] in figures
    assert "Nothing was sent." not in done.out
    assert "Rows that changed: 0; new ones: 1." in done.err
    assert json.loads(as_json.out)["so_far"] == {
        "done": 3,
        "failed": 0,
        "in_doubt": 0,
        "rejected": 0,
        "pending": 1,
    }
    assert len(messages()) == 3


@pytest.mark.parametrize(
    ("quota", "said"),
    [
        ("10000/300", "moves at most 16.7 uploads a second: 1,000,000 take 16.7 h"),
        ("200/20000", "6  about 11 min 20 s at the quota of a batch"),
        ("200/20000", "--embed-up-to 1000KB would save 3 requests and 5 min 40 s"),
    ],
)
def test_it_says_what_uploads_cost_and_what_embedding_would_save(batch, made, silent, quota, said):
    job = made(0)
    for size in (300_000, 400_000, 900_000):
        job.add(PDF + os.urandom(size))
    manifest = job.write()

    done = batch("plan", manifest, env={"CHARTSEND_QUOTA": quota})

    assert done.code == 0, done.err
    assert "3 of these rows are uploads, of 2 requests each" in done.out
    assert said in done.out
    assert "--embed-up-to 500KB would save 2 requests" in done.out
    assert "--embed-up-to 1000KB would save 3 requests" in done.out
    assert "--embed-up-to 2000KB" not in done.out


def test_without_uploads_nothing_is_said_of_them(batch, made, silent):
    done = batch("plan", made(2).manifest, env={"CHARTSEND_QUOTA": "10000/300"})

    assert "uploads" not in done.out
    assert "--embed-up-to" not in done.out


def test_levels_merge_row_over_options_over_metadata_over_profile(batch, made, sandbox, tmp_path):
    job = made(2)
    del job.rows[0]["type"], job.rows[1]["patient"]
    manifest = job.write()
    (tmp_path / "meta.toml").write_text('visit = {number = "V-meta"}\n')
    whole = tmp_path / "profile.toml"
    whole.write_text(
        sandbox.info.profile.read_text()
        + '\n[document.patient]\nidentifiers = [{id = "P", type = "MR"}]\n'
    )

    assert batch("plan", manifest).code == 1
    other = ("--ledger", tmp_path / "ledger")
    done = batch(
        *("plan", manifest, "--type", "From options", "--metadata", tmp_path / "meta.toml", *other),
        profile=whole,
    )

    assert done.code == 0, done.out


def test_the_form_of_a_manifest_can_be_told(batch, made, tmp_path, silent):
    job = made(1)
    other = tmp_path / "job" / "manifest.txt"
    other.write_text("path,type,patient.identifiers.0.id,patient.identifiers.0.type\nf0001.pdf,X,1,MR\n")

    assert batch("plan", other).code == 2
    done = batch("plan", other, "--format", "csv", "--json")

    assert done.code == 0, done.err
    assert json.loads(done.out)["rows"] == 1
    assert job.manifest.exists()


def test_a_root_elsewhere_is_where_paths_begin(batch, made, tmp_path, silent):
    job = made(2)
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_bytes(job.manifest.read_bytes())

    assert batch("plan", manifest).code == 1
    done = batch("plan", manifest, "--root", job.folder, "--ledger", tmp_path / "ledger")

    assert done.code == 0, done.out
    assert (tmp_path / "ledger" / "ledger.db").exists()


def test_a_dry_run_is_a_plan(batch, made, silent):
    job = made(2)

    done = batch("run", job.manifest, "--dry-run", "--json")

    assert done.code == 0
    assert json.loads(done.out)["accepted"] == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--tu", "x"], "--to"),
        (["--document-id", "x"], "--document-id"),
        (["--on-unknown", "ask"], "'hold', 'verify', 'resend'"),
        (["--give-up-after", "61d"], "not a duration"),
        (["--give-up-after", "1441h"], "at most 60 days"),
        (["--canaries", "1001"], "0<=x<=1000"),
        (["--format", "xml"], "'jsonl', 'csv'"),
        (["--pattern", "{mrn}_{id}.pdf"], "--pattern is for a folder"),
        (["--deadline", "8000h"], "at most 7 days"),
        (["--metadata", "none.toml"], "--metadata cannot be read"),
        (["--api", "fhir", "--model", "notes"], "fhir has no model notes"),
        (["--sandbox", "--ledger", "x"], "leave --ledger out"),
    ],
)
def test_wrong_options_are_refused_before_a_ledger_is_made(batch, made, silent, options, said):
    job = made(1)

    done = batch("plan", job.manifest, *options)

    assert done.code == 2, done.out + done.err
    assert said in done.err
    assert done.out == ""
    assert "Traceback" not in done.err


def test_a_run_without_an_environment_says_what_to_do(chartsend, made):
    done = chartsend("batch", "plan", made(1).manifest, "--to", "x")

    assert done.code == 2
    assert "--environment" in done.err
    assert "--sandbox" in done.err


def test_a_manifest_that_is_not_there_is_a_wrong_call(batch, tmp_path, silent):
    done = batch("plan", tmp_path / "none.jsonl")

    assert done.code == 2
    assert "there is no manifest at that path" in done.err


def test_other_options_on_the_same_ledger_are_refused(batch, made, silent):
    job = made(1)
    assert batch("plan", job.manifest).code == 0

    done = batch("plan", job.manifest, "--visit", "V-17")

    assert done.code == 2
    assert "this ledger was made with other options: the description" in done.err
    assert batch("plan", job.manifest, to="another").code == 2


def test_how_it_is_sent_may_change(batch, made, silent):
    job = made(1)
    assert batch("plan", job.manifest).code == 0

    done = batch("plan", job.manifest, "--embed-up-to", "1MB", "--concurrency", "3")

    assert done.code == 0
    assert "--embed-up-to was 200000 bytes when this was planned" in done.err


def test_a_row_that_went_away_is_said(batch, made, silent):
    job = made(3)
    assert batch("plan", job.manifest).code == 0
    job.rows.pop()
    job.write()

    done = batch("plan", job.manifest)

    assert done.code == 2
    assert "row 3 was planned and is no longer in the manifest" in done.err


def test_in_a_terminal_the_plan_is_a_table(terminal, arguments, made):
    shown = terminal(*arguments("plan", made(3).manifest))
    code = shown.read_until()

    assert code == 0
    text = shown.seen.decode()
    assert "\x1b[1m" in text, "figures are bold"
    assert "Nothing was sent." in text


def test_planning_that_takes_long_is_not_silent(start, arguments, made):
    job = made(1)
    row = json.dumps(job.rows[0])
    with open(job.manifest, "w") as manifest:
        manifest.writelines(row.replace("doc-1", f"doc-{number}") + "\n" for number in range(300_000))
    process = start(*arguments("plan", job.manifest))
    assert process.stderr is not None
    line = process.stderr.readline()
    process.terminate()
    process.wait(30)

    assert line.startswith(b"planning: ")
    assert b"rows gone over" in line


def test_planning_that_is_stopped_goes_on_where_it_was(start, arguments, batch, made, silent):
    job = made(1)
    row = json.dumps(job.rows[0])
    with open(job.manifest, "w") as manifest:
        manifest.writelines(row.replace("doc-1", f"doc-{number}") + "\n" for number in range(15_000))
    process = start(*arguments("plan", job.manifest))
    until = time.monotonic() + 60
    while not (job.ledger / "ledger.db").exists():  # it works on the first rows, or has planned some
        assert time.monotonic() < until
        time.sleep(0.01)
    process.terminate()
    _, err = process.communicate(timeout=30)

    assert process.returncode == 143
    assert b"Planning was stopped" in err
    assert b"Traceback" not in err
    again = batch("plan", job.manifest, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["accepted"] == 15_000


def test_a_destination_that_looks_mistyped_is_told(batch, made, silent):
    done = batch("plan", made(1).write(), to="memorial-er")

    assert done.code == 0
    assert done.err.startswith("memorial-er is not in the profile; did you mean memorial-ehr?")
