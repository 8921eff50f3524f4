"""What a ledger counts, read beside the process that writes it: rows by state, for people and programs.

The one rule: nothing is counted here. What is shown is what the ledger says, and costs the same
however many rows there are.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Final

from ...aio import Lane, Shared
from ...batch.sqlite import SqliteReader
from ...batch.status import running_pid, status_of
from .listing import ALREADY_SENT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from ...batch.row import RowReceipt
    from ...batch.status import BatchStatus

AT_ONCE: Final = 500


class Counting:
    """A reader of a ledger on a thread of its own; use it with `async with`.

    Args:
        directory: The ledger's.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.lane = Lane(threads=1, name="chartsend-counting")
        self._shared = Shared(lambda: None)
        self._opened: SqliteReader | None = None

    async def __aenter__(self) -> Self:
        try:
            self._opened = await self.lane.run(self._shared, SqliteReader.open, self._directory)
        except BaseException:
            await self.lane.aclose()
            raise
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.lane.aclose()
        if self._opened is not None and not self.lane.running:
            self._opened.close()

    @property
    def reader(self) -> SqliteReader:
        """For `lane`.

        Raises:
            RuntimeError: It is not open.
        """
        if self._opened is None:
            raise RuntimeError("the reader is not open")
        return self._opened

    async def status(self, *, is_running: bool) -> BatchStatus:
        """How far the batch is.

        Args:
            is_running: Whether this process sends its rows now. Otherwise nobody does, unless another
                process has the ledger.
        """

        def read() -> BatchStatus:
            pid = running_pid(self._directory)
            if pid == os.getpid() and not is_running:
                pid = None  # we have the ledger, and send nothing
            return status_of(self.reader, running_pid=pid)

        return await self.lane.run(self._shared, read)

    async def first_rejected(self, limit: int) -> tuple[tuple[int, str, str], ...]:
        """The first rejected rows: number, error code, text; what was already sent is none of them."""

        def first() -> tuple[tuple[int, str, str], ...]:
            wanted = (one for one in self.reader.rejects() if one[1] != ALREADY_SENT)
            return tuple(itertools.islice(wanted, limit)) if limit else ()

        return await self.lane.run(self._shared, first)

    async def receipts(self) -> int:
        """How many receipts there are: the place of the last one in their chain."""
        totals = await self.lane.run(self._shared, self.reader.totals)
        return totals["receipts"]

    async def receipts_after(self, seq: int) -> AsyncGenerator[RowReceipt]:
        """Receipts after a place in the chain, in order; what was purged is left out."""
        found = self.reader.receipts(seq)
        while some := await self.lane.run(self._shared, lambda: list(itertools.islice(found, AT_ONCE))):
            for _, receipt in some:
                if receipt is not None:
                    yield receipt
