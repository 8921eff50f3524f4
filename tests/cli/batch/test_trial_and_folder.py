"""What is no plain batch: a trial that leaves nothing, and a folder in the place of a manifest."""

from __future__ import annotations

import json

import pytest

from chartsend.batch.sqlite import held

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
    assert plan["made_up_rows"] == 2
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
    assert "1 done, 0 failed, 0 in doubt, 0 rejected, 2 already sent, 0 pending." in other.err
    assert "rejected:" not in other.err


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


def test_a_folder_that_is_started_twice_at_once_keeps_the_listing_of_the_first(
    batch, tmp_path, arguments, start, sandbox, seen, messages
):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "1_b.pdf").write_bytes(PDF)
    options = ("--pattern", "{mrn}_{id}.pdf", "--type", "X")
    sandbox.fault(on="message", do="delay", seconds=600, when="before", times=None)
    first = start(*arguments("run", folder, *options))
    seen("message", 1)
    listing = tmp_path / "scans.chartsend.jsonl"
    before = listing.read_bytes()
    (folder / "1_a.pdf").write_bytes(PDF + b"a")

    second = batch("run", folder, *options)

    assert second.code == 6
    assert "works with this ledger" in second.err
    assert listing.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".tmp")] == []
    sandbox.clear_faults()
    assert first.wait(60) == 0
    assert messages() == ["b"]


def test_while_a_ledger_is_held_for_planning_its_listing_stays(batch, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "1_b.pdf").write_bytes(PDF)
    options = ("--pattern", "{mrn}_{id}.pdf", "--type", "X")
    assert batch("plan", folder, *options).code == 0
    before = (tmp_path / "scans.chartsend.jsonl").read_bytes()
    (folder / "1_a.pdf").write_bytes(PDF + b"a")

    with held(tmp_path / "scans.chartsend"):
        assert batch("plan", folder, *options).code == 6

    assert (tmp_path / "scans.chartsend.jsonl").read_bytes() == before
    assert batch("plan", folder, *options, "--json").code == 0
    assert (tmp_path / "scans.chartsend.jsonl").read_bytes() != before


