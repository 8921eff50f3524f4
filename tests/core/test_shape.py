"""The quick look at a field passes nothing that the judgement would not."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings, strategies as st

from chartsend import Coding, Document, Identifier, Patient, Provider, Receipt, Visit, shape
from chartsend.document import Buffer, Order
from chartsend.errors import InvalidDocumentError
from chartsend.shape import MAX_TEXT_CHARS, Shape, parse_shape

KINDS = [Coding, Document, Identifier, Order, Patient, Provider, Visit]


class Text(str):
    """A str that is not quite one."""

    __slots__ = ()


VALUES = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.characters(),
    st.sampled_from(
        ["Female", "Available", "Deleted", "x" * MAX_TEXT_CHARS, "x" * (MAX_TEXT_CHARS + 1), Text("a")]
    ),
    st.sampled_from(
        [Text("a\n"), "\u2028", "\x85", "\xad", "\u200b", "\ud800", "\n", "\t", "\x7f", " ", "\xa0"]
    ),
    st.booleans() | st.integers() | st.floats() | st.binary(max_size=2),
    st.dates() | st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)),
    st.sampled_from(
        [Identifier(id="1"), Provider(), Patient(), Visit(), Order(), Coding(code="1"), Buffer(b"")]
    ),
    st.lists(st.sampled_from([Identifier(id="1"), Coding(code="1"), "x"]), max_size=2),
    st.lists(st.sampled_from([Identifier(id="1"), Coding(code="1"), "x"]), max_size=2).map(tuple),
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_a_shape_is_refused_exactly_for_what_the_judgement_says(kind, data):
    fields = shape._fields(kind)
    chosen = data.draw(st.sets(st.sampled_from([f.name for f in fields if f.name != "content"])))
    given_values = {name: data.draw(VALUES) for name in chosen}
    if kind in {Identifier, Coding}:
        given_values.setdefault({Identifier: "id", Coding: "code"}[kind], "x")
    judged = [
        problem
        for f in fields
        if f.name in given_values
        if (problem := shape._problem(f.encode_name, frozen(given_values[f.name]), f.type)) is not None
    ]

    if judged:
        with pytest.raises(InvalidDocumentError) as caught:
            kind(**given_values)
        assert list(caught.value.problems) == judged
    else:
        made = kind(**given_values)
        assert all(getattr(made, name) == frozen(value) for name, value in given_values.items())
        assert not any(isinstance(getattr(made, f.name), list) for f in fields)


def frozen(value):
    return tuple(value) if isinstance(value, list) else value


def test_a_subclass_is_as_good_as_its_class():
    class Doctor(Provider, frozen=True, kw_only=True):
        pass

    assert Document(path="a", provider=Doctor(id="1")).provider.id == "1"


def test_a_shape_of_ones_own_is_checked_too():
    class Own(Shape, frozen=True, kw_only=True):
        text: str
        either: str | int | None = None

    assert Own(text="a", either=3).either == 3
    for bad in (
        {"text": None},
        {"text": "a\n"},
        {"text": "a", "either": 1.5},
        {"text": "a", "either": "\x00"},
    ):
        with pytest.raises(InvalidDocumentError):
            Own(**bad)


@pytest.mark.parametrize(
    ("mapping", "said"),
    [
        ({"CANARY": 1}, "unknown key"),
        ({"titel": 1}, "unknown key; did you mean `title`?"),
        ({"patient": {"CANARY": 1}}, "unknown key in `patient`"),
        ({"patient": {"frist_name": 1}}, "unknown key in `patient`; did you mean `first_name`?"),
        (
            {"patient": {"identifiers": [{"id": "1"}, {"idd": "CANARY"}]}},
            "unknown key in `patient.identifiers[1]`",
        ),
        ({"content": "CANARY"}, "unknown key"),
        ({"CANARY" * 1000: 1}, "unknown key"),
        ({"x - at `$.CANARY": 1}, "unknown key"),
        ({"x` - at `$.CANARY": 1}, "unknown key"),
    ],
)
def test_a_strangers_key_is_not_repeated(mapping, said):
    with pytest.raises(InvalidDocumentError) as caught:
        parse_shape(Document, mapping, shows_keys=False)

    assert caught.value.message.startswith(said)
    assert "CANARY" not in caught.value.message


def test_receipts_are_no_shapes_and_cost_no_checks():
    assert not issubclass(Receipt, Shape)
