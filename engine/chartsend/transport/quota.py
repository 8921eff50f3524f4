"""Requests are the scarce thing: a rolling window of requests per API origin, and pauses after 429.

The one rule: a request counts from its dispatch until a whole window after its answer, since
nobody knows when in between the server counted it.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from typing import TYPE_CHECKING, Final

import anyio

from ..errors import DeadlineExceededError, Phase

if TYPE_CHECKING:
    from ..aio import Deadline

_log = logging.getLogger("chartsend")

SHARE: Final = 0.98
"""How much of the documented quota is used: clocks and counters differ a little."""


class Quota:
    """Paces the requests of this process.

    Args:
        requests: Requests per window; None for no limit.
        window_s: Length of the window.
    """

    def __init__(self, requests: int | None, window_s: float) -> None:
        self._limit = math.inf if requests is None else max(1, int(requests * SHARE))
        self._window_s = window_s
        self._answered: deque[float] = deque()
        self._in_flight = 0
        self._paused_until = -math.inf
        self._turn = anyio.Lock()  # first come, first served

    @classmethod
    def from_setting(cls, quota: tuple[int, float] | None) -> Quota:
        """From (requests, window in seconds), or None for no limit."""
        return cls(None, 1.0) if quota is None else cls(*quota)

    async def take(self, deadline: Deadline) -> None:
        """Wait until one more request may be sent, and count it. Pair with `answered`.

        Cancelled while waiting, it takes nothing.

        Raises:
            DeadlineExceededError: The turn would come after the deadline.
        """
        with anyio.CancelScope(deadline=deadline.at):
            async with self._turn:
                while (wait_s := self._wait_s()) > 0:
                    if anyio.current_time() + wait_s > deadline.at:
                        break
                    await anyio.sleep(wait_s)
                else:
                    self._in_flight += 1
                    return
        raise DeadlineExceededError(
            "the request quota is used up for longer than the deadline allows",
            phase=Phase.NOT_SENT,
        )

    def answered(self) -> None:
        """The request has ended, however it ended."""
        self._in_flight -= 1
        if self._limit != math.inf:
            self._answered.append(anyio.current_time())

    def pause(self, seconds: float) -> None:
        """The server said 429: send nothing for so long."""
        now = anyio.current_time()
        if now >= self._paused_until:
            _log.warning("the server says that the request quota is used up: pausing %.1f s", seconds)
        self._paused_until = max(self._paused_until, now + seconds)

    def learn(self, requests: int) -> None:
        """The server named its limit (`X-RateLimit-Limit`)."""
        if self._limit != math.inf and requests > 0:
            self._limit = max(1, int(requests * SHARE))

    def _wait_s(self) -> float:
        now = anyio.current_time()
        while self._answered and self._answered[0] <= now - self._window_s:
            self._answered.popleft()
        wait_s = self._paused_until - now
        if len(self._answered) + self._in_flight >= self._limit:
            # Until the oldest leaves the window; if all are in flight, look again soon.
            oldest = self._answered[0] + self._window_s - now if self._answered else 0.05
            wait_s = max(wait_s, oldest, 0.001)
        return wait_s
