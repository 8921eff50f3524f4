"""Who waits in this engine, in which order, and for how long.

The one rule: a token before everything, since others wait for it; real time before backfill; among
equals first come, first served. What does not count waits for nobody.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import anyio

    from ...ports import Priority


@dataclass(slots=True, eq=False)
class Waiter:
    """One request that waits for its turn.

    Attributes:
        priority: Whose turn comes first, of all that is no token.
        is_token: Whether it is a token request.
        is_counted: Whether it takes a place in the window; if not, it only waits for a pause to end.
        until_ns: Its deadline, on the quota's clock.
        is_hopeless: Whether its turn will surely come too late.
        news: Set when it is to look again; None before it waits.
    """

    priority: Priority
    is_token: bool
    is_counted: bool
    until_ns: int
    is_hopeless: bool = False
    news: anyio.Event | None = None

    def tell(self) -> None:
        """Let it look again."""
        if self.news is not None:
            self.news.set()


class Line:
    """The requests of one engine that wait, and what that has cost."""

    def __init__(self) -> None:
        self._tokens: deque[Waiter] = deque()
        self._realtime: deque[Waiter] = deque()
        self._backfill: deque[Waiter] = deque()
        self._uncounted: deque[Waiter] = deque()
        self._waiting = 0
        self._waited_s = self._held_s = 0.0
        self._since_s = time.monotonic()

    def everybody(self) -> Iterator[tuple[Waiter, int]]:
        """All who wait, each with the number of those whose turn is before."""
        yield from zip(chain(self._tokens, self._realtime, self._backfill), count(), strict=False)
        yield from ((waiter, 0) for waiter in self._uncounted)

    @property
    def waited_s(self) -> float:
        """Seconds that requests have waited, all together."""
        self._count_time()
        return self._waited_s

    @property
    def held_s(self) -> float:
        """Seconds in which at least one request waited."""
        self._count_time()
        return self._held_s

    def ahead_of(self, waiter: Waiter) -> int:
        """How many will have had their turn before somebody who joins now."""
        if not waiter.is_counted:
            return 0
        ahead = len(self._tokens)
        if not waiter.is_token:
            ahead += len(self._realtime)
            ahead += len(self._backfill) if waiter.priority == "backfill" else 0
        return ahead

    def is_first(self, waiter: Waiter) -> bool:
        """Whether it is this one's turn to look for a place."""
        if not waiter.is_counted:
            return True
        return self._first() is waiter

    @contextmanager
    def joined(self, waiter: Waiter) -> Generator[None]:
        """Stand in line for the duration of a block; whoever is first then is told."""
        lane = self._lane(waiter)
        lane.append(waiter)
        self._count_time()
        self._waiting += 1
        try:
            yield
        finally:
            self._count_time()
            self._waiting -= 1
            lane.remove(waiter)  # nearly always the first one
            self.tell_first()

    def tell_first(self) -> None:
        """Let the first one look again."""
        first = self._first()
        if first is not None:
            first.tell()

    def tell_all(self) -> None:
        """Let everybody look again."""
        for waiter, _ in self.everybody():
            waiter.tell()

    def _first(self) -> Waiter | None:
        lane = self._tokens or self._realtime or self._backfill
        return lane[0] if lane else None

    def _lane(self, waiter: Waiter) -> deque[Waiter]:
        if not waiter.is_counted:
            return self._uncounted
        if waiter.is_token:
            return self._tokens
        return self._realtime if waiter.priority == "realtime" else self._backfill

    def _count_time(self) -> None:
        now_s = time.monotonic()
        passed_s, self._since_s = now_s - self._since_s, now_s
        self._waited_s += passed_s * self._waiting
        self._held_s += passed_s if self._waiting else 0.0
