"""Numbers with their nouns, as people write them.

The one rule: one is one: no `1 rows`.
"""

from __future__ import annotations


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`, `1,000 rows`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def verb(number: int, one: str, many: str) -> str:
    """The form of a word that fits: `is` or `are`."""
    return one if number == 1 else many


def numbers(rows: tuple[int, ...], *, shown: int, total: int | None = None) -> str:
    """`row 3`, `rows 3, 17` or `rows 3, 17 and 5 more`.

    Args:
        rows: Some row numbers, at least one.
        shown: How many of them are written.
        total: How many there are; None when it is not known: then `and more`.
    """
    some = rows[:shown]
    text = f"{verb(len(rows), 'row', 'rows')} {', '.join(map(str, some))}"
    left = (len(rows) if total is None else total) - len(some)
    if left <= 0:
        return text
    return f"{text} and more" if total is None else f"{text} and {left:,} more"