def test_ledgers_in_a_folder_are_no_documents(batch, chartsend, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(PDF)
    (folder / "m.jsonl").write_text('{"path": "a.pdf", "document_id": "1", "type": "X"}\n')
    assert batch("plan", folder / "m.jsonl", "--patient", "1:MR").code == 0
    (folder / "inner").mkdir()
    (folder / "inner" / "b.pdf").write_bytes(PDF)
    assert batch("plan", folder / "inner", "--type", "X", "--patient", "1:MR").code == 0

    done = batch("plan", folder, "--type", "X", "--patient", "1:MR", "--json")

    assert json.loads(done.out)["rows"] == 2
    assert "2 files of chartsend's own, 2 folders of chartsend's own" in done.err


def test_after_a_wrong_destination_the_plan_can_be_forgotten(batch, chartsend, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(PDF)
    described = ("--type", "X", "--patient", "1:MR")
    assert batch("plan", folder, *described, to="memorial-ehs").code == 0
    refused = batch("plan", folder, *described)
    assert refused.code == 2
    assert "`batch purge --all`" in refused.err

    assert chartsend("batch", "purge", folder, "--all").code == 0

    assert sorted(each.name for each in tmp_path.iterdir() if "chartsend" in each.name) == []
    assert batch("plan", folder, *described).code == 0


def test_a_listing_does_not_take_the_place_of_a_manifest_called_like_the_ledger(batch, tmp_path, silent):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "a.pdf").write_bytes(PDF)
    (tmp_path / "night.jsonl").write_text("mine")

    done = batch("plan", folder, "--type", "X", "--patient", "1:MR", "--ledger", tmp_path / "night")

    assert done.code == 0, done.err
    assert (tmp_path / "night.jsonl").read_text() == "mine"
    assert (tmp_path / "night.chartsend.jsonl").exists()


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


def test_a_trial_says_which_rows_a_real_run_would_reject(chartsend, made):
    job = made(4)
    del job.rows[1]["type"], job.rows[3]["patient"]
    manifest = job.write()

    planned = chartsend("batch", "plan", manifest, "--sandbox")
    ran = chartsend("batch", "run", manifest, "--sandbox", "--json")

    assert "made up for" in planned.out
    for text in (planned.out, ran.err):
        assert "Made up (Marla Quillfeather, MR 0000991234): 2 rows lack " in text
        assert "A real run would reject them" in text
    plan = json.loads(ran.out.splitlines()[0])
    assert (plan["accepted"], plan["made_up_rows"]) == (4, 2)


def test_a_trial_of_rows_that_lack_nothing_makes_nothing_up(chartsend, made):
    done = chartsend("batch", "plan", made(2).manifest, "--sandbox")

    assert done.code == 0
    assert "made up" not in (done.out + done.err).lower()


def test_of_many_rejected_rows_the_reasons_are_counted_and_the_rest_is_told(chartsend, batch, made):
    job = made(8)
    for row in job.rows[:7]:
        row["path"] = "missing.pdf"
    manifest = job.write()

    trial = chartsend("batch", "run", manifest, "--sandbox")
    real = batch("run", manifest)

    for err in (trial.err, real.err):
        assert "Rejected: source_missing (7)." in err
        assert err.count("there is no file at the path [source_missing]") == 5
        assert "rejected: and 2 rows more; " in err
    assert "rejected.csv" not in trial.err
    assert "all of them stand in rejected.csv in the ledger's directory" in real.err


def test_what_was_already_sent_is_nothing_to_do_and_no_fault(batch, made, tmp_path):
    job = made(3)
    assert batch("run", job.manifest).code == 0
    elsewhere = ("--ledger", tmp_path / "elsewhere")

    planned = batch("plan", job.manifest, *elsewhere)
    ran = batch("run", job.manifest, *elsewhere)

    assert (planned.code, ran.code) == (1, 1)
    assert "already sent 3 by an earlier batch: nothing to do" in " ".join(planned.out.split())
    for text in (planned.out, ran.err):
        assert "3 rows were sent by an earlier batch already: nothing to do. Exit code 1 says" in text
        assert "Rejected:" not in text
        assert "rejected: row" not in text


def test_hints_name_the_ledger_that_was_given(batch, made, tmp_path, sandbox):
    job = made(2)
    sandbox.fault(on="message", do="status", status=400, where={"document_id": "doc-2"})

    done = batch("run", job.manifest, "--canaries", "0", "--ledger", tmp_path / "my ledger")

    assert "`chartsend batch list MANIFEST --state failed --ledger DIR`" in done.err
    assert "`chartsend batch report MANIFEST --ledger DIR`" in done.err
    assert (
        "MANIFEST and DIR stand for the two that this run was given; names are not repeated here"
        in done.err
    )
    assert "my ledger" not in done.err
    assert "tonight" not in done.err


def test_of_a_folder_the_advice_is_what_helps(batch, tmp_path, messages):
    folder = tmp_path / "scans"
    folder.mkdir()
    (folder / "1_a.pdf").write_bytes(PDF)
    (folder / "1_b.pdf").write_bytes(b"")
    (folder / "unfit.pdf").write_bytes(PDF)
    options = ("--pattern", "{mrn}_{id}.pdf", "--type", "Consent Form")

    first = batch("run", folder, *options)
    (folder / "1_b.pdf").write_bytes(PDF + b"mended")
    (folder / "unfit.pdf").rename(folder / "1_c.pdf")
    again = batch("run", folder, *options, "--retry-failed")
    elsewhere = batch("run", folder, *options, "--ledger", tmp_path / "later")

    assert (first.code, again.code, elsewhere.code) == (1, 1, 1)
    assert "a file under a new name, or with another sidecar, needs a ledger of its own" in first.err
    assert "Where a file was mended in its place, run it again with --retry-failed." in first.err
    assert sorted(messages()) == ["a", "b", "c"]
    assert "unfit" not in first.err + again.err + elsewhere.err
