"""What is no plain batch: a trial that leaves nothing, and a folder in the place of a manifest."""

from __future__ import annotations

import json

import pytest

PDF = b"%PDF-1.4 "


@pytest.fixture
def silent(sandbox):
    """Afterwards the sandbox has had no request at all."""
    yield sandbox
    assert sandbox.requests()["total"] == 0


def end_of(done):
    return json.loads(done.out.splitlines()[-1])


def test_a_trial_needs_no_account_and_leaves_nothing(chartsend, made, tmp_path):
    job = made(2)
    for row in job.rows:
        del row["type"], row["patient"]
    job.rows[0]["to"] = "another-one"
    manifest = job.write()
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    done = chartsend("batch", "plan", manifest, "--sandbox", "--json", env={"TMPDIR": str(temporary)})

    plan = json.loads(done.out)
    assert done.code == 0, done.out
    assert (plan["accepted"], plan["rejected_file"]) == (2, None)
    assert "a private sandbox stands in for Redox, nothing leaves this machine, no ledger" in done.err
    assert "Made up for rows that do not say it: type, patient, provider, visit" in done.err
    assert list(temporary.iterdir()) == []
    assert not job.ledger.exists()
    assert not (tmp_path / "home" / ".local").exists()


def test_a_trial_sends_everything_and_keeps_nothing(chartsend, made, tmp_path):
    job = made(5)
    job.rows[0]["to"] = "lakeside-imaging"
    job.rows[1] |= {"to": "somewhere-else", "api": "data-model"}
    manifest = job.write()
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    done = chartsend("batch", "run", manifest, "--sandbox", env={"TMPDIR": str(temporary)})
    again = chartsend("batch", "run", manifest, "--sandbox", "--json")

    assert done.code == 0, done.err
    assert "5 done" in done.err
    assert "This was a trial: nothing left this machine, and its ledger is gone." in done.err
    assert list(temporary.iterdir()) == []
    assert not job.ledger.exists()
    assert not (tmp_path / "home" / ".local").exists()
    assert end_of(again)["rows"]["done"] == 5


def test_a_trial_shows_what_would_be_rejected(chartsend, made):
    job = made(3)
    job.rows[1]["path"] = "missing.pdf"
    manifest = job.write()

    done = chartsend("batch", "run", manifest, "--sandbox")

    assert done.code == 1
    assert "rejected: row 2: " in done.err
    assert "rejected.csv" not in done.err


def test_a_folder_goes_on_with_what_was_listed(batch, tmp_path, messages):
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in (1, 3):
        (folder / f"0000991234_{number}.pdf").write_bytes(PDF + b"%d" % number)
    options = ("--pattern", "{mrn}_{id}.pdf", "--type", "Consent Form")
    assert batch("run", folder, *options).code == 0
    (folder / "0000991234_2.pdf").write_bytes(PDF + b"2")

    again = batch("run", folder, *options)
    other = batch("run", folder, *options, "--ledger", tmp_path / "later")

    assert again.code == 0
    assert "this batch goes on with what was listed then" in again.err
    assert sorted(messages()) == ["1", "2", "3"]
    assert other.code == 1, "what was sent already is rejected in the new ledger"
    assert "already_sent" in other.err


def test_a_folder_is_a_manifest_with_a_pattern(batch, made, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    for name in ("0000991234_Consent Form_a1.pdf", "0000991234_Consent Form_a2.pdf", "unfit.pdf"):
        (folder / name).write_bytes(PDF + name.encode())

    done = batch("plan", folder, "--pattern", "{mrn}_{type}_{id}.pdf", "--json")

    plan = json.loads(done.out)
    assert done.code == 1
    assert (plan["rows"], plan["accepted"]) == (3, 2)
    assert (tmp_path / "scans.chartsend").is_dir()
    listing = (tmp_path / "scans.chartsend.jsonl").read_text().splitlines()
    assert [json.loads(line).get("document_id") for line in listing] == ["a1", "a2", None]
    assert "the file's name does not fit the pattern" in (
        (tmp_path / "scans.chartsend" / "rejected.csv").read_text()
    )
    assert "unfit" not in done.err


def test_a_folder_needs_no_pattern_where_sidecars_say_it(batch, tmp_path, messages):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(PDF)
    (folder / "a.pdf.json").write_text('{"document_id": "from-sidecar", "type": "X"}')
    (folder / ".hidden.pdf").write_bytes(PDF)

    done = batch("run", folder, "--patient", "1:MR")

    assert done.code == 0, done.err
    assert messages() == ["from-sidecar"]
    assert "Left out: 1 name that begins with a dot." in done.err


def test_a_folder_is_listed_anew_until_something_was_sent(batch, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "1_a.pdf").write_bytes(PDF)
    (folder / "nothing.pdf").write_bytes(PDF)
    options = ("--pattern", "{mrn}_{id}.pdf", "--type", "X", "--json")
    assert batch("plan", folder, *options).code == 1
    (folder / "nothing.pdf").rename(folder / "2_b.pdf")

    again = batch("plan", folder, *options)

    assert again.code == 0, again.err
    assert json.loads(again.out)["accepted"] == 2


def test_the_folder_that_one_is_in_can_be_named_with_a_dot(batch, tmp_path, messages):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "1_a.pdf").write_bytes(PDF)

    done = batch("run", ".", "--pattern", "{mrn}_{id}.pdf", "--type", "X", cwd=folder)

    assert done.code == 0, done.err
    assert messages() == ["a"]
    assert (tmp_path / "scans.chartsend").is_dir()


def test_a_root_or_a_form_of_a_folder_is_wrong_usage(batch, tmp_path, silent):
    for options in (("--root", tmp_path), ("--format", "csv")):
        done = batch("plan", tmp_path, *options)

        assert done.code == 2
        assert "leave them out" in done.err
