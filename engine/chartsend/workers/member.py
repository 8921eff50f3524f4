"""One worker, as the engine sees it: its process, its line, its jobs.

The one rule: every job hears of its end exactly once, the death of the worker included.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio

from ..aio import Shared, close_within
from . import start
from .job import Job
from .line import Line
from .terms import Said
from .wire import (
    Cancel,
    Counted,
    Ended,
    Logged,
    NeedIntent,
    NeedToken,
    NeedUploaded,
    Outage,
    Progressed,
    Ready,
    Rejected,
)

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from ..aio import Lane
    from ..send import Ask
    from ..transport.meter import Statistics
    from .wire import Begin, FromWorker, ToWorker

CLOSE_S: Final = 2.0
"""How long an idle worker may take to go before it is killed."""

_log = logging.getLogger("chartsend")


class Member:
    """A worker process. Start it with `start`.

    Args:
        process: The process.
        lane: Threads, for waiting for its end.
        reject: Told of tokens that the server refused.
        share: Told of outages, for the other workers.
        has_journal: Whether it waits for what it asks of the journal.

    Attributes:
        is_ready: Whether it takes jobs.
        is_lost: Whether it has gone, and all that it said was heard.
        statistics: All that it did, as far as it has told; None before it told anything.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        *,
        lane: Lane,
        reject: Callable[[str], None],
        share: Callable[[Member, Outage], None],
        has_journal: bool,
    ) -> None:
        self._process = process
        self._has_journal = has_journal
        self._lane = lane
        self._reject = reject
        self._share = share
        self._line: Line | None = None
        self._jobs: dict[int, Job] = {}
        self._given_up: dict[int, asyncio.TimerHandle] = {}
        self._numbers = itertools.count(1)
        self._changed = anyio.Event()
        self._said = Said(self.say)
        self._is_closing = False
        self.is_ready = False
        self.is_lost = False
        self.statistics: Statistics | None = None

    @classmethod
    async def start(
        cls,
        begin: Begin,
        *,
        lane: Lane,
        reject: Callable[[str], None],
        share: Callable[[Member, Outage], None],
    ) -> Member:
        """Start a worker; it is ready some time later.

        Raises:
            OSError: The system has no process or descriptor left.
        """
        started: list[tuple[subprocess.Popen[bytes], socket.socket]] = []
        shared = Shared(lambda: start.discard(started))
        try:
            await lane.run(shared, lambda: started.append(start.start()))
            process, end = started[0]
            member = cls(process, lane=lane, reject=reject, share=share, has_journal=begin.has_journal)
            loop = asyncio.get_running_loop()
            _, member._line = await loop.create_connection(
                lambda: Line(member._hear, member._lost), sock=end
            )
            started.clear()
        finally:
            shared.let_go()
        member.say(begin)
        return member

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def in_flight(self) -> int:
        """Jobs under way."""
        return len(self._jobs)

    def say(self, message: ToWorker) -> None:
        """Say something to the worker."""
        if self._line is not None:
            self._line.say(message)

    async def until_known(self) -> bool:
        """Wait until it is ready, or gone; tell whether it is ready."""
        while not (self.is_ready or self.is_lost):
            await self._changed.wait()
        return self.is_ready

    def begin(self, ask: Ask) -> Job:
        """Let the worker send a document; pair with `end`."""
        job = Job(next(self._numbers), ask, waits=self._has_journal)
        self._jobs[job.number] = job
        self._said.send(job.number, ask)
        return job

    def end(self, job: Job) -> None:
        """Nobody attends to the job any more; one that was given up stays until the worker ends it."""
        if job.number not in self._given_up:
            self._jobs.pop(job.number, None)

    def cancel(self, job: Job) -> None:
        """Let the worker end a job; it says when it has."""
        self.say(Cancel(job.number))

    def give_up(self, job: Job, seconds: float) -> None:
        """Wait no more for a job to end; the worker is killed unless it ends it within `seconds`."""
        if seconds <= 0:
            self.kill()
        elif not self.is_lost:
            loop = asyncio.get_running_loop()
            self._given_up[job.number] = loop.call_later(seconds, self.kill)

    def kill(self) -> None:
        """End the worker at once: it does not answer, and on a disk that hangs it may not even die."""
        self._process.kill()
        if self._line is not None:
            self._line.abort()

    def _hear(self, message: FromWorker) -> None:
        if isinstance(message, NeedIntent | NeedUploaded | NeedToken | Ended | Progressed):
            self._hear_of(message)
        elif isinstance(message, Counted):
            self.statistics = message.statistics
        elif isinstance(message, Logged):
            _log.log(message.level, "%s", message.text)
        elif isinstance(message, Rejected):
            self._reject(message.token)
        elif isinstance(message, Outage):
            self._share(self, message)
        else:
            assert isinstance(message, Ready)  # noqa: S101  # nothing else is left
            self.is_ready = True
            self._tell()

    def _hear_of(self, message: NeedIntent | NeedUploaded | NeedToken | Ended | Progressed) -> None:
        job = self._jobs.get(message.number)
        if job is None:
            return  # nobody attends to it any more
        if isinstance(message, Progressed):
            job.progressed(message.progress)
            return
        job.hear(message)
        if isinstance(message, Ended) and job.number in self._given_up:
            self._given_up.pop(job.number).cancel()
            self.end(job)

    def _lost(self) -> None:
        self.is_ready, self.is_lost = False, True
        if not self._is_closing:
            _log.warning("a worker process has ended unasked; %d sends were under way", self.in_flight)
        if self.statistics is not None:  # what it did stays; what it does has ended
            self.statistics = replace(self.statistics, parked_calls=0, waiting_for=())
        for job in self._jobs.values():
            job.hear(None)
        for number in list(self._given_up):
            self._given_up.pop(number).cancel()
            self._jobs.pop(number)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def aclose(self) -> None:
        """Let the worker go; kill it when it does not."""
        self._is_closing = True
        if self._given_up:
            self.kill()  # it does not answer
        if self._line is not None:
            self._line.close()
        await close_within(
            CLOSE_S + 1.0, lambda: self._lane.run(Shared(lambda: None), _wait, self._process)
        )
        if self._line is not None:
            self._line.abort()
        while not self.is_lost:
            await self._changed.wait()


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(CLOSE_S)
    except subprocess.TimeoutExpired:
        start.end(process)
