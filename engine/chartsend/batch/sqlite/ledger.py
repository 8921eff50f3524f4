"""`SqliteLedger`: the ledger's port on one machine, every method a step for the thread that writes.

The one rule: nothing is decided here. What a method promises stands in the port, how it is kept stands
with the steps.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from ...aio import Lane, Shared
from ..row import State
from . import claims, earlier as others, keys, plans, purging, steps
from .store import OWN_SUMS, SUM, Store
from .writer import Writer

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from typing import Literal, Self

    from ..row import Claimed, Known, Planned, Recovered, RowReceipt


EARLIER: Final = "an earlier ledger"


class _Asking(NamedTuple):
    """Another ledger, and the thread that it is read in."""

    opened: others.Earlier
    lane: Lane
    shared: Shared


class SqliteLedger:
    """The one writer of a ledger. Made by `open`; see `chartsend.batch.ledger.Ledger`."""

    def __init__(self, writer: Writer, key: bytes, directory: Path) -> None:
        self._writer = writer
        self._key = key
        self._directory = directory

    @classmethod
    async def open(cls, directory: str | os.PathLike[str], *, create: bool) -> Self:
        """Open a ledger, and be the only process that does so.

        Args:
            directory: Its directory; made, 0700, with those above it, if it is to be created.
            create: Whether to make a ledger where there is none.

        Cancelled, the ledger is closed again as soon as it is open.

        Raises:
            LedgerLockedError: Another process has it; the text names it.
            LedgerCorruptError: It is damaged, empty, or no ledger at all.
            LedgerFullError: No room to open it.
            LedgerError: There is none, a newer chartsend made it, or it cannot be kept there.
            InsecureConfigError: Somebody else could read or replace it.
            ConfigError: There is no home directory for the user's key.
        """
        place = Path(directory).absolute()  # noqa: ASYNC240  # asks for the working directory only
        writer, key = await Writer.start(place, create=create)
        return cls(writer, key, place)

    async def note(self, facts: Mapping[str, str | None]) -> None:
        """Set facts about the batch."""
        await self._writer.do(Store.note, dict(facts))

    async def count(self, totals: Mapping[str, int]) -> None:
        """Add to totals."""
        if taken := totals.keys() & set(OWN_SUMS):
            raise ValueError(f"the ledger counts {sorted(taken)} itself")
        await self._writer.do(_count, dict(totals))

    def keyed(self, *parts: bytes, size_bytes: int) -> bytes:
        """A hash of the parts under the ledger's key."""
        return keys.keyed(self._key, parts, size_bytes)

    async def known(self, first: int, last: int) -> dict[int, Known]:
        """The rows between two numbers, both included."""
        return await self._writer.do(plans.known, first, last)

    async def plan(self, rows: Sequence[Planned], facts: Mapping[str, str | None]) -> None:
        """Insert rows, or replace plans."""
        await self._writer.do(plans.plan, tuple(rows), dict(facts))

    async def reject_duplicates(self) -> int:
        """Reject rows that are the same document for the same receiver as another one."""
        await self._writer.do(plans.make_index)
        total, after = 0, plans.FIRST_IDENTITY
        while True:
            count, last = await self._writer.do(plans.reject_duplicates, after)
            total += count
            if last is None:
                return total
            after = last

    async def sent_so_far(self, earlier: str, *, name: str = EARLIER) -> str | None:
        """A mark of all that another ledger has sent so far."""
        async with self._asking(earlier, name) as asking:
            if asking is None:
                return None
            with others.told_of(name):
                return await asking.lane.run(asking.shared, asking.opened.so_far)

    async def is_sent_by(self, earlier: str, identity: bytes, *, name: str = EARLIER) -> bool:
        """Whether another ledger has sent a document, or may have."""
        async with self._asking(earlier, name) as asking:
            if asking is None:
                return False
            with others.told_of(name):
                return bool(await asking.lane.run(asking.shared, asking.opened.sent, [identity]))

    async def reject_already_sent(self, earlier: str, *, name: str = EARLIER) -> int:
        """Reject rows that another ledger has sent, or may have sent."""
        await self._writer.do(plans.make_index)
        total, after = 0, plans.FIRST_IDENTITY
        async with self._asking(earlier, name) as asking:
            while asking and (identities := await self._writer.do(others.identities, after)):
                after = identities[-1]
                with others.told_of(name):
                    sent = await asking.lane.run(asking.shared, asking.opened.sent, identities)
                if sent:
                    total += await self._writer.do(others.reject_sent, sent)
        return total

    @asynccontextmanager
    async def _asking(self, earlier: str, name: str) -> AsyncGenerator[_Asking | None]:
        """Another ledger, open in a thread of its own; None when it can say nothing."""
        lane = Lane(threads=1, name="chartsend-earlier")
        shared = Shared(lambda: None)
        try:
            with others.told_of(name):
                opened = await lane.run(shared, self._open_earlier, earlier)
            if opened is None:
                yield None
                return
            try:
                yield _Asking(opened, lane, shared)
            finally:
                with anyio.CancelScope(shield=True):
                    await lane.run(shared, opened.close)
        finally:
            shared.let_go()
            await lane.aclose()

    def _open_earlier(self, earlier: str) -> others.Earlier | None:
        return others.Earlier.open(earlier, key=self._key, ours=self._directory.resolve())

    async def take_over(self, owner: str, now_ms: int) -> Recovered:
        """Make rows that somebody else had claimed ours to go on with."""
        return await self._writer.do(claims.take_over, owner, now_ms)

    async def claim(self, owner: str, limit: int, now_ms: int) -> list[Claimed]:
        """Up to `limit` rows that nobody has."""
        return await self._writer.do(claims.claim, owner, limit, now_ms)

    async def next_try_ms(self) -> int | None:
        """When the first waiting row's next try is."""
        return await self._writer.do(claims.next_try_ms)

    async def uploading(self, row: int, owner: str, *, attempts: int) -> None:
        """The intent to complete the file."""
        await self._writer.do(steps.uploading, row, owner, attempts=attempts)

    async def uploaded(
        self,
        row: int,
        owner: str,
        *,
        reference_url: str,
        source_id: str | None,
        sha256: bytes | None,
        now_ms: int,
    ) -> None:
        """The file was accepted."""
        await self._writer.do(
            steps.uploaded,
            row,
            owner,
            reference_url=reference_url,
            source_id=source_id,
            sha256=sha256,
            now_ms=now_ms,
        )

    async def referencing(  # noqa: PLR0913  # as the port
        self,
        row: int,
        owner: str,
        *,
        attempts: int,
        sha256: bytes | None,
        message_hash: bytes,
        message_ms: int,
        embeds: bool = False,
    ) -> None:
        """The intent to complete the message."""
        await self._writer.do(
            steps.referencing,
            row,
            owner,
            attempts=attempts,
            sha256=sha256,
            message_hash=message_hash,
            message_ms=message_ms,
            embeds=embeds,
        )

    async def settle(self, receipt: RowReceipt, owner: str) -> None:
        """The outcome of a row."""
        await self._writer.do(steps.settle, receipt, owner)

    async def retry_at(
        self, row: int, owner: str, *, next_try_ms: int, attempts: int, error_code: str
    ) -> None:
        """The row waits for its next try."""
        await self._writer.do(
            steps.retry_at,
            row,
            owner,
            next_try_ms=next_try_ms,
            attempts=attempts,
            error_code=error_code,
        )

    async def release(self, row: int, owner: str, *, attempts: int) -> None:
        """The row is given back."""
        await self._writer.do(steps.release, row, owner, attempts=attempts)

    async def send_again(self, row: int, owner: str | None, *, now_ms: int) -> Claimed | None:
        """Sanction that a message which may be in the chart is sent once more."""
        return await self._writer.do(steps.send_again, row, owner, now_ms=now_ms)

    async def sent(self, row: int, *, decided_by: Literal["query", "person"], now_ms: int) -> None:
        """A row in doubt was found at the receiver."""
        await self._writer.do(steps.sent, row, decided_by=decided_by, now_ms=now_ms)

    async def plan_again(self, states: frozenset[State]) -> int:
        """Make failed or rejected rows unplanned."""
        if not states <= {State.FAILED, State.REJECTED}:
            raise ValueError("only failed and rejected rows can be planned again")
        total = 0
        for state in sorted(states):
            after: int | None = 0
            while after is not None:
                count, after = await self._writer.do(plans.plan_again, state, after)
                total += count
        return total

    async def purge(self, before_ms: int) -> int:
        """Forget what old receipts say."""
        total, after = 0, 0
        while True:
            count, last = await self._writer.do(purging.purge, before_ms, after)
            total += count
            if last is None:
                return total
            after = last

    async def aclose(self) -> None:
        """Commit what waits, close, and give up the lock."""
        await self._writer.aclose()


def _count(store: Store, totals: Mapping[str, int]) -> None:
    for name, count in totals.items():
        store.add(SUM + name, count)
