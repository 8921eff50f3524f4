"""Sizes and durations as people write them, and limits as numbers."""

import math

import pytest

from chartsend import Settings
from chartsend.errors import ConfigError
from chartsend.settings.quantity import parse_duration, parse_size, show_seconds, show_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("200000", 200_000),
        ("200KB", 200_000),
        ("200 kb", 200_000),
        ("1.5MB", 1_500_000),
        ("64MiB", 64 * 1024 * 1024),
        ("1KiB", 1024),
        ("2GB", 2_000_000_000),
        ("1GiB", 1 << 30),
        ("7B", 7),
    ],
)
def test_a_size_is_read_in_decimal_and_binary_units(text, size_bytes):
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "KB", "-1", "200K", "5M", "1e3", "10m", "1.5B", "NaN", "1 000", "٣KB", "1KB2KB"],
)
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigError):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("500ms", 0.5),
        ("2.5s", 2.5),
        ("90", 90.0),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "30MB", "m", "-5s", "1h30", "inf", "1d", "10 m 5", "s10", True])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ConfigError):
        parse_duration(text)


@pytest.mark.parametrize(
    ("size_bytes", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (182_400, "182.4 kB"),
        (999_949, "999.9 kB"),
        (999_951, "1.0 MB"),
        (30_000_000, "30.0 MB"),
        (5_000_000_000_000, "5.0 TB"),
    ],
)
def test_a_size_is_shown_with_the_unit_that_fits(size_bytes, shown):
    assert show_size(size_bytes) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.421, "0.42 s"),
        (12.34, "12.3 s"),
        (99.96, "1 min 40 s"),
        (245, "4 min 05 s"),
        (7380, "2 h 03 min"),
    ],
)
def test_a_time_is_shown_with_the_unit_that_fits(seconds, shown):
    assert show_seconds(seconds) == shown


@pytest.mark.parametrize("value", ["5", None, True, math.nan, [5], 0, 4097])
def test_a_limit_is_a_number_within_its_range(value):
    with pytest.raises(ConfigError, match="concurrency is 1 to 4096"):
        Settings(concurrency=value)
