"""What a run itself uses, and descriptions, never end up in a chart; lost receipts are no success."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

PDF = b"%PDF-1.4\n"


@pytest.fixture
def folder(tmp_path):
    """A folder with one file to send; the command runs in it."""
    made = tmp_path / "here"
    made.mkdir()
    (made / "a.pdf").write_bytes(PDF)
    return made


@pytest.fixture
def send(chartsend, folder):
    """A function: `send … --to m --sandbox --json`, in the folder."""

    def run(*arguments, env=None):
        command = ("send", *arguments, "--to", "m", "--sandbox", "--json")
        return chartsend(*command, cwd=folder, env=env)

    return run


def by_name(done):
    return {Path(receipt["source"]).name: receipt for receipt in done.receipts}


def code_of(receipt):
    return (receipt["error"] or {}).get("code")


def test_a_key_of_any_tool_in_the_folder_is_not_sent(chartsend, send, folder):
    assert chartsend("key", "new", cwd=folder).code == 0

    done = send(".")

    receipts = by_name(done)
    assert done.code == 1, done.err
    assert receipts["a.pdf"]["status"] == "accepted"
    assert {code_of(r) for name, r in receipts.items() if name.endswith(".pem")} == {"type_mismatch"}


def test_the_metadata_file_in_the_folder_is_left_out(send, folder):
    (folder / "ward.toml").write_text('type = "Note"\n')

    done = send(".", "--metadata", "ward.toml")

    assert done.code == 0, done.err
    assert list(by_name(done)) == ["a.pdf"]
    assert "Left out: 1 file of chartsend's own." in done.err


def test_the_receipts_in_the_folder_are_left_out(command, environ, folder):
    """The recipe of the help text, run inside the folder."""
    receipts = folder / "receipts.ndjson"

    def run(mode, *more):
        argv = [*command, "send", ".", "--to", "m", "--sandbox", "--json", *more]
        with receipts.open(mode) as out, (folder / "run.log").open("wb") as log:
            return subprocess.run(
                argv, env=environ, cwd=folder, stdout=out, stderr=log, timeout=50, check=False
            ).returncode

    assert run("wb") == 0
    assert "Left out: 2 files of chartsend's own." in (folder / "run.log").read_text()
    (folder / "b.pdf").write_bytes(PDF + b"b")
    assert run("ab", "--skip-accepted", "receipts.ndjson") == 0

    lines = [json.loads(line) for line in receipts.read_text().splitlines()]
    assert {Path(line["source"]).name for line in lines} == {"a.pdf", "b.pdf"}
    assert {line["status"] for line in lines} == {"accepted"}


def test_the_profile_and_the_secrets_it_names_are_left_out(chartsend, sandbox, folder, given):
    profile = Path(sandbox.info.profile)
    text = profile.read_text()
    [key] = profile.parent.glob("*key*.pem")
    (folder / "k.txt").write_bytes(key.read_bytes())
    (folder / "k.txt").chmod(0o600)
    (folder / "p.toml").write_text(text.replace(str(key), "k.txt"))
    (folder / "p.toml").chmod(0o600)

    done = chartsend(
        *("--profile", "./p.toml", "send", ".", "--to", sandbox.info.destination, *given, "--json"),
        cwd=folder,
    )

    assert done.code == 0, done.out + done.err
    assert list(by_name(done)) == ["a.pdf"]
    assert "Left out: 2 files of chartsend's own." in done.err
    assert len([e for e in sandbox.events() if e["kind"] == "message"]) == 1


def test_named_outright_it_is_a_failed_receipt_and_the_others_go_on(send, folder):
    (folder / "ward.toml").write_text('type = "Note"\n')

    done = send("a.pdf", "ward.toml", "--metadata", "./ward.toml")

    receipts = by_name(done)
    assert done.code == 1
    assert receipts["a.pdf"]["status"] == "accepted"
    assert code_of(receipts["ward.toml"]) == "invalid_document"
    assert "this run itself uses this file" in receipts["ward.toml"]["error"]["message"]


def test_a_folder_with_nothing_but_the_runs_own_is_no_source(send, folder):
    (folder / "a.pdf").unlink()
    (folder / "ward.toml").write_text('type = "Note"\n')

    done = send(".", "--metadata", "ward.toml")

    assert (done.code, done.out) == (4, "")
    assert "left out: 1 file of chartsend's own" in done.err


def test_an_id_for_one_file_is_not_refused_for_the_runs_own_beside_it(send, folder):
    (folder / "ward.toml").write_text('type = "Note"\n')

    done = send(".", "--metadata", "ward.toml", "--document-id", "d")

    assert [r["document_id"] for r in done.receipts] == ["d"], done.err


def test_the_store_of_the_private_sandbox_is_not_sent(send, folder):
    done = send(".", env={"TMPDIR": str(folder)})

    assert done.code == 0, done.err
    assert list(by_name(done)) == ["a.pdf"]
    assert "1 folder of chartsend's own" in done.err


def test_a_private_sandbox_has_no_quota(environ, command, folder):
    process = subprocess.Popen(
        [*command, "send", ".", "--to", "m", "--sandbox"],
        env=environ,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    with process:
        process.stderr.readline()  # said once the sandbox runs
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        lines = [Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0") for child in children]
        process.communicate(timeout=50)

    [line] = [line for line in lines if b"sandbox" in line]
    assert line[line.index(b"--quota") + 1] == b"off"


def test_the_sidecar_of_a_link_or_a_pipe_is_not_sent(send, folder):
    (folder / "l.pdf").symlink_to("../elsewhere.pdf")
    (folder / "l.pdf.json").write_text('{"patient": {"first_name": "SECRET"}}')

    done = send(".")

    assert done.code == 0, done.err
    assert list(by_name(done)) == ["a.pdf"]
    assert "Left out: 1 link, 1 sidecar of a file that is left out." in done.err


def test_a_sidecar_without_its_file_is_a_failed_receipt(send, folder):
    (folder / "gone.pdf.json").write_text('{"patient": {"first_name": "SECRET"}}')
    (folder / "result.v2.json").write_text('{"finding": "none"}')

    done = send(".")

    receipts = by_name(done)
    assert done.code == 1
    assert code_of(receipts["gone.pdf.json"]) == "invalid_document"
    assert "a sidecar without its file" in receipts["gone.pdf.json"]["error"]["message"]
    assert "SECRET" not in done.out + done.err
    assert receipts["a.pdf"]["status"] == receipts["result.v2.json"]["status"] == "accepted"


@pytest.mark.parametrize("options", [(), ("--dry-run",)], ids=["sent", "planned"])
def test_an_id_given_to_two_files_is_good_for_the_first_only(send, folder, options):
    (folder / "b.pdf").write_bytes(PDF + b"b")
    for name in ("a.pdf", "b.pdf"):
        (folder / f"{name}.json").write_text('{"document_id": "same"}')

    done = send(".", *options)

    receipts = by_name(done)
    assert done.code == 1, done.err
    assert receipts["a.pdf"]["document_id"] == "same"
    assert code_of(receipts["b.pdf"]) == "invalid_document"
    assert "given to another file of this run already" in receipts["b.pdf"]["error"]["message"]
    assert receipts["b.pdf"]["document_id"] != "same"


def test_an_id_that_an_earlier_run_sent_is_not_another_files_too(send, folder):
    (folder / "b.pdf").write_bytes(PDF + b"b")
    for name in ("a.pdf", "b.pdf"):
        (folder / f"{name}.json").write_text('{"document_id": "same"}')
    (folder / "r.ndjson").write_text('{"document_id": "same", "status": "accepted"}\n')

    done = send(".", "--skip-accepted", "r.ndjson")

    assert done.code == 1
    assert {name: code_of(r) for name, r in by_name(done).items()} == {"b.pdf": "invalid_document"}


@pytest.mark.parametrize("options", [("--json",), (), ("--json", "--dry-run")])
def test_a_receipt_that_cannot_be_written_is_no_success(command, environ, folder, options):
    """One document: nothing is left to stop, and the code must tell all the same."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*command, "send", "a.pdf", "--to", "m", "--sandbox", *options],
            env=environ,
            cwd=folder,
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=50,
            check=False,
        )

    assert done.returncode == 1
    assert b"the receipts cannot be written any more" in done.stderr
    assert b"1 receipt could not be written" in done.stderr
    assert b"an error of its own" not in done.stderr
