"""Works on a ledger until it is killed; run by `test_kills.py` and `test_disk.py`.

For each line on stdin, `{"directory", "rows", "limit_bytes", "workers"}`, it forks a child that works
on that ledger, and says the child's number on stdout. The child confirms every step on stdout after the
ledger has confirmed it: `pid row step`. What it could not do ends it with `pid - error`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time

import anyio

from chartsend.batch.row import Planned, RowReceipt, State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.errors import TransferError

PART = 40


def say(*words: object) -> None:
    os.write(1, (" ".join(map(str, (os.getpid(), *words))) + "\n").encode())


def planned(row: int) -> Planned:
    return Planned(
        row=row,
        offset=row * 100,
        identity=row.to_bytes(16, "big"),
        content=row.to_bytes(8, "big"),
        size_bytes=row,
        mtime_ns=row,
        route=0,
    )


def receipt(row: int) -> RowReceipt:
    return RowReceipt(
        row=row,
        status="accepted",
        at_ms=row,
        route=0,
        sha256=row.to_bytes(32, "big"),
        log_ids=("a" * 36,),
    )


async def plan(ledger: SqliteLedger, directory: str, rows: int) -> None:
    reader = SqliteReader.open(directory)
    position = int(reader.facts().get("position", "0"))
    reader.close()
    while position < rows:
        last = min(position + PART, rows)
        part = [planned(row) for row in range(position + 1, last + 1)]
        await ledger.plan(part, {"position": str(last)})
        for row in range(position + 1, last + 1):
            say(row, "QUEUED")
        position = last
    await ledger.reject_duplicates()


async def send(ledger: SqliteLedger, owner: str, row: int, state: State) -> None:
    if state is State.QUEUED:
        await ledger.uploading(row, owner, attempts=1)
        say(row, "UPLOADING")
        await ledger.uploaded(
            row, owner, reference_url="https://x/" + "y" * 80, source_id="s", sha256=b"f" * 32, now_ms=1
        )
        say(row, "UPLOADED")
    await ledger.referencing(row, owner, attempts=2, sha256=None, message_hash=b"h" * 16, message_ms=row)
    say(row, "REFERENCING")
    await ledger.settle(receipt(row), owner)
    say(row, "DONE")


async def work(directory: str, rows: int, workers: int) -> None:
    owner = f"{os.getpid()}-{time.monotonic_ns()}"
    ledger = await SqliteLedger.open(directory, create=True)
    try:
        await plan(ledger, directory, rows)
        await ledger.take_over(owner, 1)
        await find_again(ledger, directory)

        async def worker() -> None:
            while claimed := await ledger.claim(owner, 2, 1):
                for row in claimed:
                    await send(ledger, owner, row.row, row.state)

        async with anyio.create_task_group() as tasks:
            for _ in range(workers):
                tasks.start_soon(worker)
    finally:
        with anyio.CancelScope(shield=True):
            await ledger.aclose()
    say("-", "finished")


async def find_again(ledger: SqliteLedger, directory: str) -> None:
    """What was under way is found at the receiver by a query."""
    reader = SqliteReader.open(directory)
    doubtful = [one.row for one in reader.rows(State.IN_DOUBT)]
    reader.close()
    for row in doubtful:
        await ledger.sent(row, decided_by="query", now_ms=1)
        say(row, "DONE")


def live(asked: dict) -> None:
    if asked.get("limit_bytes"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["limit_bytes"],) * 2)
    try:
        asyncio.run(work(asked["directory"], asked["rows"], asked.get("workers", 6)))
    except BaseException as error:  # noqa: BLE001  # it is told
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        say("-", error.code if isinstance(error, TransferError) else repr(error))


def main() -> None:
    logging.getLogger("chartsend").addHandler(logging.NullHandler())
    for line in sys.stdin:
        child = os.fork()
        if not child:
            live(json.loads(line))
            os._exit(0)
        say(child)
        os.waitpid(child, 0)
        say(child, "gone")


if __name__ == "__main__":
    main()
