"""Everything that one process needs to send, put together: quota, connections, tokens, sender.

The one rule: it is opened on a stack of its caller's, which closes it in the opposite order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import auth
from ..aio import Lane
from ..ports import Operation
from ..transport.breakers import Breakers, TokenExchange, paced
from ..transport.buffers import keep_freed_memory
from ..transport.http import Http
from ..transport.meter import Statistics
from ..transport.quota import Quota
from .exchange import Exchanger
from .finding import Finder
from .sender import Sender

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

    from ..ports import Journal, Priority, TokenSource
    from ..settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What sends, and what it stands on.

    Attributes:
        tokens: This process's own keeper; None where tokens come from elsewhere.
        breakers: None with priority `realtime`.
    """

    lane: Lane
    http: Http
    tokens: auth.TokenKeeper | None
    breakers: Breakers | None
    exchanger: Exchanger
    sender: Sender
    finder: Finder

    def statistics(self) -> Statistics:
        """What was sent from here. Slots and buffers are not known here, and 0."""
        requests, breakers = self.http.requests, self.breakers
        return Statistics(
            requests=requests[Operation.UPLOAD] + requests[Operation.MESSAGE],
            tokens=requests[Operation.TOKEN],
            retries=self.exchanger.retries,
            sends_in_flight=0,
            buffer_bytes_in_use=0,
            parked_calls=self.lane.running,
            queries=requests[Operation.QUERY],
            meter=self.http.meter.copy(),
            waiting_for=() if breakers is None else breakers.waiting_for,
        )


async def assemble(  # noqa: PLR0913  # the parts, put together once
    stack: AsyncExitStack,
    settings: Settings,
    *,
    journal: Journal,
    priority: Priority,
    chunk_bytes: int,
    sends: int,
    tokens: TokenSource | None = None,
) -> Parts:
    """Open what is needed to send.

    Args:
        stack: Closes it.
        settings: As for `Engine`.
        journal: As for `Engine`.
        priority: As for `Engine`.
        chunk_bytes: How much of a source is read at a time; a multiple of 3.
        sends: How many there will be at a time, at most.
        tokens: Where tokens come from; None to get them here, as the settings say.

    Raises:
        ConfigError: A setting cannot be used.
    """
    from .._version import __version__  # noqa: PLC0415  # it reads metadata: 18 ms, needed here only

    keep_freed_memory()
    quota = stack.enter_context(Quota.of(settings, priority=priority))
    lane = Lane(threads=sends)
    stack.push_async_callback(lane.aclose)
    http = Http(settings, quota, user_agent=f"chartsend/{__version__}")
    await stack.enter_async_context(http)
    breakers = Breakers() if priority == "backfill" else None
    keeper: auth.TokenKeeper | None = None
    if tokens is None:
        if breakers is None:
            keeper = auth.token_source(settings, http, lane=lane)
        else:
            keeper = auth.token_source(paced(settings), TokenExchange(http, breakers), lane=lane)
        tokens = keeper
    stack.push_async_callback(tokens.aclose)
    exchanger = Exchanger(settings, http, tokens, breakers)
    stack.callback(exchanger.stop_waiting)
    sender = Sender(settings, exchanger=exchanger, journal=journal, lane=lane, chunk_bytes=chunk_bytes)
    return Parts(lane, http, keeper, breakers, exchanger, sender, Finder(settings, exchanger))
