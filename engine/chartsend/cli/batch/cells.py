"""Cells of a CSV file that a spreadsheet will open.

The one rule: no cell is a formula. What a spreadsheet would calculate (OWASP, CSV injection) gets an
apostrophe in front, which spreadsheets take for "this is text".
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def escaped(text: str) -> str:
    """A text as a cell that is no formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def lines_of(rows: Iterable[Sequence[object]]) -> str:
    """Rows as lines of CSV (RFC 4180), texts escaped; numbers are written as they are."""
    lines = io.StringIO()
    writer = csv.writer(lines)
    for row in rows:
        writer.writerow([escaped(cell) if isinstance(cell, str) else cell for cell in row])
    return lines.getvalue()
