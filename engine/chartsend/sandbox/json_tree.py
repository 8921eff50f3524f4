"""JSON values as they are after reading, and how to look into them without trusting their shape."""

from __future__ import annotations

from typing import TypeAlias

from .long_string import LongString

JsonValue: TypeAlias = (
    "bool | int | float | str | LongString | list[JsonValue] | dict[str, JsonValue] | None"
)
"""A parsed JSON value; a string above the threshold of the reader is a `LongString`."""


def look_up(value: JsonValue, *path: str | int) -> JsonValue:
    """Follow keys and indexes; give None where the path ends early or the shape is another."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def text_at(value: JsonValue, *path: str | int) -> str | None:
    """Follow a path to a short string; None if there is none or it is something else."""
    found = look_up(value, *path)
    return found if isinstance(found, str) else None


def list_at(value: JsonValue, *path: str | int) -> list[JsonValue]:
    """Follow a path to an array; an empty one if there is none or it is something else."""
    found = look_up(value, *path)
    return found if isinstance(found, list) else []


def shortened(value: JsonValue) -> JsonValue:
    """Copy a value with every long string replaced by its beginning and length, for showing it."""
    if isinstance(value, LongString):
        return f"{value.beginning}… [{value.size_bytes:,} characters]"
    if isinstance(value, dict):
        return {key: shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item) for item in value]
    return value
