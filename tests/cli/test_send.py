"""`chartsend send`, the real command against the real sandbox, with real files."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest


def to(process):
    return ("--to", process.info.destination)


def profile(process):
    return ("--profile", process.info.profile)


def messages(process):
    return [event for event in process.events() if event["kind"] == "message"]


def test_the_first_line_of_a_newcomer_works(chartsend, scans):
    done = chartsend("send", scans / "consent.pdf", "--to", "memorial-ehr", "--sandbox")

    assert done.code == 0, done.err
    assert done.out.startswith("accepted  ")
    assert "consent.pdf" in done.out
    assert "A private sandbox stands in for Redox: nothing leaves this machine." in done.err
    assert "made up: type, patient, provider, visit (Marla Quillfeather" in done.err
    assert "1 file in " in done.err
    assert "is not yet filed by the receiver" in done.err


@pytest.mark.parametrize(
    "model", ["document-reference", "diagnostic-report", "notes", "media", "results"]
)
def test_every_model_works_for_a_newcomer(chartsend, scans, model):
    done = chartsend(
        *("send", scans, "--to", "any-name-at-all", "--sandbox", "--json", "--model", model)
    )

    assert done.code == 0, done.out + done.err
    assert [r["status"] for r in done.receipts] == ["accepted"] * 3
    assert {r["model"] for r in done.receipts} == {model}


def test_a_folder_arrives_byte_for_byte(chartsend, scans, sandbox, given):
    done = chartsend(*profile(sandbox), "send", scans, *to(sandbox), *given, "--json")

    assert done.code == 0, done.err
    sent = {Path(r["source"]).name: r for r in done.receipts}
    assert set(sent) == {"consent.pdf", "large.pdf", "other.pdf"}
    for receipt in done.receipts:
        sha256 = hashlib.sha256(Path(receipt["source"]).read_bytes()).hexdigest()
        assert receipt["sha256"] == sha256
        assert hashlib.sha256(sandbox.file(sha256)).hexdigest() == sha256
    assert sorted(e["document_id"] for e in messages(sandbox)) == sorted(
        r["document_id"] for r in done.receipts
    )
    assert (sent["large.pdf"]["method"], sent["consent.pdf"]["method"]) == ("upload", "embed")
    assert "Left out: 2 links, 2 names that begin with a dot, 1 pipe, socket or device." in done.err


def test_the_real_settings_of_the_user_never_reach_a_private_sandbox(chartsend, scans, tmp_path):
    config = tmp_path / "home" / ".config" / "chartsend" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[real]\nenvironment = "Production"\nsource_id = "real"\n')
    env = {
        "CHARTSEND_PROFILE": "real",
        "CHARTSEND_API_URL": "https://api.redoxengine.com",
        "CHARTSEND_AUTH_CLIENT_ID": "real",
        "CHARTSEND_QUOTA": "1/300",
        "CHARTSEND_PROXY": "http://127.0.0.1:9",
    }

    done = chartsend("send", scans, "--to", "x", "--sandbox", "--json", env=env)

    assert done.code == 0, done.err
    assert len(done.receipts) == 3


def test_a_private_sandbox_says_that_global_options_are_not_used(chartsend, scans):
    done = chartsend("--profile", "none", "send", scans / "consent.pdf", "--to", "x", "--sandbox")

    assert done.code == 0
    assert "--profile, --environment and --source-id are not used" in done.err


def test_a_private_sandbox_has_gone_afterwards(chartsend, scans, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir()

    chartsend("send", scans, "--to", "x", "--sandbox", env={"TMPDIR": str(temporary)})

    assert list(temporary.iterdir()) == []
    commands = []
    for process in Path("/proc").iterdir():
        try:
            commands.append((process / "environ").read_bytes())
        except OSError:
            continue
    assert not [each for each in commands if f"TMPDIR={temporary}".encode() in each]


def test_json_is_nothing_but_receipts_and_text_goes_to_stderr(chartsend, scans, sandbox, given):
    done = chartsend(*profile(sandbox), "send", scans / "consent.pdf", *to(sandbox), *given, "--json")

    [receipt] = done.receipts
    assert list(receipt) == [
        *("document_id", "source", "bytes", "sha256", "api", "method", "model", "status"),
        *("reference_url", "log_ids", "trace_id", "resource_url", "attempts", "seconds", "error"),
    ]
    assert receipt["error"] is None
    assert "1 accepted" in done.err


def test_no_name_and_no_patient_is_on_stderr(chartsend, scans, sandbox, given):
    (scans / "consent.pdf").rename(scans / "CANARY-file.pdf")
    (scans / "bad.pdf").write_bytes(b"%PDF-")
    (scans / "bad.pdf.json").write_text('{"tipe": "CANARY-type"}')
    sandbox.fault(on="message", do="status", status=400, times=None)

    done = chartsend(
        *("--log-level", "debug", *profile(sandbox), "send", scans, scans / "CANARY-missing.pdf"),
        *(*to(sandbox), *given, "--patient-name", "CANARY-first CANARY-last"),
    )

    assert done.code == 1
    assert "CANARY-file.pdf" in done.out
    assert "CANARY" not in done.err
    assert "0000991234" not in done.err
    assert "consent" not in done.err.lower().replace("consent form", "")


def test_sidecars_win_over_options_over_metadata_over_the_profile(chartsend, sandbox, tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 a")
    (tmp_path / "a.pdf.json").write_text('{"document_id": "from-sidecar"}')
    (tmp_path / "meta.toml").write_text('type = "From metadata"\n[visit]\nnumber = "V-meta"\n')
    whole = tmp_path / "profile.toml"
    whole.write_text(
        Path(sandbox.info.profile).read_text()
        + '\n[document]\ntype = "From profile"\n'
        + '[document.patient]\nidentifiers = [{ id = "P", type = "MR" }]\n'
    )

    done = chartsend(
        *("--profile", whole, "send", "a.pdf", *to(sandbox), "--json"),
        *("--metadata", "meta.toml", "--visit", "V-option", "--method", "embed"),
    )

    assert done.code == 0, done.out + done.err
    assert [r["document_id"] for r in done.receipts] == ["from-sidecar"]
    assert "1 sidecar was used." in done.err
    assert [event["document_id"] for event in messages(sandbox)] == ["from-sidecar"]


def test_a_bad_sidecar_fails_its_own_document_only(chartsend, sandbox, scans, given):
    (scans / "consent.pdf.json").write_text('{"tipe": "x"}')

    done = chartsend(*profile(sandbox), "send", scans, *to(sandbox), *given, "--json")

    assert done.code == 1
    by_name = {Path(r["source"]).name: r for r in done.receipts}
    assert by_name["consent.pdf"]["status"] == "failed"
    assert by_name["consent.pdf"]["error"]["code"] == "invalid_document"
    assert "did you mean `type`?" in by_name["consent.pdf"]["error"]["message"]
    assert by_name["consent.pdf"]["document_id"]
    assert by_name["other.pdf"]["status"] == by_name["large.pdf"]["status"] == "accepted"
    assert len(messages(sandbox)) == 2


@pytest.mark.parametrize("ident", ['" "', '""', "5"])
def test_an_id_that_is_none_fails_its_own_document_only(chartsend, scans, ident):
    (scans / "consent.pdf.json").write_text(f'{{"document_id": {ident}}}')

    done = chartsend("send", scans, "--to", "x", "--sandbox", "--json")

    assert done.code == 1, done.err
    assert sorted(r["status"] for r in done.receipts) == ["accepted", "accepted", "failed"]


def test_what_is_missing_is_said_before_anything_is_sent(chartsend, sandbox, scans):
    done = chartsend(*profile(sandbox), "send", scans / "consent.pdf", *to(sandbox), "--model", "notes")

    assert done.code == 1
    assert "Note.Provider.ID (`provider.id`)" in done.out
    assert "Patient.Identifiers (`patient.identifiers`)" in done.out
    assert sandbox.events() == []


def test_a_missing_file_fails_and_the_others_go_on(chartsend, sandbox, scans, given):
    done = chartsend(
        *profile(sandbox), "send", scans / "consent.pdf", "missing.pdf", *to(sandbox), *given, "--json"
    )

    assert done.code == 1
    assert {r["source"]: (r["error"] or {}).get("code") for r in done.receipts} == {
        str(scans / "consent.pdf"): None,
        "missing.pdf": "source_missing",
    }


@pytest.mark.parametrize("argument", ["missing.pdf", "empty", "*.nothing"])
def test_nothing_found_is_exit_code_4(chartsend, tmp_path, argument):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".only-hidden").touch()

    done = chartsend("send", argument, "--to", "x", "--sandbox")

    assert ("1 name that begins with a dot" in done.err) is (argument == "empty")

    assert done.code == 4
    assert done.err.startswith("Nothing to send")
    assert done.out == ""


def test_a_run_without_an_environment_says_what_to_do(chartsend, scans):
    done = chartsend("send", scans, "--to", "x")

    assert done.code == 2
    assert "--environment" in done.err
    assert "--sandbox" in done.err
    assert done.out == ""


@pytest.mark.parametrize("name", ["bad/slug", "", "a b", "../x", "x" * 200])
def test_a_name_that_can_be_no_destination_is_refused(chartsend, scans, name):
    done = chartsend("send", scans, "--to", name, "--sandbox")

    assert done.code == 2
    assert done.out == ""


def test_one_id_cannot_be_given_to_several_files(chartsend, scans):
    done = chartsend("send", scans, "--to", "x", "--sandbox", "--document-id", "d")

    assert done.code == 2
    assert "several files" in done.err


def test_an_id_is_used_for_one_file(chartsend, scans):
    done = chartsend(
        *("send", scans / "consent.pdf", "--to", "x", "--sandbox", "--document-id", "d", "--json")
    )

    assert [r["document_id"] for r in done.receipts] == ["d"]


def test_a_dry_run_shows_the_way_and_makes_no_request(chartsend, sandbox, scans, given):
    done = chartsend(*profile(sandbox), "send", scans, *to(sandbox), *given, "--dry-run")

    assert done.code == 0, done.err
    assert [line.split()[:2] for line in done.out.splitlines()] == [["would", "go"]] * 3
    assert "accepted" not in done.out
    assert "2 requests, up to 300.0 kB" in done.out
    assert "fhir document-reference, application/pdf" in done.out
    assert "3 files would go" in done.err
    assert "Nothing was sent" in done.err
    assert sandbox.events() == []
    assert sandbox.requests()["total"] == 0


def test_a_dry_run_as_json_and_with_a_failure(chartsend, sandbox, scans, given):
    (scans / "empty.pdf").touch()

    done = chartsend(*profile(sandbox), "send", scans, *to(sandbox), *given, "--dry-run", "--json")

    assert done.code == 1
    plans = {Path(line["source"]).name: line for line in done.receipts}
    assert plans["large.pdf"]["requests"] == 2
    assert plans["large.pdf"]["request_bytes"] == plans["large.pdf"]["bytes"]
    assert plans["empty.pdf"]["error"]["code"] == "empty_file"
    assert sandbox.events() == []


def test_embed_up_to_and_method_decide_the_way(chartsend, sandbox, scans, given):
    base = (*profile(sandbox), "send", scans, *to(sandbox), *given, "--json", "--dry-run")

    def methods(*options):
        return {line["method"] for line in chartsend(*base, *options).receipts}

    assert methods("--embed-up-to", "1MB") == {"embed"}
    assert methods("--embed-up-to", "0") == {"upload"}
    assert methods("--method", "upload") == {"upload"}


def test_text_files_become_searchable_notes_on_request(chartsend, sandbox, tmp_path, given):
    (tmp_path / "note.txt").write_text("Patient is well — ✓")
    base = (*profile(sandbox), "send", "note.txt", *to(sandbox), *given, "--model", "notes", "--json")

    done = chartsend(*base, "--note-text")

    assert done.code == 0, done.out + done.err
    [event] = messages(sandbox)
    assert sandbox.file(event["sha256"]) == (tmp_path / "note.txt").read_bytes()


def test_what_was_accepted_before_is_not_sent_again(chartsend, sandbox, scans, given, tmp_path):
    base = (*profile(sandbox), "send", scans, *to(sandbox), *given, "--json")
    sandbox.fault(on="message", do="status", status=400, where={"method": "upload"})
    first = chartsend(*base)
    assert first.code == 1
    receipts = tmp_path / "receipts.ndjson"
    receipts.write_text(first.out)

    again = chartsend(*base, "--skip-accepted", receipts)

    assert again.code == 0, again.err
    assert [Path(r["source"]).name for r in again.receipts] == ["large.pdf"]
    assert "Skipped, accepted before: 2." in again.err
    assert len({event["document_id"] for event in messages(sandbox)}) == 3
    assert len(messages(sandbox)) == 3

    receipts.write_text(first.out + again.out)
    third = chartsend(*base, "--skip-accepted", receipts)
    assert (third.code, third.out) == (0, "")
    assert len(messages(sandbox)) == 3


def test_what_was_in_doubt_before_is_held_back(chartsend, sandbox, scans, given, tmp_path):
    base = (*profile(sandbox), "send", scans / "consent.pdf", *to(sandbox), *given, "--json")
    sandbox.fault(on="message", do="swallow", then="reset")
    first = chartsend(*base)
    assert first.code == 3
    assert first.receipts[0]["status"] == "in_doubt"
    (tmp_path / "receipts.ndjson").write_text(first.out)

    again = chartsend(*base, "--skip-accepted", "receipts.ndjson")

    assert again.code == 3
    assert again.out == ""
    assert "Held back, because they were in doubt before: " in again.err
    assert first.receipts[0]["document_id"] in again.err
    assert len(messages(sandbox)) == 1


def test_receipts_that_cannot_be_read_stop_before_anything_is_sent(chartsend, sandbox, scans, given):
    (scans.parent / "cut.ndjson").write_text('{"document_id":"1","stat')

    done = chartsend(
        *(*profile(sandbox), "send", scans, *to(sandbox), *given, "--skip-accepted", "cut.ndjson")
    )

    assert done.code == 2
    assert "line 1 is not a receipt" in done.err
    assert sandbox.events() == []


FOREVER = {"times": None}


@pytest.mark.parametrize(
    ("faults", "code"),
    [
        ([{"on": "message", "do": "status", "status": 400, **FOREVER}], 1),
        ([{"on": "message", "do": "status", "status": 500, **FOREVER}], 3),
        ([{"on": "message", "do": "status", "status": 403, **FOREVER}], 7),
        ([{"on": "token", "do": "status", "status": 400, "body": "{}", **FOREVER}], 7),
        (
            [
                {
                    "on": "message",
                    "do": "status",
                    "status": 503,
                    "headers": {"Retry-After": "0"},
                    **FOREVER,
                }
            ],
            5,
        ),
    ],
    ids=["refused", "in doubt", "forbidden", "credentials", "temporary"],
)
def test_outcomes_have_their_exit_codes(chartsend, sandbox, scans, given, faults, code):
    sandbox.faults(faults)

    done = chartsend(*profile(sandbox), "send", scans / "consent.pdf", *to(sandbox), *given)

    assert done.code == code, done.out + done.err


def test_a_firewalls_403_fails_its_own_document_only(chartsend, sandbox, scans, given):
    sandbox.fault(
        on="message",
        do="status",
        status=403,
        headers={"Content-Type": "text/html"},
        body="<html>blocked</html>",
    )

    done = chartsend(*profile(sandbox), "send", scans, *to(sandbox), *given, "--json")

    assert done.code == 1, done.out
    assert sorted(r["status"] for r in done.receipts) == ["accepted", "accepted", "failed"]


def test_refused_credentials_stop_the_run(chartsend, sandbox, tmp_path, given):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(200):
        (folder / f"{n:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    sandbox.fault(on="token", do="status", status=400, body="{}", times=None)

    done = chartsend(
        *profile(sandbox), "send", folder, *to(sandbox), *given, "--concurrency", "4", "--json"
    )

    assert done.code == 7
    assert len(done.receipts) < 100
    assert "every other document would be refused for the same reason" in done.err
    assert "Stopped before the end: what has no receipt was not sent." in done.err


def test_many_forbidden_in_a_row_stop_the_run(chartsend, sandbox, tmp_path, given):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(100):
        (folder / f"{n:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    sandbox.fault(on="message", do="status", status=403, times=None)

    done = chartsend(
        *profile(sandbox), "send", folder, *to(sandbox), *given, "--concurrency", "2", "--json"
    )

    assert done.code == 7
    assert 5 <= len(done.receipts) < 50
    assert {r["error"]["code"] for r in done.receipts} == {"forbidden"}


def test_fail_fast_starts_nothing_after_the_first_failure(chartsend, sandbox, tmp_path, given):
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(50):
        (folder / f"{n:03}.pdf").write_bytes(b"%%PDF-1.4 %d" % n)
    sandbox.fault(on="message", do="status", status=400, skip=2)

    done = chartsend(
        *(*profile(sandbox), "send", folder, *to(sandbox), *given),
        *("--concurrency", "1", "--fail-fast", "--json"),
    )

    assert done.code == 1
    assert [r["status"] for r in done.receipts][:3] == ["accepted", "accepted", "failed"]
    assert len(done.receipts) < 10
    assert "--fail-fast" in done.err


def test_a_deadline_holds_for_each_document(chartsend, sandbox, scans, given):
    sandbox.fault(on="blob", do="stop_reading", seconds=40, times=None)

    done = chartsend(
        *(*profile(sandbox), "send", scans / "large.pdf", *to(sandbox), *given),
        *("--deadline", "1s", "--json"),
    )

    assert done.code == 5
    [receipt] = done.receipts
    assert receipt["error"]["code"] == "deadline_exceeded"
    assert receipt["seconds"] < 3


def test_a_name_that_is_not_utf8_is_sent_and_shown(chartsend, sandbox, tmp_path, given):
    (tmp_path / os.fsdecode(b"f\xff\n.pdf")).write_bytes(b"%PDF-1.4 odd")

    done = chartsend(*profile(sandbox), "send", "*.pdf", *to(sandbox), *given)
    as_json = chartsend(*profile(sandbox), "send", "*.pdf", *to(sandbox), *given, "--json")

    assert (done.code, as_json.code) == (0, 0), done.err + as_json.err
    assert len(done.out.splitlines()) == 1
    source = json.loads(as_json.out)["source"]
    assert (source[0], source[2:]) == ("f", "\n.pdf")


def test_the_limit_on_open_files_lowers_the_concurrency(chartsend, command, scans):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command[:0] = ["bash", "-c", 'ulimit -n 100; exec "$0" "$@"']

    done = chartsend("send", scans, "--to", "x", "--sandbox", "--concurrency", "64")

    assert done.code == 0, done.err
    assert "allows 18 sends at a time, not 64" in done.err
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (soft, hard)
