"""Running a planned batch: rows out of the ledger, through the engine, and settled in the ledger.

The one rule: every claimed row ends settled, scheduled, or given back, whatever ends the run; only
what was provably not applied is ever sent again without a word.
"""

from __future__ import annotations

import datetime as dt
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio
import msgspec

from ..aio import Lane, Shared, finish
from ..document import Receipt
from ..engine import Engine
from ..errors import LedgerError, ManifestError, RowRejectedError, TransferError, Verdict
from ..pool import Pool
from ..send import Earlier
from . import schedule
from .checking import refused
from .doubts import Doubts, wait_ms
from .guard import TROUBLE_S, Canaries, Guard
from .journal import LedgerJournal, ledger_error_of, now_ms
from .loading import Work, load
from .totals import Spending
from .unknown import Unknown

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from ..engine import Statistics
    from ..settings import Settings
    from .checking import Checker, Wanted
    from .guard import Turn
    from .ledger import Ledger, LedgerReader
    from .manifest.reading import Manifest
    from .options import BatchOptions
    from .row import Claimed, Recovered

NOTE_S: Final = 10.0
"""How long giving a row back may take when the run is being cancelled."""
REFERENCE_LIFE_MS: Final = 24 * 3600 * 1000
"""How long an upload that nothing refers to is trusted to be there; Redox does not say."""
LONGEST_WAIT_S: Final = 60.0


class Settled(NamedTuple):
    """A row that ended.

    Attributes:
        row: Its number.
        receipt: As of a single send; it names the source, for the caller's own eyes.
    """

    row: int
    receipt: Receipt


