"""The arithmetic of a rolling window, over the times at which requests were answered.

The one rule: a request counts from its dispatch until a whole window after its answer, since
nobody knows when in between the server counted it. So what is in flight counts too.

Theory. Let a request be counted by the server at an instant s between its dispatch d and its answer
a. Of the requests that the server counts within one window that ends at t, take the one that was
dispatched last. At its d every other one of them counted here as well: it was dispatched before, and
its answer came at a >= s > t - window >= d - window. So if no request is dispatched while `limit` of
them count, the server never counts more than `limit` in any window, whatever it does in between.

Answers are noted in the order in which they come, so the k-th newest is one look-up, and the whole
question "is there room?" is one comparison: there is, when the (limit - in flight)-th newest answer
has left the window. Nothing is ever removed, so processes with other windows may share the times.
"""

from __future__ import annotations

from typing import Protocol


class Times(Protocol):
    """When requests were answered, in nanoseconds; never decreasing."""

    @property
    def count(self) -> int:
        """How many are kept."""
        ...

    def newest_ns(self, rank: int) -> int:
        """The `rank`-th newest, 1 for the last; beyond `count`, a time that no other is after."""
        ...


def free_at_ns(times: Times, limit: int, in_flight: int, window_ns: int, now_ns: int) -> int:
    """When there is room for one more request; there is now if that is not after `now_ns`.

    Where requests in flight alone fill the limit, it is the earliest time that is possible.

    Args:
        times: When requests were answered.
        limit: How many may count at once, at least 1.
        in_flight: How many were not answered yet.
        window_ns: Length of the window.
        now_ns: The present time.
    """
    rank = limit - in_flight
    if rank <= 0:
        return now_ns + window_ns
    return times.newest_ns(rank) + window_ns


def is_full_until(
    times: Times, limit: int, in_flight: int, window_ns: int, *, now_ns: int, until_ns: int
) -> bool:
    """Whether there is surely no room before or at `until_ns`, although nobody sends from now on.

    Args:
        times: When requests were answered.
        limit: How many may count at `until_ns`, less those who wait ahead.
        in_flight: How many were not answered yet.
        window_ns: Length of the window.
        now_ns: The present time.
        until_ns: The time that is asked about.
    """
    if until_ns >= now_ns + window_ns:
        return False  # by then everything that counts now may have left
    rank = limit - in_flight
    return rank <= 0 or times.newest_ns(rank) + window_ns > until_ns


def used(times: Times, limit: int, in_flight: int, window_ns: int, now_ns: int) -> int:
    """How many requests count now. It looks at about log2(count) of the times."""
    begin_ns = now_ns - window_ns
    low, high = 0, times.count  # the `low` newest count, the `high + 1`-th newest does not
    while low < high:
        middle = (low + high + 1) // 2
        if times.newest_ns(middle) > begin_ns:
            low = middle
        else:
            high = middle - 1
    if low == times.count and times.newest_ns(low + 1) > begin_ns:
        return max(limit, low + in_flight)  # what is beyond is not known and counts as all there may be
    return low + in_flight
