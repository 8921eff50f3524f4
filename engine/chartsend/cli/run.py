"""One run of `send`: documents in, receipts out, and an orderly end whatever ends it.

The one rule: nobody is left in the dark. Whatever was under way when a run ends early is waited for
(10 s), and what could not be settled is shown as in doubt.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import anyio

from ..engine import Engine
from ..errors import TransferError
from ..ports import NoJournal
from ..transport.verdicts import FORBIDDEN_IN_A_ROW
from .exits import INTERRUPTED, TERMINATED, USAGE, of_code, stops_the_run
from .progress import TICK_S, Flow, Ticker, say
from .show import say_unwritten

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..document import Api, Document, Model, Receipt
    from ..engine import Statistics
    from ..settings import Settings
    from .intake import Intake
    from .progress import Bar
    from .show import Show
    from .summary import Summary

DRAIN_S: Final = 10.0
"""How long sends under way may still take after a first Ctrl-C."""
LEAVE_S: Final = 2.0
"""How long an orderly end may take after a second one; then the process leaves without it."""
TELL_S: Final = 1.0
"""How long the last receipts may take to be shown: less, so that there is time to name the others."""
ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask for an end; a terminal that closes sends the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is asked of a run.

    Attributes:
        settings: For the engine.
        to: Name of the destination.
        api: As for `Engine.send_many`; so are the next three.
        deadline_s: For each document.
        fail_fast: Start no further document after the first that was not accepted.
        workers: As for `Engine`.
    """

    settings: Settings
    to: str
    api: Api | None = None
    method: Literal["auto", "upload", "embed"] | None = None
    model: Model | None = None
    note_text: bool | None = None
    deadline_s: float = 600.0
    fail_fast: bool = False
    workers: int = 1

    def asked(self) -> dict[str, Any]:
        """The arguments that `send_many` and `plan` have in common."""
        return {
            "to": self.to,
            "api": self.api,
            "method": self.method,
            "model": self.model,
            "note_text": self.note_text,
        }


@dataclass(slots=True)
class _Unheard(NoJournal):
    """A journal that remembers results until they are shown.

    It is the only way to learn what became of a send that was cancelled after its last byte.

    Attributes:
        receipts: Not counted yet.
        counted: Counted, and being shown.
    """

    receipts: dict[str, Receipt] = field(default_factory=dict[str, "Receipt"])
    counted: dict[str, Receipt] = field(default_factory=dict[str, "Receipt"])

    async def result(self, row: str | None, receipt: Receipt) -> None:  # noqa: ARG002
        self.receipts[receipt.document_id] = receipt

    def counts(self, receipt: Receipt) -> None:
        """From now on it is only to be shown."""
        self.receipts.pop(receipt.document_id, None)
        self.counted[receipt.document_id] = receipt

    def shown(self, receipt: Receipt) -> None:
        """It needs no more care."""
        self.counted.pop(receipt.document_id, None)


