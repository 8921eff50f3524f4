"""How long things took: so many of each order of magnitude, in a few hundred numbers at most.

The one rule: what is kept does not grow with what is added, and two histograms add up exactly, so
that a percentile can be told of a million requests, of four processes, and of last night.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

PER_DECADE: Final = 32
"""Buckets to a factor of ten: each is 7.5 % wide, so its middle is at most 3.7 % off."""

LOWEST: Final = -3 * PER_DECADE
HIGHEST: Final = 8 * PER_DECADE - 1
"""From 1 µs to 28 hours; what lies outside is counted in the outermost bucket."""


@dataclass(slots=True)
class Histogram:
    """Durations, counted in buckets of equal ratio.

    Attributes:
        counts: How many there were, by bucket: bucket *i* holds the milliseconds from 10^(i/32) up
            to 10^((i+1)/32). What is to be kept of a histogram is this, and `Histogram(counts)`
            makes it anew.
    """

    counts: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, ms: float) -> None:
        """Count one duration, in milliseconds."""
        bucket = bucket_of(ms)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, counts: Mapping[int, int]) -> None:
        """Count what another histogram has counted; it is not changed."""
        for bucket, number in counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + number

    def copy(self) -> Self:
        """The same counts, which do not change with these."""
        return type(self)(dict(self.counts))

    @property
    def total(self) -> int:
        """How many were counted."""
        return sum(self.counts.values())

    def quantile(self, q: float) -> float | None:
        """The duration, in milliseconds, that the share `q` of all does not exceed.

        By nearest rank: the middle of the bucket of the ⌈q·n⌉-th of n in order.

        Args:
            q: From 0 to 1, such as 0.99.

        Returns:
            None when nothing was counted.

        Raises:
            ValueError: `q` is no such share.
        """
        if not 0 <= q <= 1:
            raise ValueError("a share lies between 0 and 1")
        left = max(1, math.ceil(q * self.total))
        for bucket in sorted(self.counts):
            left -= self.counts[bucket]
            if left <= 0:
                return middle_ms(bucket)
        return None


def bucket_of(ms: float) -> int:
    """The bucket that a duration in milliseconds falls into.

    Raises:
        ValueError: It is not a number.
    """
    if ms != ms:  # noqa: PLR0124  # NaN, and cheaper than a call
        raise ValueError("a duration that is not a number")
    if ms <= 0:
        return LOWEST
    if ms == math.inf:
        return HIGHEST
    return min(max(math.floor(PER_DECADE * math.log10(ms)), LOWEST), HIGHEST)


def middle_ms(bucket: int) -> float:
    """The middle of a bucket, by ratio, in milliseconds."""
    return float(10 ** ((bucket + 0.5) / PER_DECADE))
