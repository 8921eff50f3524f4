"""Descriptions before they become documents: merged without mixing people, decoded in one way only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings, strategies as st

from chartsend import description
from chartsend.description import UndecodableError, decode_json, merge


def test_the_more_particular_level_wins_key_by_key():
    merged = merge(
        {"type": "B", "patient": {"sex": "Male"}, "type_codings": [{"code": "1"}]},
        {"type": "A", "title": "T", "patient": {"first_name": "F"}, "type_codings": [{"code": "2"}, {}]},
    )

    assert merged == {
        "type": "B",
        "title": "T",
        "patient": {"sex": "Male", "first_name": "F"},
        "type_codings": [{"code": "1"}],
    }


def test_identifiers_from_one_level_and_a_name_from_another_are_one_patient():
    merged = merge({"patient": {"identifiers": [{"id": "1"}]}}, {"patient": {"first_name": "F"}})

    assert merged["patient"] == {"identifiers": [{"id": "1"}], "first_name": "F"}


def test_another_patients_name_and_birth_date_are_never_mixed_in():
    merged = merge(
        {"patient": {"identifiers": [{"id": "2", "type": "MR"}]}},
        {"patient": {"identifiers": [{"id": "1", "type": "MR"}], "last_name": "L", "sex": "Male"}},
    )

    assert merged["patient"] == {"identifiers": [{"id": "2", "type": "MR"}]}


def test_another_providers_name_is_never_mixed_in():
    merged = merge({"provider": {"id": "2"}}, {"provider": {"id": "1", "last_name": "L"}})

    assert merged["provider"] == {"id": "2"}


def test_an_orders_code_can_be_a_default_for_many_orders():
    merged = merge({"order": {"id": "2"}}, {"order": {"id": "1", "code": "PDF_REPORT"}})

    assert merged["order"] == {"id": "2", "code": "PDF_REPORT"}


def test_merging_changes_neither_level():
    particular, general = {"patient": {"sex": "Male"}}, {"patient": {"first_name": "F"}}

    merge(particular, general)

    assert (particular, general) == ({"patient": {"sex": "Male"}}, {"patient": {"first_name": "F"}})


GOOD = st.recursive(
    st.none()
    | st.booleans()
    | st.text(max_size=6)
    | st.sampled_from([':"', '":', '":"', '\\":', "é", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('a":\\é ', max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECT = st.dictionaries(st.text('ab":\\ ', max_size=4), GOOD, max_size=5)


def spaced(value, draw):
    """JSON with spaces and escapes anywhere they may be."""
    space = draw(st.sampled_from(["", " ", "\n", "\t", " \r\n"]))
    if isinstance(value, dict):
        pairs = [f"{text(key, draw)}{space}:{space}{spaced(each, draw)}" for key, each in value.items()]
        return f"{{{space}{f'{space},{space}'.join(pairs)}{space}}}"
    if isinstance(value, list):
        return f"[{space}{','.join(spaced(each, draw) for each in value)}]"
    return text(value, draw) if isinstance(value, str) else json.dumps(value)


def text(value, draw):
    shown = json.dumps(value, ensure_ascii=draw(st.booleans()) or "\ud800" in value)
    return shown.replace(":", "\\u003a") if draw(st.booleans()) else shown


@given(value=OBJECT, data=st.data())
@settings(max_examples=400, deadline=None)
def test_json_is_read_as_it_was_written_however_it_is_spaced(value, data):
    assert decode_json(spaced(value, data.draw).encode()) == value


@given(pairs=st.lists(st.tuples(st.text('ab":', max_size=2), GOOD), max_size=5), data=st.data())
@settings(max_examples=600, deadline=None)
def test_a_key_that_stands_twice_is_always_found(pairs, data):
    at_top = [f"{text(key, data.draw)}:{spaced(value, data.draw)}" for key, value in pairs]
    document = data.draw(st.sampled_from(["{%s}", '{"x":{%s}}', '{"y":[{%s}],"z":":"}'])) % ",".join(
        at_top
    )
    keys = [key for key, _ in pairs]
    if len(set(keys)) == len(keys):
        decode_json(document.encode())
    else:
        with pytest.raises(UndecodableError, match="has a key twice in one object"):
            decode_json(document.encode())


@given(
    data=st.one_of(
        st.binary(max_size=60), st.text('{}[]":,\\ \n0aenul1-.Eé', max_size=40).map(str.encode)
    )
)
@settings(max_examples=800, deadline=None)
def test_the_fast_way_gives_what_the_strict_way_gives(data):
    def outcome(decode):
        try:
            return decode(data)
        except UndecodableError as error:
            return str(error)

    assert outcome(decode_json) == outcome(description._decode_strictly)


@pytest.mark.parametrize(
    ("depth", "is_read"), [(30, True), (31, True), (32, False), (500, False), (100_000, False)]
)
def test_nesting_has_one_limit(depth, is_read):
    data = b'{"a":' * depth + b'""' + b"}" * depth
    if is_read:
        decode_json(data)
    else:
        with pytest.raises(UndecodableError, match=r"nested deeper than 32 levels|not valid JSON"):
            decode_json(data)


@pytest.mark.parametrize("digits", ["9" * 21, "-" + "9" * 20, "[" + "1" * 21 + "]"])
def test_a_long_number_is_no_number(digits):
    with pytest.raises(UndecodableError, match="more than 20 digits"):
        decode_json(f'{{"a": {digits}}}'.encode())