class Run:
    """A run of `send`. Make one, then await `send` or `plan` once.

    Attributes:
        statistics: The engine's, after the run.
    """

    def __init__(
        self, job: Job, intake: Intake, *, show: Show, summary: Summary, bar: Bar | None
    ) -> None:
        self._job = job
        self._intake = intake
        intake.refuse = self._take
        self._show = show
        self._summary = summary
        self._flow = Flow()
        self._ticker = Ticker(self._flow, summary, bar)
        self._unheard = _Unheard()
        self._work: anyio.CancelScope | None = None
        self._forbidden = 0
        self.statistics: Statistics | None = None

    @property
    def seconds(self) -> float:
        """Since the run was made."""
        return self._flow.seconds

    @property
    def is_stuck(self) -> bool:
        """Whether a blocking call hangs, so that the interpreter would wait for it at exit."""
        parked = self.statistics.parked_calls if self.statistics else 0
        return bool(parked) or self._show.is_writing or self._intake.is_reading

    async def send(self) -> None:
        """Send everything that the intake gives; show and count every receipt.

        Raises:
            TransferError: Nothing could be started: a setting is wrong.
        """
        try:
            try:
                await self._watched(self._send)
            finally:
                await self._tell_the_rest()
            outcome = self._summary.outcome
            outcome.stopped |= self._intake.due > outcome.total  # given, and not begun any more
        finally:
            await self._aclose()

    async def plan(self) -> None:
        """Show what `send` would do, document by document; no request is made.

        Raises:
            TransferError: As for `send`.
        """
        try:
            await self._watched(self._plan)
        finally:
            await self._aclose()

    async def _tell_the_rest(self) -> None:
        """Show what nobody has heard of; what stdout does not take any more is named on stderr."""
        unheard = self._unheard
        with anyio.move_on_after(TELL_S):  # stdout may be what hangs
            for receipt in list(unheard.receipts.values()):
                await self._take(receipt)
        for receipt in unheard.receipts.values():
            self._summary.add(receipt)
        for receipt in (*unheard.counted.values(), *unheard.receipts.values()):
            self._summary.outcome.unwritten += 1
            say_unwritten(receipt)

    async def _aclose(self) -> None:
        await self._show.aclose()
        await self._intake.aclose()

    async def _watched(self, work: Any) -> None:
        """Do the work; a signal, and the clock for the progress display, run beside it."""
        failure: TransferError | None = None
        self._work = anyio.CancelScope()
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._watch_signals)
            beside.start_soon(self._tick)
            with self._work:
                try:
                    await work()
                except TransferError as exc:
                    failure = exc
            beside.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _send(self) -> None:
        async with Engine(
            self._job.settings, journal=self._unheard, workers=self._job.workers
        ) as engine:
            try:
                async with engine.send_many(
                    self._intake,
                    **self._job.asked(),
                    deadline_s=self._job.deadline_s,
                    fail_fast=self._job.fail_fast,
                    is_over=lambda: self._intake.is_stopped,
                    on_progress=self._flow.note,
                ) as receipts:
                    await self._take_all(receipts)
            finally:
                self.statistics = engine.statistics()

    async def _take_all(self, receipts: AsyncIterator[Receipt]) -> None:
        try:
            async for receipt in receipts:
                await self._take(receipt)
        except TransferError:
            if not self._job.fail_fast:  # else it is the first failure, whose receipt was taken
                raise

    async def _plan(self) -> None:
        async with Engine(self._job.settings) as engine:
            try:
                async for document in self._intake:
                    await self._plan_one(engine, document)
            finally:
                self.statistics = engine.statistics()

    async def _plan_one(self, engine: Engine, document: Document) -> None:
        try:
            plan = await engine.plan(document, **self._job.asked())
        except TransferError as exc:
            if of_code(exc.code) == USAGE:
                raise
            await self._take(self._intake.failed(document, exc))
        else:
            self._summary.outcome.planned += 1
            self._summary.planned_bytes += plan.bytes
            self._summary.planned_requests += plan.requests
            await self._show.plan(plan)
            self._check_stdout()

    async def _take(self, receipt: Receipt) -> None:
        """Count and show one receipt, and see whether it ends the run."""
        self._unheard.counts(receipt)
        self._flow.finish(receipt)
        self._summary.add(receipt)
        self._decide(receipt)  # before it is shown, which may take long: others would begin meanwhile
        await self._show.receipt(receipt)
        self._unheard.shown(receipt)
        self._check_stdout()

    def _decide(self, receipt: Receipt) -> None:
        """See whether a receipt ends the run."""
        if receipt.status == "accepted":
            self._forbidden = 0
            return
        code = receipt.error.code if receipt.error else ""
        self._forbidden = self._forbidden + 1 if code == "forbidden" else 0
        if stops_the_run(code) or self._forbidden >= FORBIDDEN_IN_A_ROW:
            self._stop("every other document would be refused for the same reason")
        elif self._job.fail_fast:
            self._stop("a document was not accepted (--fail-fast)")

    def _check_stdout(self) -> None:
        """A line that could not be written ends the run: nobody would learn of the others."""
        if self._show.broken is not None:
            self._summary.outcome.unwritten += 1
            self._drain(self._show.broken)

    def _stop(self, why: str) -> None:
        """Start nothing more; what is under way goes on."""
        if self._intake.stop():
            say(f"stopping: {why}")

    def _drain(self, why: str) -> None:
        """Start nothing more, and give what is under way `DRAIN_S`."""
        self._stop(why)
        if self._work is not None:
            self._work.deadline = min(self._work.deadline, anyio.current_time() + DRAIN_S)

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            self._ticker.tick()

    async def _watch_signals(self) -> None:
        asking = heeded()
        if not asking:
            return
        with anyio.open_signal_receiver(*asking) as signals:
            async for each in signals:
                outcome = self._summary.outcome
                if outcome.signal is None:
                    outcome.signal = INTERRUPTED if each is signal.SIGINT else TERMINATED
                    again = "Ctrl-C again stops it at once"
                    self._drain(f"what is under way gets {DRAIN_S:.0f} s ({again})")
                    continue
                if self._work is not None:
                    self._work.cancel()
                leave_after(LEAVE_S, outcome.signal)


def heeded() -> list[signal.Signals]:
    """The signals that ask, less those that the caller had this process ignore (`nohup`, `&`)."""
    return [each for each in ASKING if signal.getsignal(each) is not signal.SIG_IGN]


def leave_after(seconds: float, exit_code: int) -> None:
    """Leave the process although something hangs, unless it has ended by then."""
    timer = threading.Timer(seconds, leave, (exit_code,))
    timer.daemon = True
    timer.start()


def leave(exit_code: int) -> None:
    """Leave at once, without waiting for threads that hang in the file system."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(exit_code)
