"""Descriptions as mappings, before they become a `Document`: decoded strictly, merged level by level.

The one rule: nothing is guessed about whose document it is. A description that could be read in two
ways is refused, and no person is ever put together from two: see `merge`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DESCRIPTION_BYTES: Final = 256 * 1024
"""Of a sidecar, a `--metadata` file, or a manifest's row: far above any description, far below a
denial of service."""
MAX_DEPTH: Final = 32
MAX_DIGITS: Final = 20
# What says who somebody is: with another one of these it is another person.
_WHO: Final = {"patient": "identifiers", "provider": "id", "authenticator": "id"}


class UndecodableError(ValueError):
    """Why bytes are no description, in words that follow "the sidecar" or "row 17". Never a value.

    Attributes:
        reason: The words without the line, for what has one line only.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason if line is None else f"{reason} (line {line})")
        self.reason = reason


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a value is a table of a description."""
    return isinstance(value, Mapping)


def merge(particular: Mapping[str, Any], general: Mapping[str, Any]) -> dict[str, Any]:
    """One description of two: `particular` wins, key by key, also inside tables; lists are replaced.

    When both identify a patient (or a provider) and differ, nothing of the general one is taken:
    a name or a birth date from there would be another person's.
    """
    merged = dict(general)
    for key, value in particular.items():
        there = general.get(key)
        if is_table(value) and is_table(there):
            who = _WHO.get(key, "")
            is_other = who in value and who in there and value[who] != there[who]
            merged[key] = dict(value) if is_other else merge(value, there)
        else:
            merged[key] = value
    return merged


def decode_json(data: bytes) -> dict[str, Any]:
    """A JSON object, or the reason why it is none that can be read in one way only.

    Raises:
        UndecodableError: It is not UTF-8 or not JSON, not an object, nested deeper than 32 levels,
            has a key twice in one object, NaN, Infinity, or a number of more than 20 digits.
    """
    found = _decode_fast(data)
    return _decode_strictly(data) if found is None else found


def _decode_fast(data: bytes) -> dict[str, Any] | None:
    """The object, where a fast parser's result provably is the strict one's; None where it may not be.

    It keeps one of two equal keys. But every key is followed by a quote and a colon, and so there are
    as many of these as there are keys in the result, unless one was lost; or unless a text has them
    too, which is for the strict parser to find out.
    """
    try:
        decoded: object = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not _is_object(decoded):
        return None
    colons = data.translate(None, b" \t\r\n").count(b'":')
    return decoded if _count_keys(decoded) == colons else None


def _count_keys(decoded: dict[str, Any]) -> int:
    """How many keys an object and all in it have; -1 when it has numbers or is nested too deep."""
    keys = 0
    here: list[Any] = [decoded]
    for _ in range(MAX_DEPTH - 1):
        inner: list[Any] = []
        for each in here:
            values: Iterable[Any] = each
            if _is_object(each):
                keys += len(each)
                values = each.values()
            for value in values:
                kind = value.__class__
                if kind is dict or kind is list:
                    inner.append(value)
                elif kind is int or kind is float:
                    return -1
        if not inner:
            return keys
        here = inner
    return -1


def _decode_strictly(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise UndecodableError("is not UTF-8") from None
    try:
        decoded: object = json.loads(
            text, object_pairs_hook=_once_each, parse_constant=_no_such_number, parse_int=_short_number
        )
    except json.JSONDecodeError as exc:
        raise UndecodableError("is not valid JSON", exc.lineno) from None
    except UndecodableError:
        raise
    except (RecursionError, ValueError):
        raise UndecodableError("is not valid JSON") from None
    if not is_table(decoded):
        raise UndecodableError("is not a JSON object")
    if _depth(decoded) > MAX_DEPTH:
        raise UndecodableError(f"is nested deeper than {MAX_DEPTH} levels")
    return dict(decoded)


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict


def _once_each(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """An object; a key that stands twice is an error, for one of the two would be lost unseen."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UndecodableError("has a key twice in one object")
    return found


def _no_such_number(_: str) -> object:
    raise UndecodableError("has NaN or Infinity, which JSON does not know")


def _short_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise UndecodableError(f"has a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _depth(value: object) -> int:
    """How deep tables and lists are nested, without recursion."""
    level, here = 0, [value]
    while here:
        level += 1
        here = [inner for each in here for inner in _inside(each)]
    return level


def _inside(value: object) -> Iterable[object]:
    if is_table(value):
        return value.values()
    return value if _is_list(value) else ()


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
