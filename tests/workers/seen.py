"""What tests see of workers from outside: their processes, and what a journal is told.

The one rule: it looks at processes and at the sandbox's record, never into a worker.
"""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rig import described

from chartsend import Document, Engine, Timeouts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SMALL = b"%PDF-1.7\nsmall"


def pids_of(engine: Engine) -> list[int]:
    """Process ids of an engine's workers that live."""
    return engine._open.crew.pids


def is_alive(pid: int) -> bool:
    """Whether the process is there at all, as a zombie too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def is_running(pid: int) -> bool:
    """Whether it is there and not a zombie: its parent may be slow to hear of its end."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Process ids of a process's children, of all its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError):  # a thread that has just ended
            found += [int(each) for each in (task / "children").read_text().split()]
    return found


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.fixture
def make_document(tmp_path):
    """A function: an id and some bytes to a document whose bytes are a file."""

    def make(document_id: str, data: bytes = SMALL, name: str = "scan.pdf", **fields):
        path = tmp_path / f"{document_id}-{name}"
        path.write_bytes(data)
        fields = described(**{"document_id": document_id, "title": name, **fields})
        return Document.from_path(str(path), **fields)

    return make


@pytest.fixture
def team(settings_for):
    """A function: an open engine with workers, and a check that none of them is left afterwards."""

    @asynccontextmanager
    async def opened(server, journal=None, workers=2, priority="realtime", **overrides):
        settings = settings_for(server, **{"timeouts": Timeouts(), **overrides})  # the machine is busy
        engine = Engine(settings, journal=journal, workers=workers, priority=priority)
        async with engine:
            pids = pids_of(engine)
            assert len(pids) == workers
            yield engine
        assert [pid for pid in pids if is_alive(pid)] == []

    return opened


class Book:
    """A journal that writes down each call when it begins and when it has returned.

    `at` maps a call's name to what is awaited in it: it may wait, or raise.
    """

    def __init__(self, **at: Callable[[Any], Awaitable[None]]) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.began: list[str] = []
        self.at = at

    async def _note(self, name: str, what: Any) -> None:
        self.began.append(name)
        await asyncio.sleep(0)
        if name in self.at:
            await self.at[name](what)
        self.calls.append((name, what))

    async def intent(self, intent: Any) -> None:
        await self._note(f"intent_{intent.step}", intent)

    async def uploaded(self, uploaded: Any) -> None:
        await self._note("uploaded", uploaded)

    async def result(self, row: str | None, receipt: Any) -> None:
        await self._note("result", receipt)

    @property
    def statuses(self) -> dict[str, str]:
        """What the last result of each document was."""
        return {receipt.document_id: receipt.status for name, receipt in self.calls if name == "result"}

    @property
    def intended(self) -> set[str]:
        """Documents whose message was allowed to become whole."""
        return {what.document_id for name, what in self.calls if name == "intent_message"}


class Gate:
    """A place in a journal where a test holds a send up: `reached`, until `open` is set."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    async def __call__(self, _: object) -> None:
        self.reached.set()
        await self.open.wait()
