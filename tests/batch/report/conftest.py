"""Batches whose ledgers are real and whose sends are made up: planned from real files, then settled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass

import pytest

from chartsend import BatchOptions, Settings
from chartsend.batch.batch import Batch
from chartsend.batch.row import RowReceipt
from chartsend.batch.sqlite import SqliteLedger, SqliteReader

TO = "memorial-ehr"
SOURCE_ID = "4a0d4f8e-6a0c-4c58-9b0e-0d3c1c3f7a41"
URL = "https://blob.example/Binary/5c9e9d5f-16b1-4b2b-9d0c-0123456789ab"
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"
OWNER = "owner-1"
AT_MS = 1_795_000_000_000


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch):
    """Where this user's key and list of ledgers stand."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


def receipt(row: int, status: str = "accepted", **changes) -> RowReceipt:
    """How a row ended."""
    fields = {
        "row": row,
        "status": status,
        "at_ms": AT_MS + row,
        "route": 1,
        "size_bytes": 1000,
        "milliseconds": 40,
        "attempts": 1,
        "sha256": row.to_bytes(32, "big"),
        "log_ids": (f"log-{row}",),
    }
    if status != "accepted":
        fields |= {"error_code": "invalid", "error": "the server answered 422"}
    return RowReceipt(**(fields | changes))


class Made:
    """A manifest with a file for each row, and its ledger."""

    def __init__(self, folder):
        self.folder = folder
        self.manifest = folder / "manifest.jsonl"
        self.ledger = folder / "manifest.jsonl.chartsend"
        self.rows: list[dict] = []
        self.settings = Settings(environment="Development", source_id=SOURCE_ID, quota="off")

    def add(self, count: int, **fields) -> Made:
        """Rows, each with a file."""
        for _ in range(count):
            number = len(self.rows) + 1
            name = f"f{number}.pdf"
            (self.folder / name).write_bytes(PDF)
            row = {
                "path": name,
                "document_id": f"D-{number}",
                "type": "Consent Form",
                "patient": {"identifiers": [{"id": f"MRN-{number}", "type": "MR"}]},
            }
            self.rows.append({key: value for key, value in (row | fields).items() if value is not None})
        return self

    def write(self) -> Made:
        self.manifest.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return self

    async def plan(self, *, again=frozenset(), **options) -> Made:
        """Plan it, as a run would."""
        self.write()
        wanted = BatchOptions(**({"to": TO} | options))
        async with Batch.open(self.manifest, self.settings, wanted) as batch:
            await batch.plan(again=again)
        return self

    async def settle(self, *receipts: RowReceipt, totals=None) -> Made:
        """Bring rows, the next ones in order, to the ends that receipts tell of."""
        ledger = await SqliteLedger.open(self.ledger, create=False)
        try:
            for one in receipts:
                await settle(ledger, one)
            if totals:
                await ledger.count(totals)
        finally:
            await ledger.aclose()
        return self

    async def leave_behind(self, row: int, *, message_ms: int = AT_MS) -> Made:
        """The next row as a run leaves it that is killed while its message is on its way."""
        ledger = await SqliteLedger.open(self.ledger, create=False)
        (claimed,) = await ledger.claim(OWNER, 1, 1000)
        assert claimed.row == row
        await ledger.referencing(
            row, OWNER, attempts=1, sha256=None, message_hash=b"h" * 16, message_ms=message_ms
        )
        await ledger.aclose()
        return self

    def reader(self) -> SqliteReader:
        return SqliteReader.open(self.ledger)

    def states(self) -> dict[str, int]:
        with closing(self.reader()) as reader:
            return {state.name.lower(): count for state, count in reader.counts().items() if count}


async def settle(ledger: SqliteLedger, one: RowReceipt) -> None:
    """Claim the next row, which must be the receipt's, and settle it."""
    (claimed,) = await ledger.claim(OWNER, 1, 1000)
    assert claimed.row == one.row
    if one.status != "failed":
        await ledger.referencing(
            one.row, OWNER, attempts=1, sha256=one.sha256, message_hash=b"h" * 16, message_ms=3000
        )
    await ledger.settle(one, OWNER)


@pytest.fixture
def made(tmp_path) -> Made:
    return Made(tmp_path)


@pytest.fixture
async def mixed(made) -> Made:
    """Six rows: accepted, failed, in doubt, rejected, pending (twice)."""
    made.add(3).add(1, type=7).add(2)
    await made.plan()
    return await made.settle(
        receipt(1),
        receipt(2, "failed", size_bytes=2000),
        receipt(3, "in_doubt", error_code="outcome_unknown", error="the connection was lost"),
    )


@dataclass(frozen=True)
class Done:
    """What one call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(tmp_path, state_home):
    """A function: arguments of `chartsend` to what the command gave."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHARTSEND_", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()
    environ = kept | {
        "HOME": str(home),
        "XDG_STATE_HOME": str(state_home),
        "COLUMNS": "100",
        "TERM": "dumb",
    }

    def run(*arguments, **more) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "chartsend", *map(str, arguments)],
            env=environ,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=100,
            check=False,
            **more,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    run.environ = environ
    return run


HOLD = """
import anyio, sys
from chartsend.batch.sqlite import SqliteLedger
async def main():
    ledger = await SqliteLedger.open(sys.argv[1], create=False)
    print("open", flush=True)
    sys.stdin.read()
    await ledger.aclose()
anyio.run(main)
"""


@pytest.fixture
def holder(command):
    """A function: a directory to a process that works with the ledger there, until it is told to end."""
    started: list[subprocess.Popen] = []

    def hold(directory) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=command.environ,
        )
        started.append(process)
        assert process.stdout.readline() == b"open\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
