"""What a batch of a million rows costs: time and memory of planning, disk, continuing, status.

    python -m benchmarks.batch_rows [--rows 1000000] [--folder DIR]

The rows name a thousand small files, each row a document of its own. Every step runs in a process of its
own, so that its peak memory is its own; a plan of 10,000 rows is the base that growth is measured from.
Nine rows in ten are then settled through the ledger's own steps, with receipts as large as real ones,
and the batch is continued against a real sandbox.

The one rule: every figure is measured by this file, in this run, and printed with what it is held to.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from chartsend import Settings
from chartsend.batch.batch import Batch
from chartsend.batch.journal import now_ms
from chartsend.batch.options import BatchOptions
from chartsend.batch.row import RowReceipt
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.batch.where import ledger_of
from chartsend.testing import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

BASE_ROWS = 10_000
FILES = 1_000
DONE_SHARE = 0.9
AT_ONCE = 256


def peak_mb() -> float:
    """The most memory this process has held, in MB."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1000
    return 0.0


def write_manifest(folder: Path, rows: int) -> Path:
    """A manifest of so many rows over a thousand files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(FILES):
        (folder / f"f{number}.pdf").write_bytes(b"%PDF-1.4\n" + b"%d\n" % number * 200)
    manifest = folder / "manifest.jsonl"
    with manifest.open("w", encoding="utf-8") as file:
        for number in range(rows):
            row = {
                "path": f"f{number % FILES}.pdf",
                "document_id": f"BENCH-{number:09}",
                "type": "Consent Form",
                "patient": {"identifiers": [{"id": f"{number:010}", "type": "MR"}]},
                "provider": {"id": "9999999995", "id_type": "NPI"},
            }
            file.write(json.dumps(row) + "\n")
    return manifest


async def plan(profile: str, to: str, manifest: str) -> dict[str, Any]:
    """Plan it, as the command does."""
    started = time.monotonic()
    async with Batch.open(manifest, Settings.load(profile), BatchOptions(to=to)) as batch:
        found = await batch.plan()
    return {"seconds": time.monotonic() - started, "rows": found.accepted, "peak_mb": peak_mb()}


async def settle(manifest: str) -> dict[str, Any]:
    """Settle most of the rows through the ledger's own steps: intent, then outcome."""
    directory = ledger_of(manifest)
    reader = SqliteReader.open(directory)
    wanted = int(sum(reader.counts().values()) * DONE_SHARE)
    reader.close()
    ledger = await SqliteLedger.open(directory, create=False)
    started, done, digest = time.monotonic(), 0, os.urandom(32)
    try:
        await ledger.take_over("bench", now_ms())

        async def one(claimed: Any) -> None:
            await ledger.referencing(
                claimed.row,
                "bench",
                attempts=1,
                sha256=digest,
                message_hash=digest[:16],
                message_ms=now_ms(),
            )
            receipt = RowReceipt(
                row=claimed.row,
                status="accepted",
                at_ms=now_ms(),
                route=0,
                size_bytes=claimed.size_bytes,
                milliseconds=431,
                attempts=2,
                sha256=os.urandom(32),
                reference_url=f"https://blob.example.invalid/fhir/R4/Binary/{uuid.uuid4()}-{uuid.uuid4()}",
                trace_id=str(uuid.uuid4()),
                log_ids=(str(uuid.uuid4()),),
            )
            await ledger.settle(receipt, "bench")

        while done < wanted:
            rows = await ledger.claim("bench", min(AT_ONCE, wanted - done), now_ms())
            async with anyio.create_task_group() as tasks:
                for each in rows:
                    tasks.start_soon(one, each)
            done += len(rows)
    finally:
        await ledger.aclose()
    return {"seconds": time.monotonic() - started, "rows": done, "peak_mb": peak_mb()}


async def go_on(profile: str, to: str, manifest: str, started: str) -> dict[str, Any]:
    """Continue it, and stop as soon as a row was accepted; the clock runs since the process began."""
    async with Batch.open(manifest, Settings.load(profile), BatchOptions(to=to)) as batch:
        await batch.plan()
        runner = await batch.runner()
        async with runner.run() as settled:
            async for _ in settled:
                first_s = time.time() - float(started)
                runner.stop("measured")
                return {"seconds": first_s, "peak_mb": peak_mb()}
    raise RuntimeError("no row was accepted")


def status(manifest: str) -> dict[str, Any]:
    """How long the counts take, opening included; the median of 50."""
    took = []
    for _ in range(50):
        started = time.perf_counter()
        reader = SqliteReader.open(ledger_of(manifest))
        reader.counts()
        reader.totals()
        reader.close()
        took.append(time.perf_counter() - started)
    return {"median_s": statistics.median(took), "most_s": max(took)}


def child(*arguments: str) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.batch_rows", "--step", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def size_of(manifest: Path) -> int:
    """Bytes of the ledger on disk."""
    folder = Path(f"{manifest}.chartsend")
    return sum(each.stat().st_size for each in folder.iterdir())


def step(arguments: list[str]) -> None:
    """One step, named by its first argument; its figures go to stdout as JSON."""
    name, *rest = arguments
    if name == "status":
        result = status(*rest)
    else:
        steps: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]]
        steps = {"plan": plan, "settle": settle, "go_on": go_on}
        result = asyncio.run(steps[name](*rest))
    sys.stdout.write(json.dumps(result))


def measure(rows: int, folder: Path) -> None:
    """Run all steps and print what they cost."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    with SandboxProcess.start() as sandbox:
        profile, to = str(sandbox.info.profile), sandbox.info.destination
        small, large = (write_manifest(folder / str(n), n) for n in (BASE_ROWS, rows))
        base = child("plan", profile, to, str(small))
        full = child("plan", profile, to, str(large))
        planned = size_of(large)
        settled = child("settle", str(large))
        done = size_of(large)
        went_on = child("go_on", profile, to, str(large), str(time.time()))
        took = child("status", str(large))
    per_done = planned / rows + (done - planned) / settled["rows"]
    lines = [
        ("rows", f"{full['rows']:,} planned, {settled['rows']:,} settled", ""),
        ("planning", f"{full['seconds']:.0f} s, {rows / full['seconds']:,.0f} rows/s", ""),
        ("peak memory", f"{base['peak_mb']:.1f} MB at {BASE_ROWS:,}, {full['peak_mb']:.1f} MB", ""),
        ("growth", f"{full['peak_mb'] - base['peak_mb']:.1f} MB", "<= 10 MB"),
        ("ledger, planned", f"{planned / rows:.0f} bytes a row", "<= 120"),
        ("ledger, done", f"{per_done:.0f} bytes a row", "<= 500"),
        ("settling", f"{settled['rows'] / settled['seconds']:,.0f} rows/s", ""),
        ("settling, peak memory", f"{settled['peak_mb']:.1f} MB", ""),
        ("continue to first accepted", f"{went_on['seconds']:.2f} s", "<= 5 s"),
        ("continue, peak memory", f"{went_on['peak_mb']:.1f} MB", ""),
        (
            "status",
            f"median {took['median_s'] * 1000:.1f} ms, most {took['most_s'] * 1000:.1f} ms",
            "<= 50 ms",
        ),
    ]
    for name, figure, bound in lines:
        print(f"{name:<28} {figure:<44} {bound}".rstrip())


def main() -> None:
    """Parse the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.step:
        step(given.step)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        measure(given.rows, Path(folder))


if __name__ == "__main__":
    main()
