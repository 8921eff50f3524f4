"""A record of CSV that takes several lines, since a cell in quotes holds line ends, or seems to.

The one rule: what a stray quote swallowed is never lost unseen. Where a quote is not closed properly,
the row that opens it is rejected, and reading goes on with the next line if every line that the quote
swallowed is a record by itself; otherwise nobody can tell where rows begin, and the whole manifest is
refused with the line where the quote stands.

A quote counts as not closed when 64 KiB or the file's end come first; as closed in the wrong place when
text follows it, or when the record then has more or fewer cells than there are columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...errors import ManifestError
from .cells import Split, split
from .record import Record, line_at
from .window import MAX_LINE_BYTES

if TYPE_CHECKING:
    from .table import Table
    from .window import Window

MAX_CELL_BYTES: Final = 64 * 1024
"""Of one cell in quotes that holds line ends."""


def read_spanning(table: Table, window: Window, at: int, line: int) -> Record:
    """The record at an offset, whose first line ends inside a quoted cell.

    Args:
        table: Knows the columns.
        window: The file's bytes.
        at: Where the record starts.
        line: The number of the line there.

    Raises:
        ManifestError: A quote is not closed properly and lines after it are not records; the record
            is longer than 1 MiB; or the file changed or cannot be read.
    """
    return _Spanning(table, window, at, line).read()


class _Spanning:
    def __init__(self, table: Table, window: Window, at: int, line: int) -> None:
        self._table = table
        self._window = window
        self._at = at
        self._line = line
        self._opened = at  # where the last quote stands that opens a cell of several lines

    def read(self) -> Record:
        raw, after_first = self._line_from(self._at)
        first = part = split(raw)
        cells, start = list(part.cells), self._at
        while True:
            opened = start + part.opened
            self._opened = opened
            closing = self._closing_quote(opened)
            if closing < 0:
                limit = min(opened + 1 + MAX_CELL_BYTES, self._window.end)
                return self._broken(first, raw, after_first, limit)
            rest, end = self._line_from(closing + 1)
            if rest and not rest.startswith(b","):
                return self._broken(first, raw, after_first, closing)
            start = closing + 1
            part = split(rest, 1) if rest else Split([])
            cells.append(self._window.piece(opened + 1, closing).replace(b'""', b'"'))
            cells.extend(part.cells)
            if part.opened < 0 or len(cells) > self._table.columns:
                break
        if part.problem is not None or len(cells) != self._table.columns:
            return self._broken(first, raw, after_first, closing)
        raw = self._window.piece(self._at, start + len(rest))
        return self._table.record(raw, end, cells, raw.count(b"\n") + 1)

    def _line_from(self, at: int) -> tuple[bytes, int]:
        found = line_at(self._window, at)
        if found is None or found[1] - self._at > MAX_LINE_BYTES:
            raise ManifestError(
                f"line {self._line}: the row that begins there has more than {MAX_LINE_BYTES} bytes on"
                " several lines; a quote in it is not closed, or closed in the wrong place"
            )
        return found

    def _closing_quote(self, opened: int) -> int:
        """Where the quote stands that closes a cell; -1 when none does within the limit."""
        at, limit = opened + 1, opened + 1 + MAX_CELL_BYTES + 1
        while (at := self._window.find(b'"', at, limit)) >= 0:
            if self._window.piece(at + 1, at + 2) != b'"':
                return at
            at += 2
        return -1

    def _broken(self, first: Split, raw: bytes, after_first: int, known_at: int) -> Record:
        """The first line as a bad record, if the lines after it, up to `known_at`, are good ones."""
        if self._are_records(after_first, known_at):
            return Record(raw, after_first, problem=self._table.problem_with(first))
        line = self._line + self._window.piece(self._at, self._opened).count(b"\n")
        raise ManifestError(
            f"line {line}: a quote that is opened there is not closed, or closed in the wrong place, so"
            " where the next rows begin cannot be told; mend that line and run it again"
        )

    def _are_records(self, at: int, known_at: int) -> bool:
        """Whether each whole line in `[at, known_at)` is a record by itself."""
        while (found := self._window.find(b"\n", at, known_at)) >= 0:
            if not self._table.is_record(self._window.piece(at, found)):
                return False
            at = found + 1
        is_at_end = known_at >= self._window.end
        return not is_at_end or self._table.is_record(self._window.piece(at, known_at))
