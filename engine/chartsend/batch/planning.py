"""Planning: every row of the manifest is read and checked, and stands in the ledger, before one is sent.

The one rule: planning can be stopped anywhere and goes on where it stopped; a manifest that changed
is gone over again, and what was sent from it stays sent.

Chunks of rows are checked in a thread and committed together with the place where the next chunk
starts. A row that stands in the ledger with the same content costs no look at its file, unless it was
rejected: why may lie in another row, or in its file, and be mended there.
"""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Final

from ..aio import Shared
from ..errors import ManifestError
from . import facts as f
from .manifest.entry import Position
from .row import ROUTES, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..aio import Lane
    from .checking import Checker
    from .facts import BatchPlan
    from .ledger import Ledger, LedgerReader
    from .manifest.entry import Entry
    from .manifest.reading import Manifest
    from .row import Known, Planned

CHUNK_ROWS: Final = 256
"""Checked in one visit to a thread and committed together: about a tenth of a second of work."""
LAST_ROW: Final = 2**62

_log = logging.getLogger("chartsend")


class Planner:
    """Plans one manifest into one ledger.

    Args:
        manifest: Open.
        ledger: Open for writing.
        checker: Checks rows.
        lane: Threads for blocking calls.
        on_progress: Told after every chunk how many rows have been gone over.
    """

    def __init__(
        self,
        manifest: Manifest,
        ledger: Ledger,
        checker: Checker,
        *,
        lane: Lane,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._manifest = manifest
        self._ledger = ledger
        self._checker = checker
        self._lane = lane
        self._on_progress = on_progress
        self.changed = 0
        """Rows whose lines differ from what was planned before."""
        self.new = 0
        """Rows that were not planned before."""

    async def plan(self, start: f.Where | None) -> None:
        """Go over the manifest from `start` to its end.

        Args:
            start: Where an earlier run stopped; None for the beginning.

        Raises:
            ManifestError: The file is broken, or changed while it was read, or no longer has rows
                that were planned.
            LostRowError: A row that was sent changed.
            LedgerError: The ledger failed.
        """
        entries = self._manifest.entries(None if start is None else Position(start.offset, start.line))
        before, seen = 0 if start is None else start.line - 1, 0
        shared = Shared(lambda: None)
        while chunk := await self._lane.run(shared, _next_chunk, entries):
            last = chunk[-1].position.line
            known = await self._ledger.known(before + 1, last)
            self._check_none_gone(known, chunk)
            planned = await self._lane.run(shared, self._checked, chunk, known)
            at = chunk[-1].position  # read again when it goes on from there, and known then
            where = f.packed(f.Where(at.offset, at.line))
            await self._ledger.plan(planned, {f.POSITION: where})
            before, seen = last, seen + len(chunk)
            if self._on_progress is not None:
                self._on_progress(seen)
        await self._check_no_tail(before)

    def _checked(self, chunk: Sequence[Entry], known: Mapping[int, Known]) -> list[Planned]:
        """What is to be planned of a chunk: what is new, changed, moved, or was rejected."""
        planned: list[Planned] = []
        for entry in chunk:
            there = known.get(entry.number)
            if there is not None and there.content == self._checker.content(entry):
                is_settled = there.state is not State.REJECTED
                if is_settled and there.offset == entry.position.offset:
                    continue
            elif there is not None:
                self.changed += 1
            else:
                self.new += 1
            planned.append(self._checker.check(entry))
        self._manifest.check_unchanged()
        return planned

    def _check_none_gone(self, known: Mapping[int, Known], chunk: Sequence[Entry]) -> None:
        gone = set(known) - {entry.number for entry in chunk}
        if gone:
            raise _gone(min(gone))

    async def _check_no_tail(self, last: int) -> None:
        known = await self._ledger.known(last + 1, LAST_ROW)
        if known:
            raise _gone(min(known))


def _gone(row: int) -> ManifestError:
    return ManifestError(
        f"row {row} was planned and is no longer in the manifest: rows may be added at the end or"
        " corrected in place, not removed. Put it back, or give the new manifest a ledger of its own"
        " with --ledger DIR; what was sent already is recognised there"
    )


def _next_chunk(entries: Iterator[Entry]) -> list[Entry]:
    return list(itertools.islice(entries, CHUNK_ROWS))


LIMITS_BYTES: Final = (500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000, 20_000_000)
"""What `--embed-up-to` is tried with to tell what it would save."""


def summarise(reader: LedgerReader, *, requests_per_s: float) -> BatchPlan:
    """Count what was planned. Blocks; reads every row.

    Args:
        reader: Of the ledger.
        requests_per_s: What the quota lets a batch use; 0 for no limit.
    """
    routes = reader.by_route()
    rejected = reader.rejects_by_code()
    accepted = sum(count for count, _ in routes.values())
    requests = sum(ROUTES[number].requests * count for number, (count, _) in routes.items())
    uploads = frozenset(number for number, route in enumerate(ROUTES) if route.method == "upload")
    return f.BatchPlan(
        rows=accepted + sum(rejected.values()),
        accepted=accepted,
        size_bytes=sum(size for _, size in routes.values()),
        requests=requests,
        by_route={" ".join(ROUTES[number]): count for number, (count, _) in sorted(routes.items())},
        rejected=rejected,
        hours=requests / requests_per_s / 3600 if requests_per_s else 0.0,
        uploads_by_limit=reader.rows_up_to(LIMITS_BYTES, uploads),
    )
