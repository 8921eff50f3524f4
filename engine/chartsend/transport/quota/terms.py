"""What a quota is: how many requests in which window, who may use how much of it, and what counts.

The one rule: a limit is computed here and nowhere else, from the setting, from what the server said of
itself, and from what it refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ...ports import Operation
from ...settings import parse_quota
from .clock import SECOND_NS
from .pace import WHOLE_PPM
from .place import origin_of

if TYPE_CHECKING:
    from ...ports import Priority
    from ...settings import Settings
    from .pace import Pace

SHARE: Final = 0.98
"""How much of the quota is used: clocks differ a little, and something else may run at this address."""
ALL: Final = frozenset(Operation)


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one API origin's quota, as one engine is to keep them.

    Attributes:
        requests: Requests per window, before `SHARE` is taken.
        window_ns: Length of the window.
        origin: `scheme://host:port` of the API.
        backfill_share: How much of the limit a batch may use.
        counts: What takes a place in the window.
    """

    requests: int
    window_ns: int
    origin: str
    backfill_share: float = 0.9
    counts: frozenset[Operation] = ALL

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The terms that the settings name; None where the quota is off."""
        quota = parse_quota(settings.quota)
        if quota is None:
            return None
        return cls(
            quota[0],
            int(quota[1] * SECOND_NS),
            origin_of(settings.api_base),
            settings.quota_backfill_share,
            frozenset(Operation(each) for each in settings.quota_counts),
        )

    def cap(self, pace: Pace, now_ns: int) -> int:
        """Requests that may count at once when nothing was refused lately."""
        return max(1, int(pace.requests_at(self.requests, now_ns) * SHARE))

    def limit(self, pace: Pace, now_ns: int, priority: Priority = "realtime") -> int:
        """Requests that may count at once at a time, for real time or for a batch."""
        limit = max(1, self.cap(pace, now_ns) * pace.share_at_ppm(now_ns) // WHOLE_PPM)
        if priority == "realtime":
            return limit
        return max(1, int(limit * self.backfill_share))