class Runner:
    """One run of a batch. Make one, enter `run` once.

    Args:
        manifest: Open, and the one that was planned.
        ledger: Open for writing.
        reader: The same, for reading.
        checker: Reads rows as they were planned.
        settings: For the engine.
        options: What is asked of rows.
        owner: A name for this run that no other has.
        workers: As for `Engine`.
        lane: Threads for blocking calls.
        recovered: What was taken over from a killed run before this one began.
    """

    def __init__(  # noqa: PLR0913  # the parts of a batch, put together once
        self,
        *,
        manifest: Manifest,
        ledger: Ledger,
        reader: LedgerReader,
        checker: Checker,
        settings: Settings,
        options: BatchOptions,
        owner: str,
        workers: int,
        lane: Lane,
        recovered: Recovered,
    ) -> None:
        self._manifest = manifest
        self._ledger = ledger
        self._doubts = Doubts(reader, manifest, checker, lane=lane)
        self._checker = checker
        self._settings = settings
        self._options = options
        self._owner = owner
        self._workers = workers
        self._lane = lane
        self._shared = Shared(lambda: None)
        self._journal = LedgerJournal(ledger, owner)
        self._guard = Guard()
        self._canaries = Canaries(options.canaries, self._guard)
        self._held: dict[int, Claimed] = {}
        self._in_flight = 0
        self._began_ms = now_ms()
        self._wake = anyio.Event()
        self._spending = Spending(0)
        self.statistics: Statistics | None = None
        self.engine: Engine | None = None
        self.recovered = recovered
        self.is_running = False
        self.unknown: Unknown | None = None
        self.changed_files = 0

    @property
    def reason(self) -> str | None:
        """Why no more rows are taken; None while all is well."""
        return self._guard.reason

    @property
    def fatal(self) -> TransferError | None:
        """The error that every other row would meet too, if one stopped the intake."""
        return self._guard.fatal

    def stop(self, reason: str) -> None:
        """Take no more rows; those under way go on."""
        self._guard.stop(reason)
        self._tell()

    @asynccontextmanager
    async def run(self) -> AsyncGenerator[AsyncIterator[Settled]]:
        """Send every row that is due; give what was settled, as it is settled.

        Ends when no row is left to send, or when the intake stopped and what was under way has
        ended. Cancelled, or left early, it gives back what was provably not applied; the rest is in
        doubt. A slow consumer slows the sends.

        Raises:
            LedgerError: The ledger failed: nothing more is sent and nothing is claimed.
            TransferError: A setting is wrong; nothing was sent.
        """
        taken = await self._ledger.take_over(self._owner, now_ms())
        self.recovered = self.recovered.plus(taken)
        slots = Pool.of(self._settings)
        engine = Engine(
            self._settings, journal=self._journal, priority="backfill", workers=self._workers
        )
        async with engine:
            self.engine = engine
            unknown = Unknown(self._options.on_unknown, engine, self._ledger, self._owner)
            self.unknown = unknown
            self._spending = spending = Spending(slots.slots)
            # Before anything is sent: killed in its first second, a run has been one all the same.
            await self._ledger.count(spending.since(engine.statistics()))

            async def one(work: Work) -> Settled | None:
                ended = await self._one(work, engine, unknown)
                if spending.is_due:
                    await self._ledger.count(spending.since(engine.statistics()))
                return ended

            self.is_running = True
            try:
                feed = self._feed(slots.slots, unknown)
                async with slots.many(feed, one, is_over=self._is_over) as ended:
                    yield _without_none(ended)
            finally:
                self.statistics = engine.statistics()
                try:
                    await self._give_back_held()
                finally:  # a cancellation is passed on once the rows are back, and must not skip this
                    self.is_running = False
                    await finish(NOTE_S, lambda: self._add_last(spending, engine))

    async def _add_last(self, spending: Spending, engine: Engine) -> None:
        """Add what this run has used to the ledger's totals; a ledger that failed has no use for it."""
        with suppress(LedgerError):
            await self._ledger.count(spending.since(engine.statistics(), is_last=True))

    def _is_over(self) -> bool:
        return self._guard.reason is not None

    async def _decide_old(self, unknown: Unknown) -> None:
        """Rows that were left in doubt are decided as those of this moment are."""
        try:
            await self._doubts.decide(unknown, self._is_over)
        except ManifestError as error:
            self._guard.stop(error.message)

    async def _feed(self, limit: int, unknown: Unknown) -> AsyncGenerator[Work]:
        """Rows that are due, read again from the manifest; waits for the ones that are not yet."""
        await self._decide_old(unknown)
        while not self._is_over():
            is_troubled = self._guard.is_troubled
            if is_troubled:
                await self._calm_down()
            claimed = await self._ledger.claim(self._owner, 1 if is_troubled else limit, now_ms())
            self._held.update((each.row, each) for each in claimed)
            if not claimed:
                if await self._is_finished(unknown):
                    return
                if unknown.is_due and not self._in_flight:
                    await self._decide_old(unknown)
                continue
            try:
                works = await self._lane.run(self._shared, load, claimed, self._manifest, self._checker)
            except ManifestError as error:
                self._guard.stop(error.message)
                return
            for work in works:
                yield work

    async def _is_finished(self, unknown: Unknown) -> bool:
        """Whether nothing is left; otherwise wait until something may be due."""
        busy, wake = self._in_flight, self._wake  # as they were before the ledger was asked
        due_in_ms = wait_ms(unknown, await self._ledger.next_try_ms(), is_busy=busy > 0)
        if due_in_ms is None and not busy:
            return True
        wait_s = LONGEST_WAIT_S if due_in_ms is None else due_in_ms / 1000
        with anyio.move_on_after(min(max(wait_s, 0.0), LONGEST_WAIT_S)):
            await wake.wait()
        return False

    async def _calm_down(self) -> None:
        """Let a server in trouble be for a while, unless a row is accepted meanwhile."""
        with anyio.move_on_after(TROUBLE_S):
            while self._guard.is_troubled and not self._is_over():
                await self._wake.wait()

    def _tell(self) -> None:
        self._wake.set()
        self._wake = anyio.Event()

    async def _one(self, work: Work, engine: Engine, unknown: Unknown) -> Settled | None:
        """One row, from its claim to its settlement."""
        row = work.claimed.row
        self._held.pop(row, None)
        self._journal.begin(work.claimed, has_changed=work.has_changed)
        self._in_flight += 1
        try:
            return await self._sent(work, engine, unknown)
        except LedgerError:
            raise
        except BaseException:
            if self._journal.can_give_back(row):
                await self._give_back([work.claimed])
            raise
        finally:
            self._journal.end(row)
            self._in_flight -= 1
            self._tell()

    async def _sent(self, work: Work, engine: Engine, unknown: Unknown) -> Settled | None:
        wanted = work.wanted
        if wanted is None:
            return await self._gave_up(work.claimed, work.error or RowRejectedError("unreadable"), None)
        self.changed_files += work.has_changed
        async with self._canaries.turn(wanted.to, wanted.document.type) as turn:
            with self._spending.busy():
                return await self._until_ended(work, wanted, engine, unknown, turn)

    async def _until_ended(
        self, work: Work, wanted: Wanted, engine: Engine, unknown: Unknown, turn: Turn
    ) -> Settled | None:
        """Send a row, and again as far as its operator allows, until it ends or the run stops."""
        claimed = work.claimed
        while not self._is_over():
            try:
                receipt = await self._send(claimed, wanted, engine, has_changed=work.has_changed)
            except TransferError as error:
                if (of_ledger := ledger_error_of(error)) is not None:
                    raise of_ledger  # noqa: B904  # it is the cause already
                if error.verdict is not Verdict.IN_DOUBT:
                    return await self._not_applied(claimed, wanted, error, turn)
                decided = await self._decided(
                    claimed, wanted, error, unknown, has_changed=work.has_changed
                )
                if isinstance(decided, Receipt):
                    return Settled(claimed.row, decided)
                claimed = decided
            else:
                turn.was_accepted = True
                self._guard.ended(None)
                return Settled(claimed.row, receipt)
        await self._ledger.release(claimed.row, self._owner, attempts=claimed.attempts)
        return None

    async def _decided(
        self,
        claimed: Claimed,
        wanted: Wanted,
        error: TransferError,
        unknown: Unknown,
        *,
        has_changed: bool,
    ) -> Receipt | Claimed:
        """What becomes of a row in doubt; one that is sent again is ours once more."""
        self._guard.ended(error)
        decided = await unknown.decide(self._journal.begun(claimed.row), wanted, error)
        if not isinstance(decided, Receipt):
            self._journal.end(claimed.row)
            self._journal.begin(decided, has_changed=has_changed)
        return decided

    async def _send(
        self, claimed: Claimed, wanted: Wanted, engine: Engine, *, has_changed: bool
    ) -> Receipt:
        at = claimed.message_ms
        return await engine.send(
            wanted.document,
            to=wanted.to,
            api=wanted.asking.api,
            method=wanted.asking.wish.method,
            model=wanted.asking.model,
            note_text=wanted.asking.wish.note_text,
            deadline_s=self._options.deadline_s,
            row=str(claimed.row),
            message_at=None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.UTC),
            earlier=None if has_changed else self._earlier(claimed),
        )

    def _earlier(self, claimed: Claimed) -> Earlier | None:
        """The row's uploaded file, if it can still be referred to."""
        url, uploaded_ms = claimed.reference_url, claimed.uploaded_ms
        is_ours = claimed.source_id == self._settings.source_id
        if url is None or not uploaded_ms or not is_ours:
            return None
        if now_ms() - uploaded_ms >= REFERENCE_LIFE_MS and not claimed.maybe_duplicate:
            return None
        sha256 = None if claimed.sha256 is None else claimed.sha256.hex()
        return Earlier(reference_url=url, size_bytes=claimed.size_bytes, sha256=sha256)

    async def _not_applied(
        self, claimed: Claimed, wanted: Wanted, error: TransferError, turn: Turn
    ) -> Settled | None:
        """What becomes of a row whose last message was provably not applied."""
        attempts = claimed.attempts + _attempts_of(error)
        if self._guard.concerns_all(error):
            await self._ledger.release(claimed.row, self._owner, attempts=attempts)
            return None
        if error.verdict is Verdict.RETRY:
            wait = schedule.wait_s(error, claimed.tries)
            give_up_s = self._options.give_up_after_s
            since_ms = max(claimed.first_tried_ms, self._began_ms)
            if not schedule.is_over(since_ms, now_ms(), wait, give_up_s):
                await self._ledger.retry_at(
                    claimed.row,
                    self._owner,
                    next_try_ms=now_ms() + round(wait * 1000),
                    attempts=attempts,
                    error_code=error.code,
                )
                self._guard.scheduled()
                return None
        turn.was_refused = error.verdict is not Verdict.RETRY
        return await self._gave_up(claimed, error, wanted)

    async def _gave_up(self, claimed: Claimed, error: TransferError, wanted: Wanted | None) -> Settled:
        """Settle a row for good. One that was sent before and may be there stays in doubt."""
        known = error.receipt
        receipt = known if isinstance(known, Receipt) else refused(error, wanted)
        if claimed.maybe_duplicate:
            receipt = msgspec.structs.replace(receipt, status="in_doubt")
        settled = self._journal.receipt(claimed, receipt)
        if error.verdict is Verdict.RETRY and self._journal.may_have_uploaded(claimed.row):
            settled = msgspec.structs.replace(settled, orphans=1)
        await self._ledger.settle(settled, self._owner)
        self._guard.ended(error)
        return Settled(claimed.row, receipt)

    async def _give_back_held(self) -> None:
        held, self._held = list(self._held.values()), {}
        if held:
            await self._give_back(held)

    async def _give_back(self, rows: list[Claimed]) -> None:
        """Give rows back although the run is being cancelled."""

        async def release() -> None:
            for each in rows:
                await self._ledger.release(each.row, self._owner, attempts=each.attempts)

        await finish(NOTE_S, release)


async def _without_none(ended: AsyncIterator[Settled | None]) -> AsyncIterator[Settled]:
    async for each in ended:
        if each is not None:
            yield each


def _attempts_of(error: TransferError) -> int:
    """Requests made by the send that ended so."""
    return error.receipt.attempts if isinstance(error.receipt, Receipt) else 0
