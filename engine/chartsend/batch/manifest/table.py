"""CSV as RFC 4180 has it: a header, commas, cells in quotes where they hold commas, quotes or line ends.

The one rule: every line belongs to one record, and where a record ends is never guessed (`spanning.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...description import MAX_DESCRIPTION_BYTES
from ...errors import ManifestError
from .cells import Split, split
from .columns import Filling
from .header import read_header
from .record import BOM, Record, line_at, too_long
from .spanning import read_spanning

if TYPE_CHECKING:
    from .columns import Field
    from .window import Window


class Table:
    """Reads records of a CSV manifest. Empty lines are no rows.

    Args:
        window: The file's bytes.
        first_offset: Where its text starts. Lines that begin with `#` may stand before the header.

    Raises:
        ManifestError: The header is not one; see `read_header`.
    """

    def __init__(self, window: Window, first_offset: int) -> None:
        self.first_offset, self.first_line = first_offset, 1
        self._fields: tuple[Field, ...] = ()
        while self.first_offset < window.end and not self._fields:
            found = line_at(window, self.first_offset)
            if found is None:
                raise ManifestError(f"line {self.first_line} is too long to be a header")
            line, self.first_offset = found
            if line.strip() and not line.startswith(b"#"):
                self._fields = read_header(line, self.first_line)
            self.first_line += 1
        self._filling = Filling(self._fields)
        self.header = b",".join(field.name.encode() for field in self._fields)

    def read(self, window: Window, at: int, line: int) -> Record:
        """See `Form.read`."""
        found = line_at(window, at)
        if found is None:
            return too_long()
        raw, end = found
        if not raw.strip(b" \t"):
            return Record(raw, end)
        if b'"' not in raw and b"\r" not in raw:
            return self.record(raw, end, raw.split(b","))
        cells = split(raw)
        if cells.opened >= 0:
            return read_spanning(self, window, at, line)
        if cells.problem is not None:
            return Record(raw, end, problem=self.problem_with(cells))
        return self.record(raw, end, cells.cells)

    def record(self, raw: bytes, end: int, cells: list[bytes], lines: int = 1) -> Record:
        """The record that these cells are."""
        problem = self._problem(raw, cells)
        if problem is not None:
            return Record(raw, end, lines, problem=problem)
        try:
            texts = [cell.decode() for cell in cells]
        except UnicodeDecodeError:
            return Record(raw, end, lines, problem="is not UTF-8")
        return Record(raw, end, lines, self._filling.described(texts))

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self._fields)

    def _problem(self, raw: bytes, cells: list[bytes]) -> str | None:
        if raw.startswith(BOM):
            return "has a byte order mark, which only a file may begin with"
        if len(cells) != len(self._fields):
            return f"has {len(cells)} cells, and the header {len(self._fields)} columns"
        if len(raw) > MAX_DESCRIPTION_BYTES:
            return f"is longer than {MAX_DESCRIPTION_BYTES} bytes"
        return None

    def problem_with(self, cells: Split) -> str:
        """What the cell after the sound ones has and should not."""
        at = len(cells.cells)
        name = f" ({self._fields[at].name})" if at < len(self._fields) else ""
        return f"has {cells.problem or 'a quote that is not closed'} in column {at + 1}{name}"

    def is_record(self, line: bytes) -> bool:
        """Whether a line is a record by itself, or empty."""
        cells = split(line.removesuffix(b"\r"))
        return not line.strip() or (cells.is_whole and len(cells.cells) == len(self._fields))
