"""What one call of `batch run` does, from its options to its exit code.

The one rule: the ledger has the last word. Whatever ended the run, the counts at the end and the exit
code are read from it, after everything was closed.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Final

import anyio

from ...batch.batch import Batch, requests_per_s
from ...errors import ConfigError, LedgerError, TransferError
from ...workers.count import most_workers, workers_for
from ..exits import SOME_FAILED, of_batch, of_error
from ..progress import make_bar, say
from .counting import Counting
from .events import Events
from .flow import Flow
from .hints import Hints
from .opening import ready
from .plan_text import advice, in_one_line, made_up_line, reasons_line, rejected_lines
from .preparing import Preparing, plan_fields
from .rejects import REJECTED
from .summing import Summary, taken_over
from .trial import Lacking, lacking
from .watch import Watch, leave_if_stuck

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...batch.run import Runner
    from ...batch.status import BatchStatus
    from ..asked import Asked
    from ..progress import Bar
    from .opening import Ready
    from .options import Given
    from .preparing import Prepared

END_S: Final = 10.0
"""How long reading the last counts and writing the last events may take."""


class Running:
    """One call of `batch run`."""

    def __init__(self, asked: Asked, given: Given) -> None:
        self._asked = asked
        self._given = given

    def run(self) -> int:
        """Do it, and give the exit code.

        Raises:
            TransferError: Nothing could be begun: an option or a setting is wrong.
        """
        if sys.stdout is None:
            raise ConfigError("stdout is closed; events need it, if only to be thrown away")
        with ready(self._asked, self._given) as prepared_for:
            lacks = lacking(prepared_for, self._given) if prepared_for.is_trial else Lacking()
            # Events on the same terminal would run into a live display.
            bar = None if self._given.as_json and sys.stdout.isatty() else make_bar()
            one = _Run(self._given, prepared_for, bar, lacks)
            with bar or contextlib.nullcontext():
                anyio.run(one.run)
            code = one.tell()
        leave_if_stuck(code)
        return code


class _Run:
    """What stands in one run: the plan, the sends, the end."""

    def __init__(self, given: Given, ready: Ready, bar: Bar | None, lacks: Lacking) -> None:
        self._given = given
        self._ready = ready
        self._lacks = lacks
        self._bar = bar
        self._events = Events(is_on=given.as_json)
        self._preparing = Preparing(given, bar)
        self._tick: Callable[[], Awaitable[None]] | None = self._preparing.tick
        self._watch = Watch(self._ticked)
        self._summary = Summary(Hints(given))
        self._runner: Runner | None = None
        self._status: BatchStatus | None = None
        self._failure: TransferError | None = None

    async def run(self) -> None:
        """Plan and send; whatever happens, end in an orderly way."""
        try:
            try:
                await self._watch.run(self._work)
            except TransferError as error:
                self._failure = error
            with anyio.move_on_after(END_S):  # stdout, or the ledger's disk, may be what hangs
                await self._end()
        finally:
            await self._events.aclose()

    def tell(self) -> int:
        """Say what it came to, and give the exit code."""
        if self._failure is not None:
            say(f"chartsend: {self._failure.message}")
        if self._status is not None and (self._failure is None or self._runner is not None):
            self._summary.statistics = None if self._runner is None else self._runner.statistics
            self._summary.tell(self._status, self._runner, is_trial=self._ready.is_trial)
        return self._code()

    async def _ticked(self) -> None:
        if self._tick is not None:
            await self._tick()

    async def _work(self) -> None:
        ready = self._ready
        async with (
            Batch.open(
                ready.manifest, ready.settings, ready.options, ledger=ready.ledger, form=self._given.form
            ) as batch,
            Counting(batch.directory) as counting,
        ):
            self._summary.first_seq = await counting.receipts()
            prepared = await self._preparing.plan(batch)
            await self._say_plan(prepared)
            if not self._has_work(prepared):
                return
            workers = self._workers(prepared)
            self._runner = runner = await batch.runner(workers=workers)
            flow = Flow(
                runner,
                counting,
                events=self._events,
                bar=self._bar,
                requests_per_s=requests_per_s(ready.settings),
            )
            self._tick, self._watch.stop = flow.tick, runner.stop
            try:
                await self._send(runner, flow)
            finally:
                self._tick = None

    def _has_work(self, prepared: Prepared) -> bool:
        """Whether something can be sent, taken over, or decided about."""
        status, policy = prepared.status, self._ready.options.on_unknown
        rows = status.rows
        return bool(rows.pending or status.cut_off or (rows.in_doubt and policy != "hold"))

    def _workers(self, prepared: Prepared) -> int:
        """How many were asked for, or the rows left are worth; a private sandbox is busy first."""
        asked, settings, plan = self._given.workers, self._ready.settings, prepared.plan
        pending = prepared.status.rows.pending
        if asked:
            return min(asked, most_workers(settings, documents=max(1, pending)))
        if self._ready.is_trial:
            return 1
        return workers_for(
            settings,
            documents=pending,
            mean_bytes=plan.size_bytes / max(1, plan.accepted),
            backfill=True,
        )

    async def _say_plan(self, prepared: Prepared) -> None:
        plan = prepared.plan
        is_trial = self._ready.is_trial
        fields = plan_fields(prepared, is_trial=is_trial, made_up_rows=self._lacks.rows)
        await self._events.event("plan", **fields)
        where = "" if is_trial else f"see {REJECTED} in the ledger's directory"
        say(in_one_line(plan, where=where))
        for line in (
            *made_up_line(self._lacks),
            *reasons_line(plan),
            *rejected_lines(plan, prepared.first_rejected, is_trial=is_trial),
        ):
            say(line)
        for line in advice(plan, self._ready.settings, to=self._ready.options.to):
            say(line)
        if not plan.rows:
            say("Nothing to do: the manifest has no rows.")
        elif not self._has_work(prepared):
            say("Nothing is left to send.")

    async def _send(self, runner: Runner, flow: Flow) -> None:
        async with runner.run() as settled:
            for line in taken_over(runner.recovered):
                say(line)
            async for each in settled:
                flow.settled += 1
                self._summary.add(each)
                await self._events.row(each)
                if self._events.broken is not None:
                    self._watch.drain(self._events.broken)

    async def _end(self) -> None:
        """Read from the ledger what it came to, and write the last events."""
        with contextlib.suppress(LedgerError):  # there is none yet, or it is what failed
            async with Counting(self._ready.ledger) as counting:
                self._status = await counting.status(is_running=False)
                if self._given.as_json and self._summary.first_seq is not None:
                    await self._tell_unheard(counting, self._summary.first_seq)
        reason, fatal = None, None
        if self._runner is not None:
            reason, fatal = self._runner.reason, self._runner.fatal
        error = self._failure or fatal
        await self._events.event(
            "end",
            exit_code=self._code(),
            rows=None if self._status is None else self._status.rows,
            reason=reason,
            error=error and {"code": error.code, "message": error.message},
        )

    async def _tell_unheard(self, counting: Counting, first_seq: int) -> None:
        """Events for rows whose end came too late to be heard of: a take-over, or a cancellation."""
        async for receipt in counting.receipts_after(first_seq):
            if not self._summary.has_heard_of(receipt.row):
                await self._events.settled_unheard(receipt)

    def _code(self) -> int:
        signal = self._watch.signal
        if self._failure is not None:
            return signal or of_error(self._failure)
        if self._status is None:
            return signal or SOME_FAILED
        return of_batch(
            self._status.rows,
            signal=signal,
            fatal=self._runner.fatal if self._runner else None,
            unwritten=self._events.broken is not None,
        )
