"""strace, attached to a life before it opens its ledger.

The one rule: a life goes on only when strace demonstrably counts its calls: `getppid` then gives what
strace was told to answer, so not one call is missed, however busy the machine is.

strace counts injections for each thread on its own. Followed threads (`-f`) are hit by whichever
reaches the k-th call first; to be exact about the thread that speaks to the server, it can also be
traced alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from job import TRACED_PPID

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lives import Life
    from order import Call

KINDS: Final = ("pwrite64", "fdatasync", "sendto", "sendmsg", "rename", "unlink", "connect")
"""Calls that can matter for what is durable, and for what has left."""
LOGGED: Final = ("pwrite64", "fdatasync", "fsync", "sendto", "sendmsg", "write", "writev")
"""What the order of events is read from."""
_MARK: Final = f"getppid:retval={TRACED_PPID}"
_ANY_BYTES: Final = "99999999"


class Point(NamedTuple):
    """Where a life ends: on entering the k-th call of a kind, before that call does anything.

    Attributes:
        kind: Of call.
        k: From 1.
        is_main: Only calls of the main thread count; else any thread's, each counted on its own.
    """

    kind: str
    k: int
    is_main: bool = False


class Strace:
    """A running strace. It ends with the life it traces."""

    def __init__(self, life: Life, options: Sequence[str]) -> None:
        assert life.until(lambda line: line == "waits"), f"it did not wait: {life.said}"
        self._process = subprocess.Popen(
            ["strace", "-qq", "-p", str(life.pid), "-e", f"inject={_MARK}", *options],
            stderr=subprocess.PIPE,
        )

    def end(self) -> None:
        """Wait until it has gone.

        Raises:
            AssertionError: It complained.
        """
        _, complaints = self._process.communicate(timeout=60)
        assert not complaints, complaints.decode()


def kill_at(life: Life, point: Point) -> Strace:
    """Let a life that waits for it go on, to its end at that point."""
    kinds = f"getppid,{point.kind}"
    kill = f"inject={point.kind}:signal=SIGKILL:when={point.k}"
    follow = () if point.is_main else ("-f",)
    return Strace(life, [*follow, "-o", "/dev/null", "-e", f"trace={kinds}", "-e", kill])


def write_down(
    life: Life, log: Path, kinds: Sequence[str] = LOGGED, *, fault: str | None = None
) -> Strace:
    """Let a life go on, and write down its calls with all their bytes.

    Args:
        life: It waits for this.
        log: File to write to.
        kinds: Of calls.
        fault: What fails, as strace says it: `fdatasync:error=EIO:when=7`.
    """
    traced = ",".join(("getppid", *kinds))
    faults = () if fault is None else ("-e", f"inject={fault}")
    follow = ["-f", "-yy", "-ttt", "-s", _ANY_BYTES, "-o", str(log)]
    return Strace(life, [*follow, "-e", f"trace={traced}", *faults])


def points(calls: Sequence[Call], main: int) -> list[Point]:
    """Every point at which a life that makes these calls can end."""
    by_thread = Counter((call.name, call.task) for call in calls if call.name in KINDS)
    found = []
    for kind in KINDS:
        counts = {task: count for (name, task), count in by_thread.items() if name == kind}
        found += [Point(kind, k) for k in range(1, max(counts.values(), default=0) + 1)]
        if len(counts) > 1:
            found += [Point(kind, k, True) for k in range(1, counts.get(main, 0) + 1)]
    return found


@cache
def obstacle() -> str | None:
    """Why nothing can be traced here; None where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed: apt-get install strace"
    # A process that says when it may be traced and ends when it is: as the lives do.
    probe = (
        "import ctypes, os, time; ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0);"
        "print(flush=True); until = time.monotonic() + 20\n"
        f"while os.getppid() != {TRACED_PPID}:\n"
        "    time.sleep(0.001); assert time.monotonic() < until"
    )
    with subprocess.Popen(
        [sys.executable, "-c", probe], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        traced = subprocess.run(
            ["strace", "-qq", "-f", "-p", str(process.pid), "-o", "/dev/null", "-e", "trace=getppid",
             "-e", f"inject={_MARK}"],
            stderr=subprocess.PIPE, timeout=60, check=False,
        )  # fmt: skip
        if traced.returncode:
            process.kill()
            return f"strace may not trace here (ptrace): {traced.stderr.decode()[-200:]}"
    return None if process.returncode == 0 else "strace cannot inject here"
