"""The request quota: so many requests in any window of so many seconds, per source address."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Allowance


class Quota:
    """A record of when each address was let in during the last window."""

    def __init__(self, allowance: Allowance | None) -> None:
        self._allowance = allowance
        self._times: dict[str, deque[float]] = defaultdict(deque)

    @property
    def limit(self) -> int | None:
        """Requests per window, or None when the quota is off."""
        return None if self._allowance is None else self._allowance.requests

    def admits(self, address: str) -> bool:
        """Count a request of this address, unless it is one too many. Refused ones do not count."""
        if self._allowance is None:
            return True
        times = self._times[address]
        now = time.monotonic()
        while times and times[0] <= now - self._allowance.window_s:
            times.popleft()
        if len(times) >= self._allowance.requests:
            return False
        times.append(now)
        return True
