"""What can be seen of a quota, here and from another process, without touching it.

The one rule: looking changes nothing, takes no lock, and never waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .clock import SECOND_NS, boot_id, boot_ns
from .page import DamagedError, OtherVersionError
from .ring import Answers, Ring, begun_anew
from .terms import Terms
from .window import free_at_ns, used

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...settings import Settings
    from .page import Page
    from .window import Times


@dataclass(frozen=True, slots=True)
class QuotaState:
    """A quota at one moment.

    Attributes:
        limit: Requests that may count at once now; None where the quota is off.
        cap: What `limit` is when nothing was refused lately; None where the quota is off.
        reserved: Of `limit`, what a batch leaves free.
        used: Requests that count now, of all processes.
        in_flight: Of these, those that were not answered yet.
        window_s: Length of the window.
        paused_s: Seconds until the pause after a 429 ends; 0 when there is none.
        free_in_s: Seconds until the next request that is no token may go, at the earliest; 0 for at
            once.
        backfill_free_in_s: The same for a request of a batch.
        refusals: Answers 429 since the record was begun, of all processes.
        waited_s: Seconds that requests of this engine have waited, all together.
        held_s: Seconds in which at least one request of this engine waited.
    """

    limit: int | None = None
    cap: int | None = None
    reserved: int = 0
    used: int = 0
    in_flight: int = 0
    window_s: float = 0.0
    paused_s: float = 0.0
    free_in_s: float = 0.0
    backfill_free_in_s: float = 0.0
    refusals: int = 0
    waited_s: float = 0.0
    held_s: float = 0.0

    def seconds_for(self, requests: int, *, backfill: bool = False) -> float:
        """How long so many requests take at the full rate, from now on; 0 where the quota is off.

        An estimate from below: it leaves out that others share the quota, and that each request
        counts from its dispatch on.
        """
        if self.limit is None or requests <= 0:
            return 0.0
        limit = max(1, self.limit - (self.reserved if backfill else 0))
        free_in_s = self.backfill_free_in_s if backfill else self.free_in_s
        beyond = max(0, requests - max(0, limit - self.used))
        return free_in_s + beyond * self.window_s / limit


def read_state(settings: Settings) -> QuotaState:
    """The state of these settings' quota, as any process may look at it; it blocks for microseconds.

    Raises:
        ConfigError: The file is there and cannot be opened, or others may use it.
    """
    terms = Terms.of(settings)
    if terms is None:
        return QuotaState()
    ring = Ring.open_to_read(terms.origin)
    if ring is None:
        return _seen(terms, begun_anew(), None, boot_ns())
    try:
        return state_of(terms, ring, boot_ns)
    finally:
        ring.close()


def state_of(terms: Terms, ring: Ring, clock: Callable[[], int]) -> QuotaState:
    """The state that a file holds; one that cannot be read counts as all used up, as it soon will be."""
    try:
        page = ring.peek()
        now_ns = clock()
        if page.boot != boot_id():
            page = replace(begun_anew(0), pace=page.pace.after_boot(now_ns))
        return _seen(terms, page, Answers(ring, page, now_ns), now_ns)
    except (DamagedError, OtherVersionError):
        now_ns = clock()
        return _seen(terms, begun_anew(now_ns), None, now_ns)


def _seen(terms: Terms, page: Page, times: Times | None, now_ns: int) -> QuotaState:
    limit = terms.limit(page.pace, now_ns)
    for_realtime = terms.limit_of(page.pace, now_ns, "realtime")
    for_backfill = terms.limit_of(page.pace, now_ns, "backfill")
    times = _NoAnswers(page.floor_ns) if times is None else times
    open_at_ns = page.pace.open_at_ns()

    def free_in_s(limit: int) -> float:
        at_ns = free_at_ns(times, limit, page.in_flight, terms.window_ns, now_ns)
        return _seconds(max(at_ns, open_at_ns) - now_ns)

    return QuotaState(
        limit=limit,
        cap=terms.cap(page.pace, now_ns),
        reserved=limit - for_backfill,
        used=used(times, limit, page.in_flight, terms.window_ns, now_ns),
        in_flight=page.in_flight,
        window_s=terms.window_ns / SECOND_NS,
        paused_s=_seconds(open_at_ns - now_ns),
        free_in_s=free_in_s(for_realtime),
        backfill_free_in_s=free_in_s(for_backfill),
        refusals=page.pace.refusals,
    )


@dataclass(frozen=True, slots=True)
class _NoAnswers:
    """Times of which none is written."""

    floor_ns: int
    count: int = 0

    def newest_ns(self, rank: int) -> int:  # noqa: ARG002  # the same for every rank
        """See `window.Times`."""
        return self.floor_ns


def _seconds(time_ns: int) -> float:
    return max(0, time_ns) / SECOND_NS
