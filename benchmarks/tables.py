"""Numbers and tables as people read them: in Markdown, and lined up for a terminal.

The one rule: a number has three significant digits, and its spread stands beside it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .contest import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .results import Judged

NONE = "-"
MET = {True: "yes", False: "**no**", None: "not measured"}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def size(size_bytes: float) -> str:
    """A file's size in powers of ten."""
    for unit, factor in (("MB", 1e6), ("KB", 1e3)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:g} {unit}"
    return f"{size_bytes:g} B"


def spread_of(values: Sequence[float]) -> str:
    """Median, and lowest to highest in brackets."""
    if not values:
        return NONE
    found = spread(values)
    return f"{number(found.median)} ({number(found.low)}…{number(found.high)})"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table in Markdown; the first `left` columns are words, the others numbers."""
    rule = ["---" if column < left else "---:" for column in range(len(head))]
    lines = [head, rule, *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines
    )


def plain(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """A table for a terminal."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


GOALS_HEAD = ("figure", "goal", "median", "min…max", "met?")


def goal_rows(goals: Sequence[Judged]) -> list[tuple[str, ...]]:
    """Lines of the goals table; what holds on any machine has a star."""
    rows: list[tuple[str, ...]] = []
    for goal in goals:
        median = extent = NONE
        if goal.values:
            found = spread(goal.values)
            median, extent = number(found.median), f"{number(found.low)}…{number(found.high)}"
        what = f"{goal.what} \\*" if goal.anywhere else goal.what
        rows.append((what, goal.bound, median, extent, MET[goal.is_met]))
    return rows


def goals_for_terminal(goals: Sequence[Judged]) -> str:
    """The goals table, lined up."""
    rows = [
        tuple(cell.replace("\\*", "*").replace("**", "") for cell in row) for row in goal_rows(goals)
    ]
    return plain(GOALS_HEAD, rows) + "\n* holds on any machine"
