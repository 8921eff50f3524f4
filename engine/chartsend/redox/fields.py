"""Small things every message is made of: objects without empty fields, times, dates.

The one rule: what is not known is left out; an empty string or list never stands for it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping


def filled(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that hold something: no None, no blank text, no empty list or object."""
    kept: dict[str, object] = {}
    # Every message asks this of a hundred values, so it is one loop without a call.
    for name, value in fields.items():
        if value:
            if not (isinstance(value, str) and value.isspace()):
                kept[name] = value
        elif isinstance(value, int):  # 0 and False say something
            kept[name] = value
    return kept


def moment(value: dt.datetime | None) -> str | None:
    """A point in time as both APIs print it: `2026-07-02T14:05:11.000Z`."""
    if value is None:
        return None
    if value.tzinfo is not dt.UTC:
        try:
            value = value.astimezone(dt.UTC)
        except OverflowError:
            # In the first and last day of the calendar UTC may lie outside of it.
            return value.isoformat(timespec="milliseconds")
    seconds = orjson.dumps(value, option=orjson.OPT_OMIT_MICROSECONDS)[1:20].decode()
    return f"{seconds}.{value.microsecond // 1000:03}Z"  # as isoformat does, in half the time


def day(value: dt.date | None) -> str | None:
    """A date as `1971-03-09`."""
    return None if value is None else value.isoformat()
