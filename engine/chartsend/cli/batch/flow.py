"""How a run goes: a live display in a terminal, a line every 10 s elsewhere, events for programs.

The one rule: no name of a file or a patient, and nothing that grows with the rows.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Final

from ...errors import LedgerError
from ...settings.quantity import show_seconds, show_size
from ..progress import say
from ..words import verb
from .pace import Pace

if TYPE_CHECKING:
    from ...batch.run import Runner
    from ...batch.status import BatchStatus
    from ...engine import Statistics
    from ..progress import Bar
    from .counting import Counting
    from .events import Events

COUNT_EVERY_S: Final = 1.0
TELL_EVERY_S: Final = 10.0


class Flow:
    """Shows how a run goes.

    Args:
        runner: What runs.
        counting: Counts what the ledger has.
        events: For programs.
        bar: The live display, or None.
        requests_per_s: What the quota lets the batch send; 0 for no limit.
    """

    def __init__(
        self,
        runner: Runner,
        counting: Counting,
        *,
        events: Events,
        bar: Bar | None,
        requests_per_s: float,
    ) -> None:
        self._runner = runner
        self._counting = counting
        self._events = events
        self._bar = bar
        self._quota_per_s = requests_per_s
        self._pace = Pace(requests_per_s)
        self._counted_s = -COUNT_EVERY_S
        self._told_s = self.began_s = time.monotonic()
        self._status: BatchStatus | None = None
        self.settled = 0
        """Rows that ended in this run."""

    async def tick(self) -> None:
        """Called a few times a second while it runs."""
        now_s = time.monotonic()
        if now_s - self._counted_s >= COUNT_EVERY_S:
            self._counted_s = now_s
            with contextlib.suppress(LedgerError):  # whoever writes it will say so
                self._status = await self._counting.status(is_running=True)
            self._pace.note(now_s, rows=self.settled, requests=self._requests)
        if self._status is None:
            return
        if self._bar is not None:
            self._bar.show("\n  ".join(self._lines(self._status)))
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            await self._tell(self._status)

    async def _tell(self, status: BatchStatus) -> None:
        if self._bar is None:
            say(" · ".join(self._lines(status)))
        await self._events.event(
            "progress",
            rows=status.rows,
            waiting=status.waiting,
            rows_per_s=_rounded(self._pace.rows_per_s),
            requests=self._requests,
            requests_per_s=_rounded(self._pace.requests_per_s),
            quota_per_s=round(self._quota_per_s, 2) or None,
            requests_left=status.requests_left,
            left_s=self._left_s(status),
            waiting_for=self._waiting_for,
            stopping=self._runner.reason,
        )

    @property
    def _statistics(self) -> Statistics | None:
        """The engine's: at the end of the run, or now; None before it began."""
        engine = self._runner.engine
        return self._runner.statistics or (None if engine is None else engine.statistics())

    @property
    def _requests(self) -> int:
        now = self._statistics
        return 0 if now is None else now.requests + now.tokens + now.queries

    @property
    def _waiting_for(self) -> tuple[str, ...]:
        now = self._statistics
        return () if now is None else now.waiting_for

    def _left_s(self, status: BatchStatus) -> float | None:
        left_s = self._pace.left_s(rows=status.rows.pending, requests=status.requests_left)
        return None if left_s is None else round(left_s, 1)

    def _lines(self, status: BatchStatus) -> list[str]:
        rows = status.rows
        how = [f"{rows.done:,} of {rows.total - rows.rejected:,} done"]
        how += [f"{rows.failed:,} failed"] if rows.failed else []
        how += [f"{rows.in_doubt:,} in doubt"] if rows.in_doubt else []
        how += [f"{rows.pending:,} to go"]
        waits = verb(status.waiting, "waits for its", "wait for their")
        how += [f"{status.waiting:,} of them {waits} next try"] if status.waiting else []
        fast = [
            *self._rates(),
            show_size(status.bytes),
            show_seconds(time.monotonic() - self.began_s),
        ]
        left_s = self._left_s(status)
        fast += [f"about {show_seconds(left_s)} left"] if left_s else []
        lines = [" · ".join(how), " · ".join(fast)]
        lines += [f"waiting for: {', '.join(self._waiting_for)}"] if self._waiting_for else []
        lines += self._asked_again()
        lines += [f"no more rows are taken: {self._runner.reason}"] if self._runner.reason else []
        return lines

    def _asked_again(self) -> list[str]:
        """Why a run goes on that has nothing left to send: a document may still be on its way."""
        unknown = self._runner.unknown
        in_s = None if unknown is None else unknown.asks_again_in_s
        if in_s is None:
            return []
        return [f"rows in doubt were not there yet; asking again in {show_seconds(in_s)}"]

    def _rates(self) -> list[str]:
        """Speeds, once they are known."""
        rows_per_s, requests_per_s = self._pace.rows_per_s, self._pace.requests_per_s
        if rows_per_s is None or requests_per_s is None:
            return []
        quota = f" of {self._quota_per_s:.1f}" if self._quota_per_s else ""
        return [f"{rows_per_s:.1f} rows/s", f"{requests_per_s:.1f}{quota} requests/s"]


def _rounded(speed: float | None) -> float | None:
    return None if speed is None else round(speed, 2)
