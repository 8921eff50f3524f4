"""Rows that an earlier run left in doubt, or this one a while ago, decided as rows of this moment are.

The one rule: nobody works on a row that is decided here: it is done before the first row is claimed, and
later only while nothing is in flight.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from ..aio import Shared
from .journal import now_ms
from .loading import load
from .row import State

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..aio import Lane
    from .checking import Checker
    from .ledger import LedgerReader
    from .manifest.reading import Manifest
    from .row import Claimed, RowReceipt
    from .unknown import Unknown

AT_ONCE: Final = 100
"""Rows that are looked at in one visit to a thread."""


class Doubts:
    """Goes over all rows in doubt.

    Args:
        reader: Of the ledger.
        manifest: Open, and the one that was planned.
        checker: Reads rows as they were planned.
        lane: Threads for blocking calls.
    """

    def __init__(
        self, reader: LedgerReader, manifest: Manifest, checker: Checker, *, lane: Lane
    ) -> None:
        self._reader = reader
        self._manifest = manifest
        self._checker = checker
        self._lane = lane
        self._shared = Shared(lambda: None)

    async def decide(self, unknown: Unknown, is_over: Callable[[], bool]) -> None:
        """Decide about each, unless the run is over.

        Raises:
            ManifestError: The manifest, or the profile, is no longer what it was when they were sent.
            LedgerError: The ledger failed.
        """
        unknown.ask_again_ms = None
        after = 0
        while not (unknown.only_holds or is_over()):
            rows = await self._lane.run(self._shared, self._in_doubt, after)
            if not rows:
                return
            receipts = {claimed.row: receipt for claimed, receipt in rows}
            claimed = [each for each, _ in rows]
            works = await self._lane.run(self._shared, load, claimed, self._manifest, self._checker)
            for work in works:
                if work.wanted is not None and not is_over():
                    receipt = receipts[work.claimed.row]
                    await unknown.decide_later(work.claimed, work.wanted, receipt)
            after = claimed[-1].row

    def _in_doubt(self, after: int) -> list[tuple[Claimed, RowReceipt | None]]:
        return list(itertools.islice(self._reader.settled(State.IN_DOUBT, after), AT_ONCE))


def wait_ms(unknown: Unknown, next_try_ms: int | None, *, is_busy: bool) -> int | None:
    """Milliseconds until a row is due, or can be asked about; None when none will be.

    Args:
        unknown: Says when the destinations are to be asked again.
        next_try_ms: When a row's next try is.
        is_busy: Whether rows are in flight; then nobody asks.
    """
    times = [next_try_ms, None if is_busy else unknown.ask_again_ms]
    known = [each for each in times if each is not None]
    return min(known) - now_ms() if known else None
