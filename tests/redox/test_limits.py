"""Limits: the length of base64, and a table that agrees with the settings."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, strategies as st

from chartsend.encoding.base64 import encoded_length
from chartsend.redox.limits import LIMITS, RECOMMENDED_EMBED_BYTES, limits_table
from chartsend.settings import Limits


@pytest.mark.parametrize("raw_bytes", range(301))
def test_encoded_length_is_that_of_real_base64(raw_bytes):
    assert encoded_length(raw_bytes) == len(base64.b64encode(bytes(raw_bytes)))


@given(st.integers(0, 10**15))
def test_encoded_length_is_four_thirds_rounded_up_to_four(raw_bytes):
    length = encoded_length(raw_bytes)

    assert length % 4 == 0
    assert length // 4 * 3 - 2 <= raw_bytes <= length // 4 * 3


def test_thirty_megabytes_fill_a_request_before_the_json_around_them():
    assert encoded_length(30_000_000) == 40_000_000 == Limits().request_bytes


def test_a_negative_length_is_wrong_use():
    with pytest.raises(ValueError, match="not negative"):
        encoded_length(-1)


def test_the_default_threshold_is_what_redox_recommends():
    assert Limits().embed_up_to_bytes == RECOMMENDED_EMBED_BYTES == 200_000


def test_every_limit_names_its_source_and_how_sure_it_is():
    for limit in LIMITS:
        assert limit.what
        assert limit.source
        assert limit.evidence.startswith(("documented", "chosen", "observed"))


def test_the_table_has_a_row_for_each_limit_with_the_defaults_of_the_settings():
    lines = limits_table().splitlines()

    assert len(lines) == 2 + len(LIMITS)
    assert all(line.count(" | ") == 4 for line in lines if "---" not in line)
    assert "`limits.file_mb, limits.megabyte_bytes; destinations.NAME.max_bytes`" in lines[2]
    assert lines[-1].split(" | ")[2] == "-"
    assert f"{Limits().file_bytes:,} bytes" in lines[2]
    assert f"{Limits().request_bytes:,} bytes" in lines[3]
