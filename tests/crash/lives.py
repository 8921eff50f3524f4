"""Lives of a batch: born of a nursery, listened to, killed at a chosen moment, and born again.

The one rule: a life is killed through its pidfd, so that no other process can ever be hit, and the
next one is born only when the last one has gone.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from job import Job

HERE: Final = Path(__file__).parent
LIFE_S: Final = 120.0
"""A life that has not ended after so long hangs, and that is a failure."""


class HangsError(AssertionError):
    """A life did not end."""


@dataclass(slots=True)
class Life:
    """One process, from its birth to its end.

    Attributes:
        pid: Its process.
        said: What it has said, line by line.
        code: Its exit code; minus the signal that ended it.
    """

    nursery: Nursery
    pid: int = 0
    pidfd: int = -1
    said: list[str] = field(default_factory=list)
    code: int | None = None

    @property
    def settled(self) -> list[tuple[int, str]]:
        """The rows it reported, in order."""
        words = (line.split() for line in self.said if line.startswith("settled "))
        return [(int(row), status) for _, row, status in words]

    @property
    def is_over(self) -> bool:
        """It ended by itself, and nothing is left to do."""
        return self.code == 0 and not any(line.startswith("stopped") for line in self.said)

    @property
    def stage(self) -> str:
        """How far it came."""
        words = [line.split()[0] for line in self.said]
        return next((w for w in ("settled", "running", "planned", "open") if w in words), "born")

    def until(self, is_there: Callable[[str], bool]) -> bool:
        """Listen until a line is said; false when it ended before."""
        while self.code is None:
            line = self.nursery.line()
            if line is None:
                raise HangsError(f"the nursery ended; its life had said {self.said[-3:]}")
            if line.startswith("end "):
                self.code = int(line.split()[1])
                if self.pidfd >= 0:
                    os.close(self.pidfd)
                return False
            self.said.append(line)
            if is_there(line):
                return True
        return False

    def end(self) -> Self:
        """Let it come to its end."""
        self.until(lambda _: False)
        return self

    def kill(self) -> bool:
        """SIGKILL now, and wait until it has gone; false when it had ended before."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            self.end()
        return self.code == -signal.SIGKILL


class Nursery:
    """A process that bears lives, one at a time."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._rest = b""

    def bear(self, job: Job) -> Life:
        """A new life, which has just begun."""
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(job) + b"\n")
        self._process.stdin.flush()
        life = Life(self)
        assert life.until(lambda line: line.startswith("pid ")), "it ended before it began"
        life.pid = int(life.said[0].split()[1])
        life.pidfd = os.pidfd_open(life.pid)
        return life

    def line(self) -> str | None:
        """The next line that is said; None at the end of all."""
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        deadline = time.monotonic() + LIFE_S
        while b"\n" not in self._rest:
            ready, _, _ = select.select([fd], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise HangsError(f"nothing was said for {LIFE_S:.0f} s")
            piece = os.read(fd, 65536)
            if not piece:
                return None
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def close(self) -> None:
        """End it. A life that still runs ends with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
