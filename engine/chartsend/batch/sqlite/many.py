"""Statements over many lines at once.

The one rule: a group of steps makes a few statements, not a few per step. SQLite gives up Python's
global lock for every line it reads or writes by a statement of its own, and has to win it back from
a busy event loop each time; the lines of one statement cost that once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from . import sql

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from .records import Column

_T = TypeVar("_T")

_SIZES: Final = (1, 4, 16, 64, 256)
"""Lines per statement: few sizes, so that each statement is compiled once."""


def insert(
    connection: sqlite3.Connection,
    table: str,
    columns: Sequence[str],
    lines: Sequence[Sequence[Column]],
    *,
    update: Sequence[str] = (),
) -> None:
    """Insert lines.

    Args:
        connection: In a transaction.
        table: Its name.
        columns: Of the lines; the first is the primary key.
        lines: Values.
        update: Columns to change in a line that is there already; without any, that is an error.

    Raises:
        sqlite3.Error: It failed.
    """
    names, changed = tuple(columns), tuple(update)
    # To insert a line a second time is to update it with the same; without `update` it is an error.
    for part in padded(lines) if changed else _exact(lines):
        values = [value for line in part for value in line]
        connection.execute(sql.insertion(table, names, changed, len(part)), values)


def delete(connection: sqlite3.Connection, table: str, key: str, values: Sequence[Column]) -> None:
    """Delete the lines with these keys.

    Raises:
        sqlite3.Error: It failed.
    """
    for part in padded(values):
        connection.execute(sql.deletion(table, key, len(part)), part)


def padded(lines: Sequence[_T]) -> Iterator[list[_T]]:
    """The same in parts of few different lengths, the last line repeated where that is needed."""
    for start in range(0, len(lines), _SIZES[-1]):
        part = list(lines[start : start + _SIZES[-1]])
        size = next(size for size in _SIZES if size >= len(part))
        yield part + part[-1:] * (size - len(part))


def _exact(lines: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The same in parts of few different lengths, each line once."""
    start = 0
    while start < len(lines):
        size = next(size for size in reversed(_SIZES) if size <= len(lines) - start)
        yield lines[start : start + size]
        start += size
