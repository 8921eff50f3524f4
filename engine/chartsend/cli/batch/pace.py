"""How fast a batch goes and how long it has to go.

The one rule: a time that is left is never a guess: it is what the rows left need at the speed of the
last minute, or what their requests need at the quota, whichever is longer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S: Final = 60.0
SHORTEST_S: Final = 5.0
"""Before this, a speed says nothing."""


class _Sample(NamedTuple):
    at_s: float
    rows: int
    requests: int


class Pace:
    """Speeds over the last minute.

    Args:
        requests_per_s: What the quota lets a batch send; 0 for no limit.
    """

    def __init__(self, requests_per_s: float) -> None:
        self._quota_per_s = requests_per_s
        self._samples: deque[_Sample] = deque()

    def note(self, at_s: float, *, rows: int, requests: int) -> None:
        """Note how many rows were settled and how many requests made so far.

        Args:
            at_s: Now, on any clock that only goes forward; called about once a second.
            rows: Since the run began.
            requests: Since the run began.
        """
        self._samples.append(_Sample(at_s, rows, requests))
        while len(self._samples) > 2 and self._samples[1].at_s <= at_s - WINDOW_S:
            self._samples.popleft()

    @property
    def rows_per_s(self) -> float | None:
        """Rows settled a second; None in the first seconds."""
        return self._speed(lambda sample: sample.rows)

    @property
    def requests_per_s(self) -> float | None:
        """Requests a second; None in the first seconds."""
        return self._speed(lambda sample: sample.requests)

    def left_s(self, *, rows: int, requests: float) -> float | None:
        """Seconds that so many rows and requests will take; None while that cannot be told."""
        by_quota_s = requests / self._quota_per_s if self._quota_per_s else 0.0
        speed = self.rows_per_s
        return max(by_quota_s, rows / speed) if speed else None

    def _speed(self, of: Callable[[_Sample], int]) -> float | None:
        if not self._samples:
            return None
        first, last = self._samples[0], self._samples[-1]
        seconds = last.at_s - first.at_s
        return (of(last) - of(first)) / seconds if seconds >= SHORTEST_S else None
