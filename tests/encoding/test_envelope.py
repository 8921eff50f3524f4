"""The envelope around a file is the document that json would have written, at its exact length."""

import base64
import json

import pytest
from hypothesis import given, settings, strategies as st

from chartsend.encoding.base64 import encoded_length
from chartsend.encoding.envelope import HOLE, render, split_at_hole

keys = st.text(max_size=8)
leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.text(max_size=30))
trees = st.recursive(
    leaves,
    lambda t: st.one_of(st.lists(t, max_size=4), st.dictionaries(keys, t, max_size=4)),
    max_leaves=12,
)


def place(tree, value, path):
    """Put the value somewhere below the tree, at a depth and in containers that the path chooses."""
    if not path:
        return {"beside": tree, "hole": value, "after": tree}
    inner = place(tree, value, path[1:])
    return {
        0: lambda: {"in": inner, "beside": tree},
        1: lambda: [tree, inner],
        2: lambda: {"beside": tree, "in": [inner, None]},
        3: lambda: [[inner], tree],
    }[path[0]]()


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(keys, trees, max_size=4),
    st.binary(max_size=300),
    st.lists(st.integers(0, 3), max_size=3),
)
def test_the_hole_anywhere_gives_the_document_with_the_file_in_place(tree, data, path):
    text = base64.b64encode(data).decode()

    envelope = split_at_hole({"message": place(tree, HOLE, path)})
    whole = envelope.prefix + text.encode() + envelope.suffix

    assert json.loads(whole) == json.loads(json.dumps({"message": place(tree, text, path)}))
    assert len(whole) == envelope.length_bytes + encoded_length(len(data))


@pytest.mark.parametrize(
    "text", ['"', "\\", "\x00", "\\u0000", '"\x00"', "\n\r\t", "…\u2028", "😀", "\x7f"]
)
def test_strings_that_look_like_the_hole_or_break_json_are_escaped(text):
    envelope = split_at_hole({text: text, "data": HOLE, "after": [text]})

    assert json.loads(envelope.prefix + b"QQ==" + envelope.suffix) == {
        text: text,
        "data": "QQ==",
        "after": [text],
    }


@pytest.mark.parametrize("message", [{}, {"a": "\x00"}, {"a": HOLE, "b": HOLE}])
def test_no_hole_or_two_is_an_error(message):
    with pytest.raises(ValueError, match="one hole"):
        split_at_hole(message)


def test_a_message_without_a_hole_refuses_one():
    assert render({"url": "https://x"}) == b'{"url":"https://x"}'
    with pytest.raises(ValueError, match="has a hole"):
        render({"data": HOLE})
