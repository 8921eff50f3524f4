"""Cells of a line of CSV, as RFC 4180 has them.

The one rule: a quote opens a cell only where the cell begins, and what is not so is a problem, never
a guess.
"""

from __future__ import annotations

from typing import NamedTuple

_COMMA = ord(",")


class Split(NamedTuple):
    """The cells of a piece of a record that begins where a cell begins.

    Attributes:
        cells: Those that are complete and sound.
        opened: Where in the piece the quote of a cell stands that does not end in it; -1 for none.
        problem: What the cell after the last of `cells` has and should not; None for nothing.
    """

    cells: list[bytes]
    opened: int = -1
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is open and nothing is wrong."""
        return self.opened < 0 and self.problem is None


def split(piece: bytes, at: int = 0) -> Split:
    """Split what is in front of a line end, from `at` on, into cells."""
    if at == 0 and piece[:1] == piece[-1:] == b'"':
        # Many programs put every cell in quotes. Where these are all the quotes there are, that is all.
        quoted = piece[1:-1].split(b'","')
        if piece.count(b'"') == 2 * len(quoted):
            return Split(quoted)
    return _one_by_one(piece, at)


def _one_by_one(piece: bytes, at: int) -> Split:
    cells: list[bytes] = []
    while True:
        if piece.startswith(b'"', at):
            closing = _closing_quote(piece, at + 1)
            if closing < 0:
                return Split(cells, opened=at)
            cell, end = piece[at + 1 : closing].replace(b'""', b'"'), closing + 1
            if end < len(piece) and piece[end] != _COMMA:
                return Split(cells, problem="text after a closing quote")
        else:
            end = piece.find(b",", at)
            end = len(piece) if end < 0 else end
            cell = piece[at:end]
            if problem := _problem(cell):
                return Split(cells, problem=problem)
        cells.append(cell)
        if end >= len(piece):
            return Split(cells)
        at = end + 1


def _problem(cell: bytes) -> str | None:
    """What a cell without quotes around it has and should not."""
    if b'"' in cell:
        return "a quote in a cell that does not begin with one"
    return "a carriage return in a cell without quotes" if b"\r" in cell else None


def _closing_quote(piece: bytes, at: int) -> int:
    """Where a quote stands that is not followed by another one; -1 for nowhere."""
    while (at := piece.find(b'"', at)) >= 0 and piece.startswith(b'"', at + 1):
        at += 2
    return at
