"""The command itself, killed and started again with the same line: its report is what arrived."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from evidence import gather, wait_until_quiet
from judge import judge
from scenery import make

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)

KILLS = 8
SLOTS = 4
IN_DOUBT_ONLY = 3


class Command:
    """`chartsend batch …` on one manifest."""

    def __init__(self, sandbox, scene) -> None:
        self.line = [sys.executable, "-m", "chartsend", "--profile", str(sandbox.info.profile), "batch"]
        self.manifest = str(scene.manifest)
        self.to = sandbox.info.destination
        self.environment = os.environ | {"XDG_STATE_HOME": str(scene.folder / "state")}

    def ask(self, verb: str, *options: str) -> str:
        """What a verb that only reads says."""
        line = [*self.line, verb, self.manifest, *options]
        return subprocess.run(
            line, env=self.environment, check=True, capture_output=True, text=True, timeout=120
        ).stdout

    def run(self, stderr: Path) -> subprocess.Popen[str]:
        """A run that has just begun."""
        options = ["--to", self.to, "--concurrency", str(SLOTS), "--canaries", "1", "--json"]
        with stderr.open("a") as words:
            return subprocess.Popen(
                [*self.line, "run", self.manifest, *options],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words,
                text=True,
            )  # fmt: skip


def rows_of(lines):
    events = [json.loads(line) for line in lines if line.endswith("}\n")]  # the last one may be cut
    return [(event["row"], event["status"]) for event in events if event["event"] == "row"]


def killed(process, draw):
    """Its lines until it was killed, after a drawn number of them and a while, or ended before."""
    lines = []
    for _ in range(draw.choice([0, 0, 1, 3, 6])):
        lines.append(process.stdout.readline())
        if not lines[-1]:
            break
    time.sleep(draw.random() * (0.05 if lines else 1.5))
    process.kill()
    lines += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    return lines


def test_the_command_killed_and_started_again_does_every_row_once(busy_sandbox, folder):
    draw = random.Random("command")
    scene = make(folder / "batch", f"command-{folder.name}", draw, rows=60)
    command = Command(busy_sandbox, scene)
    seen = len(busy_sandbox.events())
    told: list[tuple[int, str]] = []
    kills = 0
    while kills < KILLS:
        process = command.run(folder / "stderr.txt")
        told += rows_of(killed(process, draw))
        if process.returncode != -9:
            break
        kills += 1
    process = command.run(folder / "stderr.txt")
    lines = process.stdout.readlines()
    process.stdout.close()
    code = process.wait()
    told += rows_of(lines)
    wait_until_quiet(busy_sandbox)
    events = busy_sandbox.events(seen)
    evidence = gather(scene, events, told=told, kills=kills, slots=SLOTS)
    assert judge(evidence) == []
    expected = IN_DOUBT_ONLY if evidence.counts["in_doubt"] else 0
    assert code == expected, (folder / "stderr.txt").read_text()
    assert kills

    report = json.loads(command.ask("report", "--format", "json"))
    assert report["rows"] == {
        "done": evidence.counts["done"], "in_doubt": evidence.counts["in_doubt"], "failed": 0,
        "rejected": 0, "pending": 0,
    }  # fmt: skip
    assert json.loads(lines[-1])["rows"] == report["rows"]
    arrived = {event["document_id"] for event in events if event["kind"] == "message"}
    assert report["rows"]["done"] <= len(arrived) <= report["rows"]["done"] + report["rows"]["in_doubt"]
    assert report["orphans"] == sum(entry.orphans for entry in evidence.entries)
    assert report["maybe_duplicates"] == 0
    command.ask("verify")

    again = command.run(folder / "stderr.txt")
    assert rows_of(again.stdout.readlines()) == []
    again.stdout.close()
    assert again.wait() == code
    assert len(busy_sandbox.events(seen)) == len(events)  # not even a token
    print(f"{kills} kills: {report['rows']}, {report['orphans']} orphans")
