"""What the tests of the quota share: a state folder for each, terms, and a judge of processes."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from bisect import bisect_right
from pathlib import Path

import anyio
import pytest

from chartsend.aio import Deadline
from chartsend.ports import Operation
from chartsend.transport.quota import Quota, Terms
from chartsend.transport.quota.clock import SECOND_NS, boot_ns

TAKER = Path(__file__).with_name("taker.py")
ORIGIN = "https://api.example:443"
NO_TOKENS = frozenset(Operation) - {Operation.TOKEN}


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    """A state folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def folder(state):
    """Where the files of the quota lie, once there are any."""
    return state / "chartsend" / "quota"


@pytest.fixture
def terms():
    """A function: a limit as it is in force, 98 % taken already, and a window, to terms.

    Tokens do not count: so no place is kept free for one.
    """

    def make(limit, window_s=300.0, **more) -> Terms:
        # The smallest setting of which 98 % is the limit.
        requests = next(n for n in range(limit, 2 * limit + 2) if int(n * 0.98) == limit)
        return Terms(requests, int(window_s * SECOND_NS), ORIGIN, **{"counts": NO_TOKENS, **more})

    return make


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now_ns = boot_ns()

    def __call__(self) -> int:
        return self.now_ns

    def pass_s(self, seconds: float) -> None:
        self.now_ns += round(seconds * SECOND_NS)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
async def opened():
    """A function: terms, and options of `Quota`, to a quota that is closed after the test.

    Its `crash` leaves a quota's file as the kernel does when a process is killed.
    """
    quotas = []

    def make(terms, **options) -> Quota:
        quotas.append(Quota(terms, **options))
        return quotas[-1]

    def crash(quota) -> None:
        quotas.remove(quota)
        quota._record.seat.ring.close()

    make.crash = crash
    yield make
    for quota in quotas:
        quota.close()


@pytest.fixture
def has_room():
    """A function: whether a quota gives a turn at once; one that it gives is answered at once."""

    async def ask(quota, *, operation=Operation.MESSAGE, priority=None, is_clean=True) -> bool:
        with anyio.move_on_after(0):
            turn = await quota.take(operation, Deadline(math.inf), priority=priority)
            quota.answered(turn, is_clean=is_clean)
            return True
        return False

    return ask


class Takers:
    """Processes that take turns and note, each for itself, when its requests went and were answered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: list[Path] = []
        self._killed_ns: dict[Path, int] = {}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments, state=None) -> subprocess.Popen[str]:
        log = self._folder / f"taker-{len(self._logs)}"
        self._logs.append(log)
        environ = os.environ if state is None else os.environ | {"XDG_STATE_HOME": str(state)}
        with log.with_suffix(".stderr").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, str(TAKER), str(log), ORIGIN, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environ,
            )
        process.log = log
        self.processes.append(process)
        return process

    def go(self) -> None:
        """Let those that were started with `--wait` begin together."""
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()

    def kill(self, process) -> None:
        self._killed_ns[process.log] = boot_ns()
        self._end(process)

    def _end(self, process) -> None:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def wait(self) -> None:
        for process in self.processes:
            if process.log not in self._killed_ns:
                assert process.wait(150) == 0

    def stop(self) -> None:
        for process in self.processes:
            self._end(process)

    def requests(self) -> list[tuple[int, int]]:
        """When each request went and was answered; one whose process was killed ended there."""
        found = []
        for log in self._logs:
            gone: dict[str, int] = {}
            for line in log.read_text().splitlines() if log.exists() else ():
                what, request, at = line.split()
                if what == "went":
                    gone[request] = int(at)
                else:
                    found.append((gone.pop(request), int(at)))
            found += [(at, max(at, self._killed_ns[log])) for at in gone.values()]
        return sorted(found)

    def said(self) -> str:
        """Everything on their standard error: warnings, and what ended them."""
        return "".join(log.with_suffix(".stderr").read_text() for log in self._logs)

    def in_flight(self, process) -> int:
        """How many requests a process has sent that are not answered."""
        lines = process.log.read_text().splitlines() if process.log.exists() else []
        return sum(1 if line.startswith("went") else -1 for line in lines)


@pytest.fixture
def takers(tmp_path):
    made = Takers(tmp_path)
    yield made
    made.stop()


def most_in_a_window(requests: list[tuple[int, int]], window_s: float) -> int:
    """The most that a server can have counted in a window, whenever it counts each of them.

    Of those that a window at whose end the last one goes may hold, none is left out: it went before,
    and was answered after the window's beginning.
    """
    went = sorted(at for at, _ in requests)
    left = sorted(answered + round(window_s * SECOND_NS) for _, answered in requests)
    return max(bisect_right(went, at) - bisect_right(left, at) for at in went)


@pytest.fixture
def most():
    return most_in_a_window
