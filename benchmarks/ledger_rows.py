"""What a ledger of many rows costs: disk, memory, and the time to plan, to go on, and to ask.

The one rule: every figure comes from the ledger as a batch uses it, through its port, each size in a
process of its own; nine in ten rows are sent, with an upload, a message and a receipt of usual length.

    python -m benchmarks.ledger_rows [--rows 1000000] [--directory DIR]

Memory is the highest resident set of the process, and its growth that between 10,000 rows and all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from chartsend.batch.row import Planned, RowReceipt, State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader

if TYPE_CHECKING:
    from chartsend.batch.row import Claimed

SMALL_ROWS = 10_000
PLAN_ROWS = 1000
"""Rows that are planned in one step."""
WORKERS = 64
LIMITS = {
    "bytes per planned row": 120,
    "bytes per done row": 500,
    "open, take over, first claim, s": 2,
    "counts(), ms": 5,
    "growth of memory, MB": 10,
}
"""What the project promises itself."""


def used_bytes(directory: Path) -> int:
    """What the files of a ledger take."""
    return sum(file.stat().st_size for file in directory.iterdir())


def unguessable(seed: random.Random, size_bytes: int) -> bytes:
    """Bytes that do not compress, the same in every run."""
    return seed.randbytes(size_bytes)


async def plan(ledger: SqliteLedger, rows: int) -> None:
    """Plan rows of which none is a duplicate."""
    seed = random.Random(1)
    offset = 0
    for start in range(1, rows + 1, PLAN_ROWS):
        part: list[Planned] = []
        for row in range(start, min(start + PLAN_ROWS, rows + 1)):
            offset += seed.randrange(400, 700)
            part.append(
                Planned(
                    row=row,
                    offset=offset,
                    identity=unguessable(seed, 16),
                    content=unguessable(seed, 8),
                    size_bytes=seed.randrange(20_000, 30_000_000),
                    mtime_ns=1_795_000_000_000_000_000 + seed.randrange(10**15),
                    route=0,
                )
            )
        await ledger.plan(part, {"position": str(offset)})


def an_id(seed: random.Random) -> str:
    """36 characters."""
    text = seed.randbytes(16).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


async def send(ledger: SqliteLedger, row: Claimed, seed: random.Random) -> None:
    """The four steps of an uploaded row that meets no trouble."""
    sha256 = unguessable(seed, 32)
    url = f"https://blob.redoxengine.com/upload/{an_id(seed)}/".ljust(90, "x")
    await ledger.uploading(row.row, "owner", attempts=1)
    await ledger.uploaded(
        row.row, "owner", reference_url=url, source_id=an_id(seed), sha256=sha256, now_ms=1
    )
    await ledger.referencing(
        row.row,
        "owner",
        attempts=2,
        sha256=None,
        message_hash=unguessable(seed, 16),
        message_ms=1_795_000_000_000,
    )
    await ledger.settle(
        RowReceipt(
            row=row.row,
            status="accepted",
            at_ms=1_795_000_000_000 + row.row,
            route=0,
            size_bytes=row.size_bytes,
            milliseconds=seed.randrange(80, 4000),
            attempts=2,
            sha256=sha256,
            reference_url=url,
            log_ids=(an_id(seed), an_id(seed)),
        ),
        "owner",
    )


async def settle(ledger: SqliteLedger, rows: int) -> None:
    """Send rows in as many tasks as a batch has slots."""
    left = rows

    async def work(number: int) -> None:
        nonlocal left
        seed = random.Random(number)
        while left > 0:
            limit = min(4, left)
            left -= limit
            for row in await ledger.claim("owner", limit, 2):
                await send(ledger, row, seed)

    async with anyio.create_task_group() as tasks:
        for number in range(WORKERS):
            tasks.start_soon(work, number)


async def measure(directory: Path, rows: int) -> dict[str, float]:
    """All figures of one size; called in a process of its own."""
    figures: dict[str, float] = {}
    start = time.perf_counter()
    ledger = await SqliteLedger.open(directory, create=True)
    await plan(ledger, rows)
    figures["plan, rows/s"] = rows / (time.perf_counter() - start)
    start = time.perf_counter()
    await ledger.reject_duplicates()
    figures["index and duplicates, s"] = time.perf_counter() - start
    await ledger.aclose()
    planned_bytes = used_bytes(directory)
    figures["bytes per planned row"] = planned_bytes / rows

    done = rows * 9 // 10
    ledger = await SqliteLedger.open(directory, create=False)
    await ledger.take_over("owner", 1)
    start = time.perf_counter()
    await settle(ledger, done)
    figures["durable steps/s, 64 tasks"] = 4 * done / (time.perf_counter() - start)
    figures["log, MB"] = (directory / "ledger.db-wal").stat().st_size / 1e6
    await ledger.aclose()
    figures["bytes per done row"] = (used_bytes(directory) - planned_bytes) / done + planned_bytes / rows

    start = time.perf_counter()
    ledger = await SqliteLedger.open(directory, create=False)
    await ledger.take_over("another", 2)
    claimed = await ledger.claim("another", WORKERS, 3)
    figures["open, take over, first claim, s"] = time.perf_counter() - start
    if len(claimed) != WORKERS:
        raise RuntimeError("the claim is not as long as asked for")
    figures |= ask(directory, done)
    figures["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    await ledger.aclose()
    return figures


def ask(directory: Path, done: int) -> dict[str, float]:
    """What a reader beside the writer has to wait."""
    figures: dict[str, float] = {}
    start = time.perf_counter()
    reader = SqliteReader.open(directory)
    figures["reader, s to open"] = time.perf_counter() - start
    start = time.perf_counter()
    if reader.counts()[State.DONE] != done:
        raise RuntimeError("rows are missing")
    figures["counts(), ms"] = 1000 * (time.perf_counter() - start)
    start = time.perf_counter()
    reader.slowest(10)
    figures["slowest(10), s"] = time.perf_counter() - start
    start = time.perf_counter()
    if findings := reader.verify():
        raise RuntimeError(findings[0])
    figures["verify(), s"] = time.perf_counter() - start
    reader.close()
    return figures


def in_a_process(directory: Path, rows: int) -> dict[str, float]:
    """The figures of one size."""
    place = directory / f"{rows}.chartsend"
    environment = {**os.environ, "XDG_STATE_HOME": str(directory / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ledger_rows", "--measure", str(place), "--rows", str(rows)],
        check=True,
        stdout=subprocess.PIPE,
        env=environment,
    )
    shutil.rmtree(place)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure, print, and leave with 1 when a limit was passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--directory", type=Path, help="on the disk to be measured")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure is not None:
        print(json.dumps(asyncio.run(measure(asked.measure, asked.rows))))
        return
    with tempfile.TemporaryDirectory(dir=asked.directory) as folder:
        small = in_a_process(Path(folder), SMALL_ROWS)
        large = in_a_process(Path(folder), asked.rows)
    large["growth of memory, MB"] = large["memory, MB"] - small["memory, MB"]
    passed = [name for name, limit in LIMITS.items() if large[name] > limit]
    print(f"{'':<34}{SMALL_ROWS:>12,}{asked.rows:>14,}   limit")
    for name, value in large.items():
        before = f"{small[name]:>12,.2f}" if name in small else " " * 12
        print(f"{name:<34}{before}{value:>14,.2f}   {LIMITS.get(name, '')}")
    print(f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.machine()}")
    if passed:
        sys.exit(f"over the limit: {', '.join(passed)}")


if __name__ == "__main__":
    main()
