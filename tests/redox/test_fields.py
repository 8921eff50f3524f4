"""What every message is made of: objects without empty fields, and times."""

from __future__ import annotations

import datetime as dt

from hypothesis import given, strategies as st

from chartsend.redox.fields import filled, moment


class Text(str):
    """A str that is not quite one."""

    __slots__ = ()


def test_what_says_nothing_is_left_out():
    nothing = [None, "", " ", "\n\t", "\xa0", Text(" "), [], (), {}]

    assert filled({str(number): value for number, value in enumerate(nothing)}) == {}


def test_what_says_something_stays():
    values = [0, False, True, 7, "x", " x ", Text("x"), [None], {"a": None}, (0,)]
    said = {str(number): value for number, value in enumerate(values)}

    assert filled(said) == said
    assert list(filled(said)) == list(said)


@given(
    st.datetimes(
        timezones=st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23)).map(dt.timezone)
        | st.just(dt.UTC)
    )
)
def test_a_moment_is_that_of_utc_cut_to_milliseconds(value):
    try:
        in_utc = value.astimezone(dt.UTC)
    except OverflowError:
        assert moment(value) == value.isoformat(timespec="milliseconds")
    else:
        expected = in_utc.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
        assert moment(value) == expected
