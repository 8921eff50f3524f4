"""Rows in doubt, decided: by a person, or by a question to the destination.

The one rule: nothing is sent here. A row is marked as sent, or queued for the next run, which sends the
same message to the byte; that it may be a duplicate stands in the ledger before that.
"""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from ..aio import Lane, Shared
from ..errors import ConfigError, TransferError
from ..redox.search import Presence
from .journal import now_ms
from .row import State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from .asking import Asker
    from .ledger import Ledger, LedgerReader
    from .row import Claimed, Recovered, RowReceipt

AT_ONCE: Final = 64
"""Rows that are decided side by side: their steps share commits."""
MOST: Final = 200
"""Row numbers that are listed; all are counted."""


class Resolved(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided.

    Attributes:
        sent: Rows that are `done` now.
        queued: Rows that the next run sends again.
        left: Rows that stay in doubt, by why.
        left_rows: The first of those.
    """

    sent: int
    queued: int
    left: dict[str, int]
    left_rows: tuple[int, ...]


class Resolver:
    """Decides about rows in doubt.

    Cancelled, the rows that were decided stay decided, and the others stay in doubt.

    Args:
        ledger: Open for writing: no run goes on meanwhile.
        reader: Of the same ledger.
        rows: Their numbers; None for all rows in doubt.
    """

    def __init__(self, ledger: Ledger, reader: LedgerReader, rows: Sequence[int] | None = None) -> None:
        self._ledger = ledger
        self._reader = reader
        self._rows = None if rows is None else sorted(set(rows))
        self._sent = 0
        self._queued = 0
        self._left: Counter[str] = Counter()
        self._left_rows: list[int] = []

    async def recover(self) -> Recovered:
        """Put in doubt what a killed run left behind with an unknown outcome; call it first.

        Raises:
            LedgerError: The ledger failed.
        """
        return await self._ledger.take_over(f"resolve-{uuid.uuid4().hex}", now_ms())

    async def mark_sent(self) -> Resolved:
        """Somebody found them at the receiver: they are `done`.

        Raises:
            ConfigError: One of the rows is not in doubt; nothing was decided.
            LedgerError: The ledger failed.
        """
        return await self._decide(self._mark_sent)

    async def send_again(self) -> Resolved:
        """Queue them for the next run, each listed as a possible duplicate first.

        Raises:
            ConfigError: One of the rows is not in doubt; nothing was decided.
            LedgerError: The ledger failed.
        """
        return await self._decide(self._queue)

    async def ask(self, asker: Asker) -> Resolved:
        """Ask the destinations: what is there is `done`, what is not is queued, the rest is left.

        Raises:
            ConfigError: One of the rows is not in doubt; nothing was decided.
            LedgerError: The ledger failed.
            TransferError: The credentials were refused, or a setting is wrong.
        """

        async def one(claimed: Claimed, receipt: RowReceipt | None) -> None:
            answer = await asker.ask(claimed, receipt)
            if answer.presence is Presence.FOUND:
                await self._ledger.sent(claimed.row, decided_by="query", now_ms=now_ms())
                self._sent += 1
            elif answer.presence is Presence.ABSENT:
                await self._queue(claimed, receipt)
            else:
                self._left[answer.why] += 1
                self._left_rows.append(claimed.row)

        return await self._decide(one)

    async def _mark_sent(self, claimed: Claimed, _: RowReceipt | None) -> None:
        await self._ledger.sent(claimed.row, decided_by="person", now_ms=now_ms())
        self._sent += 1

    async def _queue(self, claimed: Claimed, _: RowReceipt | None) -> None:
        await self._ledger.send_again(claimed.row, None, now_ms=now_ms())
        self._queued += 1

    async def _decide(self, one: Callable[[Claimed, RowReceipt | None], Awaitable[None]]) -> Resolved:
        lane, shared = Lane(threads=1, name="chartsend-resolve"), Shared(lambda: None)
        try:
            await lane.run(shared, self._check)
            doubts = self._doubts()
            while some := await lane.run(shared, lambda: list(itertools.islice(doubts, AT_ONCE))):
                await _together(one, some)
        finally:
            await lane.aclose()
        return Resolved(
            sent=self._sent,
            queued=self._queued,
            left=dict(self._left.most_common()),
            left_rows=tuple(sorted(self._left_rows)[:MOST]),
        )

    def _check(self) -> None:
        """Every row that was named is in doubt."""
        strangers = [row for row in self._rows or () if not self._is_in_doubt(row)]
        if strangers:
            some = ", ".join(map(str, strangers[:10])) + (" …" if len(strangers) > 10 else "")
            raise ConfigError(f"not in doubt: row {some}; `batch resolve` lists those that are")

    def _is_in_doubt(self, row: int) -> bool:
        found = next(self._reader.rows(State.IN_DOUBT, row - 1), None)
        return found is not None and found.row == row

    def _doubts(self) -> Iterator[tuple[Claimed, RowReceipt | None]]:
        if self._rows is None:
            yield from self._reader.settled(State.IN_DOUBT)
            return
        for row in self._rows:
            yield from itertools.islice(self._reader.settled(State.IN_DOUBT, row - 1), 1)


async def _together(
    one: Callable[[Claimed, RowReceipt | None], Awaitable[None]],
    some: Sequence[tuple[Claimed, RowReceipt | None]],
) -> None:
    """Decide about rows side by side; the first failure ends the others, and is raised as it is."""
    failures: list[TransferError] = []
    async with anyio.create_task_group() as together:

        async def guarded(claimed: Claimed, receipt: RowReceipt | None) -> None:
            try:
                await one(claimed, receipt)
            except TransferError as exc:
                failures.append(exc)
                together.cancel_scope.cancel()

        for claimed, receipt in some:
            together.start_soon(guarded, claimed, receipt)
    if failures:
        raise failures[0]
