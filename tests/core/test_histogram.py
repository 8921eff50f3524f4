"""A histogram keeps what it is asked for, to a few percent, in a bounded number of counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, strategies as st

from chartsend.histogram import HIGHEST, LOWEST, PER_DECADE, Histogram, bucket_of, middle_ms

MS = st.floats(0.001, 1e8)
WIDTH = 10 ** (1 / PER_DECADE)


def of(*durations: float) -> Histogram:
    histogram = Histogram()
    for ms in durations:
        histogram.add(ms)
    return histogram


@given(MS)
def test_a_bucket_holds_what_lies_between_its_bounds(ms: float) -> None:
    bucket = bucket_of(ms)

    assert 10 ** (bucket / PER_DECADE) <= ms * 1.000001
    assert ms <= 10 ** ((bucket + 1) / PER_DECADE) * 1.000001 or bucket == HIGHEST
    assert max(middle_ms(bucket) / ms, ms / middle_ms(bucket)) <= math.sqrt(WIDTH) * 1.000001


@pytest.mark.parametrize(
    ("ms", "bucket"),
    [(1, 0), (10, 32), (1000, 96), (0.5, -10), (0, LOWEST), (-3, LOWEST), (1e-9, LOWEST),
     (1e12, HIGHEST), (math.inf, HIGHEST), (-math.inf, LOWEST)],
)  # fmt: skip
def test_buckets_by_example(ms: float, bucket: int) -> None:
    assert bucket_of(ms) == bucket


def test_what_is_no_duration_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        Histogram().add(math.nan)


@given(st.lists(MS, min_size=1, max_size=200), st.floats(0, 1))
def test_a_quantile_is_as_near_as_a_bucket_is_wide(durations: list[float], q: float) -> None:
    exact = sorted(durations)[max(1, math.ceil(q * len(durations))) - 1]
    told = of(*durations).quantile(q)

    assert told is not None
    assert max(told / exact, exact / told) <= math.sqrt(WIDTH) * 1.000001


def test_quantiles_by_example() -> None:
    histogram = of(*[10.0] * 98, 500.0, 20_000.0)

    assert histogram.total == 100
    assert histogram.quantile(0.5) == pytest.approx(10, rel=0.04)
    assert histogram.quantile(0.98) == pytest.approx(10, rel=0.04)
    assert histogram.quantile(0.99) == pytest.approx(500, rel=0.04)
    assert histogram.quantile(1) == pytest.approx(20_000, rel=0.04)
    assert histogram.quantile(0) == pytest.approx(10, rel=0.04)


def test_nothing_has_no_quantile() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram().total == 0


@pytest.mark.parametrize("q", [-0.01, 1.01, math.nan])
def test_what_is_no_share_is_refused(q: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        of(1).quantile(q)


@given(st.lists(MS), st.lists(MS))
def test_two_add_up_to_what_both_have_counted(one: list[float], other: list[float]) -> None:
    both, second = of(*one), of(*other)
    before = dict(second.counts)

    both.merge(second.counts)

    assert both == of(*one, *other)
    assert second.counts == before


def test_a_copy_and_what_was_kept_are_the_same_and_apart() -> None:
    first = of(1, 2, 3)
    copied, kept = first.copy(), Histogram(dict(first.counts))

    first.add(4)

    assert copied == kept == of(1, 2, 3)


@given(st.lists(st.floats(allow_nan=False), max_size=2000))
def test_what_is_kept_does_not_grow_without_bound(durations: list[float]) -> None:
    assert all(LOWEST <= bucket <= HIGHEST for bucket in of(*durations).counts)
    assert HIGHEST - LOWEST < 400
