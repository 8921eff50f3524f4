"""Names of files and documents, and whatever identifies a patient, stand on stdout where they are asked
for, and nowhere else. Help costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from .conftest import receipt

CANARIES = ("CANARY-MRN", "CANARY-LAST", "CANARY-TITLE", "CANARY-TYPE", "CANARY-FILE", "CANARY-ID")
VERBS = ("status", "list", "resolve", "report", "verify", "purge")


@pytest.fixture
async def canaries(made):
    """Four rows full of canaries: accepted, failed, in doubt, and one that is rejected."""
    patient = {"identifiers": [{"id": "CANARY-MRN", "type": "MR"}], "last_name": "CANARY-LAST"}
    for number in range(1, 5):
        made.add(1, patient=patient, title="CANARY-TITLE", type="CANARY-TYPE")
        (made.folder / f"f{number}.pdf").rename(made.folder / f"CANARY-FILE-{number}.pdf")
        made.rows[-1] |= {"path": f"CANARY-FILE-{number}.pdf", "document_id": f"CANARY-ID-{number}"}
    made.rows[-1]["status"] = {"CANARY-STATUS": "CANARY-TITLE"}
    await made.plan()
    return await made.settle(receipt(1), receipt(2, "failed"), receipt(3, "in_doubt"))


CALLS = [
    ("status", []),
    ("status", ["--json"]),
    ("status", ["--watch"]),
    ("list", []),
    ("list", ["--json"]),
    ("report", []),
    ("report", ["--format", "json"]),
    ("report", ["--format", "csv"]),
    ("verify", []),
    ("verify", ["--json", "--files"]),
    ("resolve", []),
    ("resolve", ["--json"]),
    ("resolve", ["--row", "1", "--sent"]),
    ("resolve", ["--row", "3", "--resend", "--json"]),
    ("purge", []),
    ("purge", ["--all"]),
]
MAY_NAME = {("list", "--json"), ("list", ""), ("report", "csv"), ("resolve", ""), ("resolve", "--json")}


@pytest.mark.parametrize(("verb", "options"), CALLS, ids=str)
async def test_no_canary_leaves_by_another_way_than_a_list_on_stdout(canaries, command, verb, options):
    done = command("--log-level", "debug", "batch", verb, canaries.manifest, *options)

    may_name = (verb, options[-1] if options else "") in MAY_NAME
    for canary in CANARIES:
        assert canary not in done.err
        if not may_name or canary not in {"CANARY-FILE", "CANARY-ID"}:
            assert canary not in done.out
    if may_name:
        assert "CANARY-ID-3" in done.out or "--resend" in options
    for file in canaries.ledger.rglob("*"):
        content = file.read_bytes()
        assert not [canary for canary in CANARIES if canary.encode() in content], file.name


async def test_differences_and_damage_are_told_by_number_only(canaries, command):
    canaries.manifest.write_text(canaries.manifest.read_text().replace("CANARY-MRN", "CANARY-MRM"))
    (canaries.folder / "CANARY-FILE-1.pdf").unlink()

    done = command("batch", "verify", canaries.manifest, "--files")

    assert done.code == 1
    assert "rows 1, 2, 3, 4" in done.out
    assert "CANARY" not in done.out + done.err


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_s_help_has_examples_and_imports_nothing_heavy(command, verb):
    script = (
        "import sys; from chartsend.cli.main import chartsend\n"
        f"try: chartsend.main(['batch', {verb!r}, '--help'], prog_name='chartsend')\n"
        "finally: print('|'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=command.environ, capture_output=True, check=True, timeout=60
    )
    loaded = set(done.stderr.decode().strip().split("|"))

    assert b"Example" in done.stdout
    assert f"chartsend batch {verb} ".encode() in done.stdout
    assert not loaded & {"aiohttp", "rich", "anyio", "msgspec", "sqlite3", "chartsend.engine"}


@pytest.mark.parametrize("verb", ["status", "list", "report", "verify"])
async def test_looking_does_not_import_the_engine(made, command, verb):
    await made.add(1).plan()
    script = (
        "import sys; from chartsend.cli.main import chartsend\n"
        f"try: chartsend.main(['batch', {verb!r}, {str(made.manifest)!r}], prog_name='chartsend')\n"
        "finally: print('|'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=command.environ, capture_output=True, check=True, timeout=60
    )

    assert not set(done.stderr.decode().strip().split("|")) & {"aiohttp", "chartsend.engine", "jwt"}
