"""The dotted names of a document's fields: columns of a CSV, fields of a name pattern.

The one rule: a name that is not exactly a field's is refused before a row is read, and is not repeated:
where the first line is no header, it is somebody's data.
"""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec

from ...document import Document
from ...shape import Shape
from .rows import ROW_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_ITEMS: Final = 100
"""Columns may name so many items of one list: `patient.identifiers.0.id` to `….99.id`."""
MAX_NAME_CHARS: Final = 128
PATH: Final = "path"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row.

    Attributes:
        name: As it is written, such as `patient.identifiers.0.id`.
        keys: The way to it, such as `("patient", "identifiers", 0, "id")`.
    """

    name: str
    keys: tuple[str | int, ...]


def field_named(name: str) -> Field | None:
    """The field of this name; None when there is none."""
    if len(name) > MAX_NAME_CHARS:
        return None
    keys = tuple(_key(part) for part in name.split("."))
    general = ".".join("0" if isinstance(key, int) else key for key in keys)
    return Field(name, keys) if general in known_names() else None


def _key(part: str) -> str | int:
    is_number = part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")
    return int(part) if is_number and int(part) < MAX_ITEMS else part


@functools.cache
def known_names() -> frozenset[str]:
    """Every field that a text can fill, items of lists as number 0."""
    return frozenset([*_leaves(Document, ""), *ROW_KEYS])


def _leaves(kind: type[Shape], before: str) -> Iterator[str]:
    for field in msgspec.structs.fields(kind):
        if field.name in kind.python_only:
            continue
        name = f"{before}{field.encode_name}"
        inner = _shape_in(field.type)
        if inner is None:
            yield name
        else:
            yield from _leaves(inner, f"{name}.0." if _is_list(field.type) else f"{name}.")


def _shape_in(annotation: object) -> type[Shape] | None:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return annotation
    found = (_shape_in(option) for option in get_args(annotation))
    return next((shape for shape in found if shape is not None), None)


def _is_list(annotation: object) -> bool:
    return getattr(annotation, "__origin__", None) is tuple


def did_you_mean(name: str) -> str:
    """The nearest field to a name that is none, as words for an error; may be empty."""
    if len(name) > MAX_NAME_CHARS:
        return ""
    known = sorted(known_names())
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    if not near:  # `last_name`, where `patient.last_name` is the field
        # The patient's, where several have a field of this name.
        last = sorted(known, key=lambda each: each.startswith("patient."))
        by_end = {each.rpartition(".")[2]: each for each in last}
        near = [by_end[end] for end in difflib.get_close_matches(_end(name), by_end, n=1, cutoff=0.75)]
    return f"; did you mean `{near[0]}`?" if near else ""


def _end(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_").rpartition(".")[2]


class Filling:
    """Makes the mapping of a row of its cells, or of the parts of a name.

    Args:
        fields: What each cell fills, none twice.
    """

    def __init__(self, fields: Sequence[Field]) -> None:
        self._table = _Table([(at, field.keys) for at, field in enumerate(fields)])

    def described(self, cells: Sequence[str]) -> dict[str, Any]:
        """What the cells say; an empty one says nothing, and a list has its items without gaps."""
        return self._table.filled(cells)


class _Table:
    """Which cells fill one table, and the tables and lists in it."""

    __slots__ = ("_lists", "_tables", "_texts")

    def __init__(self, ways: Sequence[tuple[int, tuple[str | int, ...]]]) -> None:
        self._texts = [(keys[0], at) for at, keys in ways if len(keys) == 1]
        inner: dict[str | int, list[tuple[int, tuple[str | int, ...]]]] = {}
        for at, keys in ways:
            if len(keys) > 1:
                inner.setdefault(keys[0], []).append((at, keys[1:]))
        is_list = {key: isinstance(each[0][1][0], int) for key, each in inner.items()}
        self._tables = [(key, _Table(each)) for key, each in inner.items() if not is_list[key]]
        self._lists = [(key, _items(each)) for key, each in inner.items() if is_list[key]]

    def filled(self, cells: Sequence[str]) -> dict[Any, Any]:
        """The table, without what nothing was said of."""
        found: dict[Any, Any] = {key: cells[at] for key, at in self._texts if cells[at]}
        for key, table in self._tables:
            if inner := table.filled(cells):
                found[key] = inner
        for key, tables in self._lists:
            if items := [inner for table in tables if (inner := table.filled(cells))]:
                found[key] = items
        return found


def _items(ways: Sequence[tuple[int, tuple[str | int, ...]]]) -> list[_Table]:
    """The tables of a list, in the order of their numbers."""
    numbers = sorted({int(keys[0]) for _, keys in ways})
    return [_Table([(at, keys[1:]) for at, keys in ways if keys[0] == number]) for number in numbers]


def gap_in(fields: Sequence[Field]) -> str | None:
    """Name of the first list whose items do not count from 0 without a gap; None when all do."""
    numbers: dict[str, set[int]] = {}
    for field in fields:
        for at, key in enumerate(field.keys):
            if isinstance(key, int):
                numbers.setdefault(".".join(map(str, field.keys[:at])), set()).add(key)
    return next((name for name, each in numbers.items() if each != set(range(len(each)))), None)
