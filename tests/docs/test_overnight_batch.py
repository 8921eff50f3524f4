"""The lines for cron and systemd of the page on batches: their commands run, and keep their promises."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from chartsend import Receipt
from chartsend.cli.exits import MEANINGS
from chartsend.testing import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "overnight-batch.md").read_text(encoding="utf-8")


def cron_command() -> str:
    found = re.search(r"^0 22 \* \* 1-5  cd /srv/night && (?P<command>.+)$", PAGE, re.MULTILINE)
    assert found is not None
    return found["command"]


def service_command() -> str:
    found = re.search(r"^ExecStart=/usr/local/bin/(?P<command>.+)$", PAGE, re.MULTILINE)
    assert found is not None
    return found["command"]


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess.start("--destination", "memorial-ehr") as process:
        yield process


@pytest.fixture
def night(tmp_path: Path, sandbox: SandboxProcess) -> dict[str, str]:
    """A folder with one document for tonight, and an environment in which `staging` is a sandbox."""
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.4 tonight")
    patient = {"identifiers": [{"id": "1", "type": "MR"}]}
    row = {"path": "a.pdf", "type": "Consent Form", "patient": patient}
    (tmp_path / "tonight.jsonl").write_text(json.dumps(row) + "\n")
    config = tmp_path / "config" / "chartsend"
    config.mkdir(parents=True)
    profile = re.sub(r"^\[", "[staging.", sandbox.info.profile.read_text(), flags=re.MULTILINE)
    (config / "config.toml").write_text(f"[staging]\n{profile}")
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }


@pytest.mark.parametrize("command", [cron_command(), service_command()], ids=["cron", "systemd"])
def test_the_command_sends_what_is_to_be_sent(command: str, night: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-euc", command], cwd=night["HOME"], env=night, capture_output=True, check=False
    )

    log = Path(night["HOME"], "tonight.log")
    told = log.read_bytes() if log.exists() else done.stderr
    assert done.returncode == 0, told
    assert b"1 done, 0 failed" in told


def test_systemd_starts_again_what_can_go_on_and_nothing_else() -> None:
    found = re.search(r"^RestartPreventExitStatus=(?P<codes>.+)$", PAGE, re.MULTILINE)

    assert found is not None
    stops = {int(code) for code in found["codes"].split()}
    goes_on = {code for code in MEANINGS if "run it again" in MEANINGS[code]}
    assert stops <= set(MEANINGS)
    assert not stops & goes_on
    assert stops | goes_on | {0, 130, 143} == set(MEANINGS)


def test_it_has_a_moment_to_end() -> None:
    found = re.search(r"^TimeoutStopSec=(?P<seconds>\d+)$", PAGE, re.MULTILINE)

    assert found is not None
    assert int(found["seconds"]) > 10, "what is under way gets 10 s"
    assert shlex.split(service_command())[0] == "chartsend"


def documented_fields(event: str) -> set[str]:
    """The fields in the table of events; what stands in brackets is inside a field."""
    found = re.search(rf"^\| `{event}` \|[^|]*\|(?P<fields>[^|]*)\|$", PAGE, re.MULTILINE)
    assert found is not None
    return set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", found["fields"])))


@pytest.mark.slow
def test_events_are_as_the_page_says(night: dict[str, str], sandbox: SandboxProcess) -> None:
    sandbox.fault(on="message", do="delay", seconds=600, when="before", times=None)
    with subprocess.Popen(
        [*shlex.split(service_command()), "--json"],
        cwd=night["HOME"],
        env=night,
        executable=str(Path(sys.executable).with_name("chartsend")),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        events = [json.loads(process.stdout.readline()) for _ in range(2)]
        sandbox.clear_faults()
        events += [json.loads(line) for line in process.stdout]

    by_name = {event.pop("event"): set(event) for event in events}
    receipt = {field.encode_name for field in msgspec.structs.fields(Receipt)}
    assert by_name.keys() == {"plan", "progress", "row", "end"}
    for name in ("plan", "progress", "end"):
        assert by_name[name] == documented_fields(name), name
    assert by_name["row"] == {"row"} | receipt
