"""`doctor`, `config show` and `delete`: set-up and the small verbs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest


def profile(process):
    return ("--profile", process.info.profile)


def statuses(done):
    return {check["name"]: check["status"] for check in json.loads(done.out)["checks"]}


def test_a_good_set_up_passes_every_check_and_sends_no_document(chartsend, sandbox):
    done = chartsend(*profile(sandbox), "doctor")

    assert done.code == 0, done.out + done.err
    assert "fail" not in done.out
    assert "token           granted" in done.out
    assert [e["kind"] for e in sandbox.events()] == ["token"]


def test_offline_makes_no_request(chartsend, sandbox):
    done = chartsend(*profile(sandbox), "doctor", "--offline", "--json")

    assert done.code == 0
    assert statuses(done)["network"] == "skip"
    assert sandbox.requests()["total"] == 0


def test_without_settings_it_says_how_to_begin(chartsend):
    done = chartsend("doctor", "--json")

    assert done.code == 2
    report = json.loads(done.out)
    assert report["ok"] is False
    found = {check["name"]: check for check in report["checks"]}
    assert (found["environment"]["status"], found["credentials"]["status"]) == ("fail", "fail")
    assert "chartsend key new" in found["credentials"]["text"]
    assert found["network"]["status"] == "skip"


def test_refused_credentials_are_fatal_and_explained(chartsend, sandbox):
    body = json.dumps(
        {"error": "invalid_request", "error_description": "JWT header kid property is required"}
    )
    sandbox.fault(on="token", do="status", status=400, body=body, times=None)

    done = chartsend(*profile(sandbox), "doctor", "--json")

    assert done.code == 7
    assert statuses(done)["token"] == "fail"
    assert "auth.key_id" in done.out


def test_a_wrong_clock_is_noticed(chartsend, sandbox):
    sandbox.fault(do="clock_skew", seconds=120)

    done = chartsend(*profile(sandbox), "doctor", "--json")

    assert statuses(done)["clock"] == "warn"
    assert "behind the server's" in done.out


def test_a_certificate_that_is_not_trusted_is_fatal(chartsend, sandbox_tls, tmp_path):
    text = Path(sandbox_tls.info.profile).read_text()
    without = "\n".join(line for line in text.splitlines() if not line.startswith("ca_file"))
    (tmp_path / "p.toml").write_text(without)

    trusted = chartsend(*profile(sandbox_tls), "doctor")
    refused = chartsend("--profile", "./p.toml", "doctor", "--json")

    assert trusted.code == 0, trusted.out
    assert refused.code == 7
    assert statuses(refused)["token"] == "fail"


def test_a_host_that_cannot_be_reached_is_named(chartsend, sandbox, tmp_path):
    values = Path(sandbox.info.profile).read_text()
    sandbox.stop()
    (tmp_path / "p.toml").write_text(values)

    # The key went with the sandbox, so it is missing too.
    done = chartsend("--profile", "./p.toml", "doctor", "--json")

    assert done.code == 2
    assert statuses(done)["credentials"] == "fail"


def test_an_unreachable_host_is_a_failure(chartsend, sandbox):
    sandbox.fault(do="refuse", seconds=30, drop=True)

    done = chartsend(*profile(sandbox), "doctor", "--json", timeout=55)

    assert done.code == 2
    assert statuses(done)["API host"] == "fail"
    assert statuses(done)["token"] == "skip"


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [("lakeside-imaging", "ok", 0), ("somewhere-else", "warn", 0), ("bad/name", "fail", 2)],
)
def test_one_destination_can_be_checked(chartsend, sandbox, name, status, code):
    done = chartsend(*profile(sandbox), "doctor", "--offline", "--json", "--to", name)

    assert done.code == code
    assert statuses(done)["destination"] == status


def test_a_key_that_others_can_read_is_refused(chartsend, sandbox):
    Path(sandbox.info.profile).with_name("key.pem").chmod(0o644)

    done = chartsend(*profile(sandbox), "doctor", "--json")

    assert done.code == 2
    assert "chmod 600" in done.out
    assert sandbox.requests()["total"] == 0


def test_every_setting_is_shown_with_its_origin(chartsend, sandbox):
    done = chartsend(
        *profile(sandbox),
        *("--environment", "Staging", "config", "show", "--json"),
        env={"CHARTSEND_CONCURRENCY": "3"},
    )

    assert done.code == 0, done.err
    shown = json.loads(done.out)["settings"]
    assert shown["environment"] == {"value": "Staging", "origin": "argument"}
    assert shown["concurrency"] == {"value": 3, "origin": "environment CHARTSEND_CONCURRENCY"}
    assert shown["quota"] == {"value": "off", "origin": f"profile {sandbox.info.profile}"}
    assert shown["region"] == {"value": "us", "origin": "default"}
    name = f"destinations.{sandbox.info.destination}.slug"
    assert shown[name]["value"] == sandbox.info.destination


def test_the_text_form_is_one_line_for_each_setting(chartsend, sandbox):
    done = chartsend(*profile(sandbox), "config", "show", "--changed")

    lines = done.out.splitlines()
    assert all("  # profile " in line for line in lines)
    values = "\n".join(line.rpartition("  # ")[0] for line in lines if "." not in line.split()[0])
    assert tomllib.loads(values)["environment"] == "Development"


def test_secrets_are_masked(chartsend, tmp_path):
    (tmp_path / "p.toml").write_text(
        '[auth]\nkind = "legacy"\napi_key = "CANARY-1"\nkey_command = "vault read CANARY-2"\n'
        '[document]\ntype = "Note"\n'
    )

    for options in ([], ["--json"]):
        done = chartsend("--profile", "./p.toml", "config", "show", *options)

        assert done.code == 0
        assert "CANARY" not in done.out + done.err
        assert done.out.count("********") == 2


def test_a_wrong_profile_is_explained_by_every_verb(chartsend, scans):
    for verb in (["config", "show"], ["doctor"], ["send", scans, "--to", "x"]):
        done = chartsend("--profile", "./none.toml", *verb)

        assert done.code == 2
        assert done.err.startswith("chartsend: there is no file ")
        assert done.out == ""


DESCRIBED = ("--type", "Consent Form", "--patient", "0000991234:MR", "--provider", "9999999995:NPI")


@pytest.mark.parametrize("model", ["notes", "media"])
def test_a_deletion_reaches_the_receiver(chartsend, sandbox, model):
    done = chartsend(
        *(*profile(sandbox), "delete", "doc-1", "--to", sandbox.info.destination),
        *("--model", model, *DESCRIBED, "--json", "--title", "consent.pdf"),
    )

    assert done.code == 0, done.out + done.err
    [receipt] = done.receipts
    assert (receipt["document_id"], receipt["status"], receipt["model"]) == ("doc-1", "accepted", model)
    [event] = [e for e in sandbox.events() if e["kind"] == "message"]
    assert (event["event_type"], event["document_id"]) == ("Delete", "doc-1")
    assert "has still to delete it" in done.err


def test_a_deletion_for_people_shows_the_id(chartsend, sandbox):
    done = chartsend(
        *(*profile(sandbox), "delete", "doc-1", "--to", sandbox.info.destination),
        *("--model", "notes", *DESCRIBED),
    )

    assert done.out.startswith("accepted  doc-1")


@pytest.mark.parametrize(("status", "code"), [(400, 1), (500, 3), (403, 7)])
def test_a_deletion_that_fails_has_the_exit_code_of_a_send(chartsend, sandbox, status, code):
    sandbox.fault(on="message", do="status", status=status, times=None)

    done = chartsend(
        *(*profile(sandbox), "delete", "doc-1", "--to", sandbox.info.destination),
        *("--model", "notes", *DESCRIBED),
    )

    assert done.code == code, done.out + done.err


def test_what_a_deletion_lacks_is_said(chartsend, sandbox):
    done = chartsend(
        *(*profile(sandbox), "delete", "doc-1", "--to", sandbox.info.destination, "--model", "notes")
    )

    assert done.code == 1
    assert "Note.Provider.ID" in done.out
    assert sandbox.events() == []
