"""What requests of a batch pass before they leave: the breaker of their host, and that of their service.

The one rule: a connection that fails concerns every service of that host; a 503 concerns one.

A service is a destination, the address where files are uploaded, or the one where tokens come from.
Only a batch waits like this. Who sends one document now wants to hear of an outage at once.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from ..errors import ConnectFailedError, DeadlineExceededError, Phase
from . import breaker
from .breaker import Breaker, Sign

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Container

    from ..aio import Deadline
    from ..ports import Reply, SmallExchange, SmallRequest
    from ..settings import Settings

FRESH_S: Final = 30.0
"""A signed token request waits no longer than this: then it must be signed anew."""

UNAVAILABLE: Final = frozenset({503})
SERVER_ERRORS: Final = range(500, 600)
_NO_SIGN: Final = frozenset({401, 429})
"""Redox answers these itself; they say nothing of the service behind it."""


class Target(NamedTuple):
    """Whom a request is for.

    Attributes:
        host: Host and port.
        service: Tells the services of all hosts apart.
        what: The service, for people.
        down: The statuses by which it says that it is not there.
    """

    host: str
    service: str
    what: str
    down: Container[int] = UNAVAILABLE


class Passage:
    """One request under way through its two breakers."""

    __slots__ = ("_down", "asked_s", "host", "service")

    def __init__(self, down: Container[int]) -> None:
        self._down = down
        self.host = self.service = Sign.WITHDRAWN
        self.asked_s = 0.0

    def answered(self, status: int, *, asked_s: float | None = None) -> None:
        """A complete answer came.

        Args:
            status: Of the answer.
            asked_s: How long it asks to wait, if it does.
        """
        self.host = Sign.ALIVE
        self.asked_s = asked_s or 0.0
        if status in self._down:
            self.service = Sign.DOWN
        else:
            self.service = Sign.NONE if status in _NO_SIGN else Sign.ALIVE


class Breakers:
    """The breakers of one engine, made as they are needed."""

    def __init__(self) -> None:
        self._breakers: dict[tuple[str, str], Breaker] = {}
        self._sharers = 1
        self._on_change: Callable[[tuple[str, str], str, bool], None] | None = None

    def share(self, sharers: int, on_change: Callable[[tuple[str, str], str, bool], None]) -> None:
        """Share outages with so many processes; call it before the first request.

        Args:
            sharers: How many processes send to the same services.
            on_change: Told the key and the name of a breaker that opened (True) or closed here.
        """
        self._sharers, self._on_change = sharers, on_change

    def told(self, key: tuple[str, str], what: str, *, is_open: bool) -> None:
        """What another process's breaker of that key did."""
        self._named(key, what).told(is_open=is_open)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """What is down at this moment, for people."""
        return tuple(sorted({each.what for each in self._breakers.values() if each.is_open}))

    def is_open(self, target: Target) -> bool:
        """Whether requests for the target wait."""
        return any(each.is_open for each in self._of(target))

    async def wait(self, target: Target, deadline: Deadline) -> None:
        """Wait until a request may be made. It takes nothing, so look again before asking.

        Raises:
            DeadlineExceededError: The other side did not come back before the deadline.
        """
        both = self._of(target)
        while not all(each.lets_pass for each in both):
            for each in both:
                await each.wait(deadline)

    @asynccontextmanager
    async def attempt(self, target: Target, deadline: Deadline) -> AsyncGenerator[Passage]:
        """Wait until a request may be made, let it be made in the block, and note how it ends.

        Raises:
            DeadlineExceededError: As for `wait`.
        """
        await self.wait(target, deadline)
        turns = [(each, each.begin()) for each in self._of(target)]
        passage = Passage(target.down)
        try:
            yield passage
        except ConnectFailedError:
            passage.host, passage.service = Sign.DOWN, Sign.NONE
            raise
        except Exception:
            if passage.host is Sign.WITHDRAWN:
                passage.host = passage.service = Sign.NONE
            raise
        finally:
            for (each, turn), sign in zip(turns, (passage.host, passage.service), strict=True):
                each.end(turn, sign, asked_s=passage.asked_s)

    def _of(self, target: Target) -> tuple[Breaker, Breaker]:
        return (
            self._named(("host", target.host), "the server"),
            self._named((target.what, target.service), target.what),
        )

    def _named(self, key: tuple[str, str], what: str) -> Breaker:
        known = self._breakers.get(key)
        if known is None:
            tell = self._on_change
            known = self._breakers[key] = Breaker(
                what,
                sharers=self._sharers,
                on_change=None if tell is None else lambda is_open: tell(key, what, is_open),
            )
        return known


class TokenExchange:
    """Token requests that wait as all others do; implements `ports.SmallExchange`.

    Args:
        exchange: Makes the requests.
        breakers: What they wait at.
    """

    def __init__(self, exchange: SmallExchange, breakers: Breakers) -> None:
        self._exchange = exchange
        self._breakers = breakers

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        """See `ports.SmallExchange`.

        Raises:
            ConnectFailedError: Also when the server stayed down so long that the request would be
                too old; it was not made.
        """
        host = urlsplit(request.url).netloc
        target = Target(host, request.url, "the token server", SERVER_ERRORS)
        try:
            await self._breakers.wait(target, deadline.sooner_of(FRESH_S))
        except DeadlineExceededError:
            if deadline.has_passed:
                raise
            raise ConnectFailedError("the server is still down", phase=Phase.NOT_SENT) from None
        async with self._breakers.attempt(target, deadline) as passage:
            reply = await self._exchange.exchange_small(request, deadline=deadline)
            passage.answered(reply.status)
            return reply


def paced(settings: Settings) -> Settings:
    """The settings for getting tokens where breakers pace the requests to a server that is down.

    A longer pause between two token requests than between two probes would only keep everybody
    waiting when the server is back.
    """
    cap_s = min(settings.retry.cap_s, breaker.PROBE_EVERY_S)
    return replace(settings, retry=replace(settings.retry, cap_s=cap_s))
