"""Everything that lives while an engine's block runs: slots, parts, workers.

The one rule: whoever opens closes, in the opposite order, whatever ended the block.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .errors import TransferError
from .pool import Pool
from .ports import NoJournal
from .send.assembly import assemble

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from .document import Document, Receipt
    from .ports import Journal, Priority
    from .send import Ask, Asking
    from .send.assembly import Parts
    from .settings import Settings
    from .transport.meter import Statistics
    from .workers.crew import Crew


@dataclass(frozen=True, slots=True)
class Opened:
    """An open engine.

    Attributes:
        loop: The event loop it belongs to.
        closing: Closes all of it.
        pool: Permission to send, for this process and its workers together.
        parts: What sends from this process.
        crew: What sends from others; None without workers.
    """

    loop: asyncio.AbstractEventLoop
    closing: AsyncExitStack
    pool: Pool
    parts: Parts
    crew: Crew | None

    @classmethod
    async def make(
        cls, settings: Settings, journal: Journal, *, priority: Priority, workers: int
    ) -> Opened:
        """Open an engine.

        Raises:
            ConfigError: A setting cannot be used.
            WorkerLostError: A worker did not start.
        """
        pool = Pool.of(settings)
        async with AsyncExitStack() as stack:
            parts = await assemble(
                stack,
                settings,
                journal=journal,
                priority=priority,
                chunk_bytes=pool.chunk_bytes,
                sends=pool.slots,
            )
            crew = None
            if workers > 1:
                crew = await _crew(stack, settings, journal, priority, workers, pool, parts)
            return cls(asyncio.get_running_loop(), stack.pop_all(), pool, parts, crew)
        raise AssertionError("the block above returns or raises")

    async def send(self, ask: Ask) -> Receipt:
        """Send a document, from the process that is best for it.

        Raises:
            TransferError: As for `Sender.send`.
        """
        crew = self.crew
        if crew is not None and crew.can_take(ask):
            return await crew.send(ask)
        return await self.parts.sender.send(ask)

    async def one(
        self,
        document: Document,
        asking: Asking,
        work: Callable[[Ask], Awaitable[Receipt]],
        **options: Any,
    ) -> Receipt:
        """Do the work for one document in a slot; whatever fails has a receipt."""
        ask: Ask | None = None
        try:
            ask = asking.ask(document, **options)
            async with self.pool.slot(ask.deadline):
                return await work(ask)
        except TransferError as error:
            error.receipt = asking.ended(document, ask, error)
            raise

    def statistics(self) -> Statistics:
        """What was and is done, in all processes."""
        here = replace(
            self.parts.statistics(),
            sends_in_flight=self.pool.in_flight,
            buffer_bytes_in_use=self.pool.buffer_bytes_in_use,
        )
        return here if self.crew is None else here.with_others(self.crew.statistics)


async def _crew(  # noqa: PLR0913, PLR0917  # called once
    stack: AsyncExitStack,
    settings: Settings,
    journal: Journal,
    priority: Priority,
    workers: int,
    pool: Pool,
    parts: Parts,
) -> Crew:
    from ._version import __version__  # noqa: PLC0415  # it reads metadata
    from .workers.crew import Crew  # noqa: PLC0415  # most engines have none
    from .workers.wire import Begin, Outage  # noqa: PLC0415

    assert parts.tokens is not None  # noqa: S101  # assembled without a token source of others
    begin = Begin(
        version=__version__,
        settings=settings,
        priority=priority,
        chunk_bytes=pool.chunk_bytes,
        sends=pool.slots,
        workers=workers,
        has_journal=type(journal) is not NoJournal,
        log_level=logging.getLogger("chartsend").getEffectiveLevel(),
    )
    crew = Crew(begin, lane=parts.lane, journal=journal, tokens=parts.tokens, breakers=parts.breakers)
    stack.push_async_callback(crew.aclose)
    if parts.breakers is not None:
        parts.breakers.share(
            workers + 1, lambda key, what, is_open: crew.tell(Outage(key, what, is_open))
        )
    await crew.start()
    return crew
