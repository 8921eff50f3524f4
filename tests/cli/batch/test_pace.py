"""Speeds over the last minute, and how long it still takes."""

from __future__ import annotations

import pytest

from chartsend.cli.batch.pace import Pace


def steady(pace, seconds, rows_per_s, requests_per_s, start_s=100.0):
    for second in range(seconds + 1):
        pace.note(start_s + second, rows=second * rows_per_s, requests=second * requests_per_s)


def test_nothing_is_said_of_the_first_seconds():
    pace = Pace(10.0)
    steady(pace, 4, 3, 6)

    assert pace.rows_per_s is None
    assert pace.requests_per_s is None
    assert pace.left_s(rows=10, requests=20) is None


def test_the_speed_is_that_of_the_last_minute():
    pace = Pace(0.0)
    steady(pace, 300, 2, 4)
    for second in range(1, 61):
        pace.note(400 + second, rows=600 + 5 * second, requests=1200 + 10 * second)

    assert pace.rows_per_s == pytest.approx(5)
    assert pace.requests_per_s == pytest.approx(10)


def test_what_is_left_takes_as_long_as_the_slower_of_speed_and_quota():
    pace = Pace(10.0)
    steady(pace, 30, 5, 5)

    assert pace.left_s(rows=100, requests=100) == pytest.approx(20)
    assert pace.left_s(rows=100, requests=1000) == pytest.approx(100)


def test_without_a_quota_only_the_speed_counts():
    pace = Pace(0.0)
    steady(pace, 30, 5, 5)

    assert pace.left_s(rows=100, requests=1000) == pytest.approx(20)


def test_a_run_that_stands_still_does_not_say_how_long_it_takes():
    pace = Pace(10.0)
    steady(pace, 30, 0, 0)

    assert pace.left_s(rows=100, requests=100) is None


def test_memory_does_not_grow_with_the_night():
    pace = Pace(0.0)
    steady(pace, 10_000, 1, 1)

    assert len(pace._samples) < 100
