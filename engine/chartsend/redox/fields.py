"""Small things every message is made of: objects without empty fields, times, dates.

The one rule: what is not known is left out; an empty string or list never stands for it.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def filled(fields: Mapping[str, object]) -> dict[str, object]:
    """The fields that hold something: no None, no blank text, no empty list or object."""
    return {name: value for name, value in fields.items() if not _is_empty(value)}


def _is_empty(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, str):
        return not value or value.isspace()
    return isinstance(value, list | tuple | dict) and not value


def moment(value: dt.datetime | None) -> str | None:
    """A point in time as both APIs print it: `2026-07-02T14:05:11.000Z`."""
    if value is None:
        return None
    try:
        value = value.astimezone(dt.UTC)
    except OverflowError:
        # In the first and last day of the calendar UTC may lie outside of it.
        return value.isoformat(timespec="milliseconds")
    return value.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def day(value: dt.date | None) -> str | None:
    """A date as `1971-03-09`."""
    return None if value is None else value.isoformat()
