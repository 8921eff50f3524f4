"""A batch, opened: its manifest, its ledger, and what can be done with the two.

The one rule: whoever opens closes, and nothing is sent before everything has been planned.
"""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from ..aio import Lane, Shared, close_within
from ..transport.quota import read_state
from . import facts as f
from .checking import Checker
from .earlier import EarlierLedgers, marks_of, not_heard
from .journal import now_ms
from .manifest.reading import Manifest
from .naming import root_of
from .options import BatchOptions, check_unchanged
from .planning import Planner, summarise
from .row import Recovered
from .run import Runner, Settled
from .sqlite import SqliteLedger, SqliteReader
from .where import ledger_of

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from ..settings import Settings
    from .facts import BatchPlan
    from .ledger import Ledger, LedgerReader
    from .row import State

_OPTION_BYTES: Final = 8
_THREADS: Final = 2
CLOSE_S: Final = 30.0
"""How long the last commit may take; the lock is held until it has ended."""


class Batch:
    """Many documents from a manifest, durably. Open one with `Batch.open`.

    Attributes:
        directory: Where its ledger lies.
        news: What a person should hear about the plan: sentences, without names.
    """

    def __init__(  # noqa: PLR0913  # put together by `open` only
        self,
        *,
        directory: Path,
        manifest: Manifest,
        ledger: Ledger,
        reader: LedgerReader,
        settings: Settings,
        options: BatchOptions,
        lane: Lane,
    ) -> None:
        self.directory = directory
        self.news: list[str] = []
        self._manifest = manifest
        self._ledger = ledger
        self._reader = reader
        self._settings = settings
        self._options = options
        self._lane = lane
        self._shared = Shared(lambda: None)
        self._others = EarlierLedgers(ledger, lane=lane)
        self._recovered = Recovered()
        self._runners: list[Runner] = []
        self._checker = Checker(settings, options, ledger.keyed)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        manifest: str | os.PathLike[str],
        settings: Settings,
        options: BatchOptions | None = None,
        *,
        ledger: str | os.PathLike[str] | None = None,
        form: Literal["jsonl", "csv"] | None = None,
    ) -> AsyncGenerator[Batch]:
        """Open a batch, for as long as the block runs; its ledger is made when there is none.

        Args:
            manifest: A JSONL or CSV file.
            settings: Who sends, and where Redox is.
            options: What is asked of rows; nothing by default.
            ledger: Directory of the ledger; default: `MANIFEST.chartsend` beside the manifest.
            form: Of the manifest; None to tell by its name.

        Raises:
            ManifestError: The manifest cannot be used.
            ConfigError: The ledger was made with other options.
            LedgerLockedError: Another process works with the ledger.
            LedgerError: The ledger cannot be used.
        """
        options = options or BatchOptions()
        directory = Path(ledger) if ledger is not None else ledger_of(manifest)
        async with AsyncExitStack() as stack:
            lane = Lane(threads=_THREADS, name="chartsend-batch")
            stack.push_async_callback(lane.aclose)
            shared = Shared(lambda: None)
            # A wrong one is refused before a ledger is made for it.
            (await lane.run(shared, _open_manifest, manifest, options, form)).close()
            written = await SqliteLedger.open(directory, create=True)
            stack.push_async_callback(close_within, CLOSE_S, written.aclose)
            # A folder's listing changes until its batch is held.
            opened = await lane.run(shared, _open_manifest, manifest, options, form)
            stack.callback(opened.close)
            reader = await lane.run(shared, SqliteReader.open, directory)
            stack.callback(reader.close)
            batch = cls(
                directory=directory,
                manifest=opened,
                ledger=written,
                reader=reader,
                settings=settings,
                options=options,
                lane=lane,
            )
            await batch._check_options()
            yield batch

    async def _check_options(self) -> None:
        fixed = self._options.fixed(
            self._settings,
            lambda fact: self._ledger.keyed(b"option", fact, size_bytes=_OPTION_BYTES),
        )
        facts = await self._facts()
        then = f.read_options(facts)
        if then is None:
            sender = (self._settings.source_id, self._options.to)
            root = root_of(self._ledger.keyed, self._manifest)
            facts = {f.OPTIONS: f.packed(fixed), f.SENDER: f.packed(sender), f.ROOT: root}
            await self._ledger.note(facts)
        else:
            check_unchanged(then, fixed)

    async def _facts(self) -> Mapping[str, str]:
        return await self._lane.run(self._shared, self._reader.facts)

    async def plan(
        self,
        *,
        again: frozenset[State] = frozenset(),
        on_progress: Callable[[int], None] | None = None,
    ) -> BatchPlan:
        """Read and check every row, without one request. Cheap when that was done already.

        Stopped, or killed, it goes on where it was when it is called again. Called again at any time,
        it also rejects what another ledger of this user has sent since (unless `sends_again`). What it
        found that a person should hear is in `news`.

        Args:
            again: States whose rows are looked at again although they were settled: `FAILED`,
                `REJECTED`.
            on_progress: Told how many rows have been gone over, every few hundred.

        Raises:
            ManifestError: The manifest is broken, or lost rows that were planned.
            LostRowError: A row that was sent has changed.
            ConfigError: A setting is wrong for every row.
            LedgerError: The ledger failed.
        """
        facts = await self._facts()
        self._note_embed_limit(facts)
        is_planned = await self._is_planned(facts)
        looks_again = await self._look_again(again)
        plan = f.read_plan(facts)
        if is_planned and not looks_again and plan is not None:
            return await self._without_sent(plan, facts)
        is_this_one = is_planned or facts.get(f.SNAPSHOT) == f.snapshot_of(self._manifest.snapshot)
        has_changed = not is_this_one and f.SNAPSHOT in facts
        if has_changed:
            self.news.append("The manifest changed since it was planned; it is gone over again.")
        if looks_again or not is_this_one:
            facts = await self._begin_anew()
        await self._take_over()
        planner = Planner(
            self._manifest, self._ledger, self._checker, lane=self._lane, on_progress=on_progress
        )
        start = f.read_position(facts)
        if start is not None:
            self.news.append(f"Planning goes on at row {start.line}.")
        await planner.plan(start)
        if has_changed:
            self.news.append(f"Rows that changed: {planner.changed:,}; new ones: {planner.new:,}.")
        return await self._finish_plan()

    async def _look_again(self, again: frozenset[State]) -> bool:
        """Make rows of these states unplanned; whether there were any."""
        counts = await self._lane.run(self._shared, self._reader.counts)
        if not any(counts[state] for state in again):
            return False
        # Before the first of them goes: killed from here on, planning begins anew and finds it missing.
        await self._ledger.note({f.POSITION: None, f.PLAN: None})
        await self._ledger.plan_again(again)
        return True

    async def _take_over(self) -> None:
        """Free what a killed run had claimed, so that it can be corrected and compared like the rest."""
        if not any(each.is_running for each in self._runners):
            found = await self._ledger.take_over(f"plan-{uuid.uuid4().hex}", now_ms())
            self._recovered = self._recovered.plus(found)

    async def _without_sent(self, plan: BatchPlan, facts: Mapping[str, str]) -> BatchPlan:
        """The plan without the rows that other ledgers have sent since it was made."""
        others = [] if self._options.sends_again else await self._others.look()
        await self._tell_of_missing(told=f.read_missing(facts))
        fresh = not_heard(others, f.read_heard(facts))
        if not fresh:
            return plan
        await self._ledger.note({f.PLAN: None})  # killed from here on, its counts are made anew
        await self._take_over()
        rejected = await self._others.reject_sent(fresh)
        if rejected:
            self.news.append(
                f"Rows that another batch of yours has sent since this was planned: {rejected:,}."
            )
            plan = await self._summarised()
        await self._ledger.note({f.PLAN: f.packed(plan), f.HEARD: f.packed(marks_of(others))})
        return plan

    async def _tell_of_missing(self, *, told: int) -> None:
        """Say how many ledgers are not there, when those are more than was told before."""
        if self._options.sends_again:
            return  # nobody was asked
        missing = self._others.missing
        if missing > told:
            self.news.append(
                "Ledgers of your list that are not there any more, or not where they were:"
                f" {missing:,}. What was sent from them is not recognised."
            )
        if missing != told:
            await self._ledger.note({f.MISSING: str(missing)})

    async def _summarised(self) -> BatchPlan:
        per_s = requests_per_s(self._settings)
        return await self._lane.run(self._shared, lambda: summarise(self._reader, requests_per_s=per_s))

    async def _is_planned(self, facts: Mapping[str, str]) -> bool:
        """Whether the manifest is the planned one; a mere copy of it is."""
        if f.PLAN not in facts:
            return False
        snapshot = f.snapshot_of(self._manifest.snapshot)
        if facts.get(f.SNAPSHOT) == snapshot:
            return True
        digest = await self._lane.run(self._shared, self._manifest.sha256)
        if digest.hex() != facts.get(f.SHA256):
            return False
        await self._ledger.note({f.SNAPSHOT: snapshot})
        return True

    async def _begin_anew(self) -> dict[str, str]:
        """Forget how far planning came, not what it found."""
        await self._ledger.note(
            {f.SNAPSHOT: f.snapshot_of(self._manifest.snapshot), f.POSITION: None, f.PLAN: None}
        )
        return {}

    def _note_embed_limit(self, facts: Mapping[str, str]) -> None:
        then, now = facts.get(f.EMBED_UP_TO), str(self._settings.limits.embed_up_to_bytes)
        if then is not None and then != now:
            self.news.append(
                f"--embed-up-to was {then} bytes when this was planned and is {now} now: routes are"
                " chosen anew as rows are sent, and the plan's counts are of then."
            )

    async def _finish_plan(self) -> BatchPlan:
        others = [] if self._options.sends_again else await self._others.look()
        await self._ledger.reject_duplicates()
        await self._others.reject_sent(others)
        await self._tell_of_missing(told=0)
        digest = await self._lane.run(self._shared, self._manifest.sha256)
        await self._lane.run(self._shared, self._manifest.check_unchanged)
        plan = await self._summarised()
        await self._ledger.note(
            {
                f.PLAN: f.packed(plan),
                f.HEARD: f.packed(marks_of(others)),
                f.SHA256: digest.hex(),
                f.POSITION: None,
                f.EMBED_UP_TO: str(self._settings.limits.embed_up_to_bytes),
            }
        )
        return plan

    @asynccontextmanager
    async def run(self, *, workers: int = 1) -> AsyncGenerator[AsyncIterator[Settled]]:
        """Plan what is not planned, then send every row that is due, and give what was settled.

        `async with batch.run() as settled: async for row, receipt in settled`. See `Runner.run`.

        Args:
            workers: As for `Engine`; `workers_for` tells how many a plan is worth.

        Raises:
            TransferError: As for `plan` and `Runner.run`.
        """
        await self.plan()
        runner = await self.runner(workers=workers)
        async with runner.run() as settled:
            yield settled

    async def runner(self, *, workers: int = 1) -> Runner:
        """What sends the planned rows; enter its `run` once.

        Args:
            workers: As for `Engine`; `workers_for` tells how many the plan is worth.

        Raises:
            RuntimeError: Nothing was planned: call `plan` first.
        """
        if f.PLAN not in await self._facts():
            raise RuntimeError("the batch is not planned: await batch.plan() first")
        await self._ledger.note({f.STARTED: str(now_ms())})
        runner = Runner(
            manifest=self._manifest,
            ledger=self._ledger,
            reader=self._reader,
            checker=self._checker,
            settings=self._settings,
            options=self._options,
            owner=uuid.uuid4().hex,
            lane=self._lane,
            recovered=self._recovered,
            workers=workers,
        )
        self._runners = [*(each for each in self._runners if each.is_running), runner]
        return runner


def requests_per_s(settings: Settings) -> float:
    """What the quota lets a batch send in the long run, as far as the server has named it; 0: no limit.

    Raises:
        ConfigError: The quota's file is there and cannot be opened, or others may use it.
    """
    quota = read_state(settings)
    if quota.cap is None:
        return 0.0
    return quota.cap * settings.quota_backfill_share / quota.window_s


def _open_manifest(
    path: str | os.PathLike[str], options: BatchOptions, form: Literal["jsonl", "csv"] | None
) -> Manifest:
    return Manifest.open(Path(path), root=options.root, defaults=options.defaults, form=form)
