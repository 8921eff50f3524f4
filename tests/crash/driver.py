"""One life of a batch, in a process that is meant to be killed: open, plan, run, and say how far it is.

The one rule: what it says (`settled 7 accepted`) it has heard from the library, and the library alone;
a test holds every word of it against the ledger and the sandbox's own log.

    python driver.py JOB.json
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import msgspec
import planted
from job import TRACED_PPID, Job

import chartsend.batch.planning
import chartsend.batch.schedule
import chartsend.batch.unknown
from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.errors import LedgerError, TransferError
from chartsend.settings import Settings

if TYPE_CHECKING:
    from chartsend.batch.run import Settled

TRACED_WITHIN_S = 60.0
FAILED, STOPPED = 1, 6
AGAIN = frozenset({State.FAILED, State.REJECTED})
POINTS: dict[str, frozenset[State] | None] = {
    "before rows are unplanned": None,
    "while rows are unplanned": frozenset({State.FAILED}),
    "after rows were unplanned": AGAIN,
}
"""Points at which a life that looks again can die, each with the rows that are unplanned by then."""


def say(*words: object) -> None:
    """One line, in one piece: whoever reads it knows that all before it has happened."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def live(job: Job) -> int:
    """Do the job; give the exit code."""
    if job.stderr is not None:
        fd = os.open(job.stderr, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(fd, 2)
        os.close(fd)
    os.environ["XDG_STATE_HOME"] = job.state
    # The waits of a night, as long as a test can wait, and a small manifest planned in many steps.
    chartsend.batch.planning.CHUNK_ROWS = 6
    chartsend.batch.schedule.STEPS_S = (0.1, 0.2, 0.4)
    chartsend.batch.unknown.WAIT_S = 0.05
    for name in job.planted:
        planted.PLANTS[name]()
    if job.dies_at is not None:
        _die_at(job.dies_at)
    say("pid", os.getpid())
    if job.waits_for_tracer:
        _wait_for_tracer()
    try:
        anyio.run(_batch, job)
    except LedgerError as error:
        say("error", error.code)
        return STOPPED
    except TransferError as error:
        say("error", error.code)
        return FAILED
    except BaseException:  # noqa: BLE001  # whatever it is, the test must hear of it
        traceback.print_exc()
        say("error", "bug")
        return FAILED
    return 0


def _die_at(point: str) -> None:
    """Be killed at a point of `POINTS`."""
    unplan = SqliteLedger.plan_again

    async def plan_again(self: SqliteLedger, states: frozenset[State]) -> int:
        if gone := POINTS[point]:
            await unplan(self, states & gone)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable")

    SqliteLedger.plan_again = plan_again  # type: ignore[method-assign]


async def _batch(job: Job) -> None:
    settings = Settings.load(profile=job.profile, concurrency=job.concurrency)
    options = BatchOptions(to=job.to, on_unknown=job.on_unknown)  # type: ignore[arg-type]
    async with Batch.open(job.manifest, settings, options) as batch:
        say("open")
        await batch.plan(again=AGAIN if job.looks_again else frozenset())
        say("planned")
        if job.has_two_owners:
            await planted.two_owners(batch, _say_settled)
            return
        runner = await batch.runner(workers=job.workers)
        if job.room_bytes is not None:
            _leave_room(batch.directory, job.room_bytes)
        async with runner.run() as settled:
            say("running")
            async for each in settled:
                _say_settled(each)
        if runner.reason is not None:
            say("stopped", type(runner.fatal).__name__)


def _say_settled(settled: Settled) -> None:
    say("settled", settled.row, settled.receipt.status)


def _leave_room(ledger: Path, room_bytes: int) -> None:
    """As on a disk that is nearly full: no file can grow beyond this."""
    largest = max(file.stat().st_size for file in ledger.iterdir())
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest + room_bytes, hard))


def _wait_for_tracer() -> None:
    """Wait until strace answers in the kernel's place; nobody may trace unless asked to (Yama)."""
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, anybody
    say("waits")
    until = time.monotonic() + TRACED_WITHIN_S
    while os.getppid() != TRACED_PPID:
        if time.monotonic() > until:
            raise TimeoutError("nobody came to trace this process")
        time.sleep(0.001)


def main(arguments: list[str]) -> int:
    return live(msgspec.json.decode(Path(arguments[0]).read_bytes(), type=Job))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
