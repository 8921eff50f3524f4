"""What runs in a worker: a sender of its own, whose journal and tokens are the engine's.

The one rule: it decides nothing: it does what the line says, tells how that ended, and goes when the
line ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

import anyio

from .crossing import crossable
from .line import Line
from .remote import CURRENT, RemoteJournal, RemoteTokens, Working
from .terms import Heard
from .wire import (
    Begin,
    Cancel,
    Counted,
    Ended,
    Granted,
    Logged,
    Outage,
    Progressed,
    Ready,
    Refused,
    Send,
    Terms,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

    from ..ports import Progress
    from ..send import Ask
    from ..send.assembly import Parts
    from .wire import FromWorker, ToWorker

COUNT_EVERY_S: Final = 0.2
"""How often the engine hears what was done; it also does whenever the last job ends."""


def main() -> None:
    """A worker's life; its standard input is its end of the line."""
    sys.unraisablehook = lambda _: None  # at the end of a process that is killed, nobody reads that
    asyncio.run(_live(socket.socket(fileno=0)))


class _Worker:
    """The jobs of this worker."""

    def __init__(self) -> None:
        self.begin: Begin | None = None
        self.begun = anyio.Event()
        self.ended = anyio.Event()
        self.line: Line | None = None
        self.parts: Parts | None = None
        self.tasks: TaskGroup | None = None
        self._jobs: dict[int, Working] = {}
        self._counted_s = 0.0
        self._heard = Heard()

    def say(self, message: FromWorker) -> None:
        """Say something to the engine."""
        if self.line is not None:
            self.line.say(message)

    def hear(self, message: ToWorker) -> None:
        """Do what the engine says."""
        if isinstance(message, Send):
            assert self.tasks is not None  # noqa: S101  # it said Ready before
            job = self._jobs[message.number] = Working(message.number, self.say)
            # Now: when the task runs, the number of its terms may mean others already.
            ask = self._heard.ask(message, self._telling(job.number) if message.tells_progress else None)
            self.tasks.start_soon(self._do, job, ask)
        elif isinstance(message, Terms):
            self._heard.learn(message)
        elif isinstance(message, Granted | Refused | Cancel):
            self._hear_of(self._jobs.get(message.number), message)
        elif isinstance(message, Outage):
            if self.parts is not None and self.parts.breakers is not None:
                self.parts.breakers.told(message.key, message.what, is_open=message.is_open)
        else:
            self.begin = message
            self.begun.set()

    @staticmethod
    def _hear_of(job: Working | None, message: Granted | Refused | Cancel) -> None:
        if job is None:
            return  # it has ended meanwhile
        if isinstance(message, Cancel):
            job.scope.cancel()
        else:
            job.hear(message)

    async def _do(self, job: Working, ask: Ask) -> None:
        CURRENT.set(job)
        error: BaseException | None = None
        assert self.parts is not None  # noqa: S101  # it said Ready before
        try:
            with job.scope:
                await self.parts.sender.send(ask)
        except Exception as exc:  # noqa: BLE001  # all of it is the engine's to judge
            error = crossable(exc)
        finally:
            del self._jobs[job.number]
        self._count()
        self.say(Ended(job.number, job.receipt, error))

    def _telling(self, number: int) -> Callable[[Progress], None]:
        return lambda progress: self.say(Progressed(number, progress))

    def _count(self) -> None:
        now_s = time.monotonic()
        if self.parts is not None and (not self._jobs or now_s - self._counted_s >= COUNT_EVERY_S):
            self._counted_s = now_s
            self.say(Counted(self.parts.statistics()))


class _Forward(logging.Handler):
    """Log lines go to the engine, which knows where they belong."""

    def __init__(self, say: Callable[[FromWorker], None]) -> None:
        super().__init__()
        self._say = say

    def emit(self, record: logging.LogRecord) -> None:
        self._say(Logged(record.levelno, record.getMessage()))


async def _live(end: socket.socket) -> None:
    worker = _Worker()
    end.setblocking(False)  # the parameter has no name
    loop = asyncio.get_running_loop()
    _, worker.line = await loop.create_connection(lambda: Line(worker.hear, worker.ended.set), sock=end)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_end_with, worker.ended.wait, tasks)
        await worker.begun.wait()
        assert worker.begin is not None  # noqa: S101  # begun says so
        await _work(worker, worker.begin, tasks)


async def _end_with(wait: Callable[[], Awaitable[object]], tasks: TaskGroup) -> None:
    await wait()
    tasks.cancel_scope.cancel()


async def _work(worker: _Worker, begin: Begin, tasks: TaskGroup) -> None:
    from .._version import __version__  # noqa: PLC0415  # it reads metadata
    from ..send.assembly import assemble  # noqa: PLC0415  # the line is up before the slow imports

    if begin.version != __version__:
        print(f"chartsend was changed to {__version__} while it ran: start it anew", file=sys.stderr)  # noqa: T201
        tasks.cancel_scope.cancel()
        return
    assert worker.line is not None  # noqa: S101  # it heard begin
    logger = logging.getLogger("chartsend")
    logger.setLevel(begin.log_level)
    logger.addHandler(_Forward(worker.say))
    logger.propagate = False
    settings = begin.settings
    async with AsyncExitStack() as stack:
        worker.parts = parts = await assemble(
            stack,
            settings,
            journal=RemoteJournal(worker.say, worker.line.deliver, is_kept=begin.has_journal),
            tokens=RemoteTokens(worker.say, refresh_margin_s=settings.auth.refresh_margin_s),
            priority=begin.priority,
            chunk_bytes=begin.chunk_bytes,
            sends=begin.sends,
        )
        if parts.breakers is not None:
            parts.breakers.share(
                begin.workers,
                lambda key, what, is_open: worker.say(Outage(key, what, is_open)),
            )
        worker.tasks = tasks
        worker.say(Ready())
        await anyio.sleep_forever()
