"""Processes that work on a ledger and are killed, and the judge of what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from chartsend.batch.sqlite import SqliteReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chartsend.batch.row import State

DRIVER = Path(__file__).with_name("kill_driver.py")
RANK = {
    name: rank
    for rank, name in enumerate(("QUEUED", "UPLOADING", "UPLOADED", "REFERENCING", "IN_DOUBT", "DONE"))
}


class Lives:
    """Starts one life after the other in the same directory; remembers what was ever confirmed."""

    def __init__(self, directory: Path, rows: int, *before: str) -> None:
        self.directory = directory
        self.rows = rows
        self.confirmed: dict[int, str] = {}
        self.count = 0
        self._process = subprocess.Popen(
            [*before, sys.executable, str(DRIVER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONWARNINGS": "error"},
        )

    def close(self) -> None:
        if not self._process.stdin.closed:
            self._process.stdin.close()
            self._process.wait(60)
            self._process.stdout.close()

    def start(self, **asked: object) -> int:
        """Begin a life; its process number."""
        asked = {"directory": str(self.directory), "rows": self.rows} | asked
        # Whoever takes over makes an upload that was under way once more.
        for row in [row for row, step in self.confirmed.items() if step == "UPLOADING"]:
            self.confirmed[row] = "QUEUED"
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        self.count += 1
        # The child may confirm its first steps before its parent has told its number.
        self._early: list[list[str]] = []
        while len(words := self._line()) != 2:
            self._early.append(words[1:])
        return int(words[1])

    def _line(self) -> list[str]:
        line = self._process.stdout.readline().decode().split()
        assert line, "the driver ended"
        return line

    def told(self) -> Iterator[list[str]]:
        """What the life confirms, until it is gone; each is remembered before it is given."""
        while True:
            words = self._early.pop(0) if self._early else self._line()[1:]
            if words[-1] == "gone":
                return
            if words[0] != "-":
                self.confirmed[int(words[0])] = words[1]
            yield words

    def kill(self, child: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    def judge(self, *, proves: bool = True) -> dict[State, int]:
        """Every confirmed step is there, whole; how many rows are in each state."""
        reader = SqliteReader.open(self.directory)
        try:
            if proves:
                assert reader.verify() == []
            states = {one.row: one.state.name for one in reader.rows()}
            for row, step in self.confirmed.items():
                assert RANK[states[row]] >= RANK[step], f"row {row}: {step} was lost"
            accepted = [
                said.row
                for _, said in reader.receipts()
                if said is not None and said.status == "accepted"
            ]
            assert sorted(accepted) == [row for row, state in states.items() if state == "DONE"]
            return reader.counts()
        finally:
            reader.close()
