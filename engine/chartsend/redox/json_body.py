"""The body of an answer as JSON, whatever it really is.

The one rule: no body raises, and no body is walked recursively: both would let a server end us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator

UNREADABLE: Final = object()
"""Stands for a body that is no JSON; `None` is the JSON value null."""


def parse(body: bytes) -> object:
    """The body's JSON value, or `UNREADABLE`."""
    try:
        value: object = orjson.loads(body)
    except orjson.JSONDecodeError:
        return UNREADABLE
    return value


def is_object(value: object) -> TypeGuard[dict[str, object]]:
    """Whether a parsed value is a JSON object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[object]]:
    """Whether a parsed value is a JSON array."""
    return isinstance(value, list)


def member(value: object, *names: str) -> object:
    """What stands at the end of a path of names; None where the path ends early."""
    for name in names:
        if not is_object(value):
            return None
        value = value.get(name)
    return value


def objects_in(value: object) -> Iterator[dict[str, object]]:
    """Every object in a parsed value, itself included, in no particular order."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if is_object(one):
            yield one
            waiting.extend(one.values())
        elif is_array(one):
            waiting.extend(one)
