"""Every encoder gives, for any chunking, the bytes that one shot over the whole would give."""

import base64
import itertools
import json

import orjson
import pytest
from hypothesis import given, settings, strategies as st

from chartsend.encoding.base64 import (
    Base64Encoder,
    IdentityEncoder,
    JsonTextEncoder,
    encoded_length,
)


def run(encoder, data: bytes, cuts: list[int]) -> bytes:
    edges = [0, *sorted(c % (len(data) + 1) for c in cuts), len(data)]
    pieces = [data[a:b] for a, b in itertools.pairwise(edges)]
    return b"".join([bytes(encoder.encode(memoryview(p))) for p in pieces] + [encoder.finish()])


@pytest.mark.parametrize("size", range(301))
def test_base64_of_every_length_equals_the_standard_library_whole_and_byte_by_byte(size):
    data = bytes(i * 7 % 256 for i in range(size))

    assert run(Base64Encoder(), data, []) == base64.b64encode(data)
    assert run(Base64Encoder(), data, list(range(size))) == base64.b64encode(data)
    assert len(base64.b64encode(data)) == encoded_length(size)


@settings(max_examples=2000, deadline=None)
@given(st.binary(max_size=2000), st.lists(st.integers(0, 2000), max_size=20))
def test_base64_cut_anywhere_equals_one_shot(data, cuts):
    assert run(Base64Encoder(), data, cuts) == base64.b64encode(data)


@given(st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=9))
def test_identity_cut_anywhere_is_the_data(data, cuts):
    assert run(IdentityEncoder(), data, cuts) == data


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=400), st.lists(st.integers(0, 2000), max_size=20))
def test_text_cut_anywhere_reads_back_as_the_same_string(text, cuts):
    inside = run(JsonTextEncoder(), text.encode(), cuts)

    assert json.loads(b'"' + inside + b'"') == text
    assert inside == orjson.dumps(text)[1:-1]


@pytest.mark.parametrize("data", [b"\xff", b"abc\xc3", "ü".encode()[:1], b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_are_an_error_and_not_a_replacement(data):
    with pytest.raises(UnicodeDecodeError):
        run(JsonTextEncoder(), data, [1])
