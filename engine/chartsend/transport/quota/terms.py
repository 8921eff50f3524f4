"""What a quota is: how many requests in which window, who may use how much of it, and what counts.

The one rule: a limit is computed here and nowhere else, from the setting, from what the server said of
itself, and from what it refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from ...errors import ConfigError
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
FOR_A_TOKEN: Final = 1
"""A place that everything else leaves free. A request that has its turn may still need a token first;
if such requests could hold every place, none would be left for the token that they wait for."""
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
        """The terms that the settings name; None where the quota is off.

        Raises:
            ConfigError: It is too small for a token and what needs it.
        """
        quota = parse_quota(settings.quota)
        if quota is None:
            return None
        if "token" in settings.quota_counts and int(quota[0] * SHARE) < 2:
            raise ConfigError(
                "quota is at least 3 requests where tokens count: whatever is sent needs a token first"
            )
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

    def limit(self, pace: Pace, now_ns: int) -> int:
        """Requests that may count at once at a time; tokens may use all of it."""
        cap = self.cap(pace, now_ns)
        return max(min(cap, 1 + self.for_tokens), cap * pace.share_at_ppm(now_ns) // WHOLE_PPM)

    def limit_of(self, pace: Pace, now_ns: int, priority: Priority) -> int:
        """Of these, what everything but tokens may use, in real time or in a batch."""
        limit = self.limit(pace, now_ns)
        share = self.backfill_share if priority == "backfill" else 1.0
        return max(1, min(int(limit * share), limit - self.for_tokens))

    @property
    def for_tokens(self) -> int:
        """Places that only tokens may take: none where tokens do not count."""
        return FOR_A_TOKEN if Operation.TOKEN in self.counts else 0
