"""JSONL: one JSON object on each line.

The one rule: the line is the record; whatever is wrong in it, the next one starts after its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...description import MAX_DESCRIPTION_BYTES, UndecodableError, decode_json
from .record import BOM, Record, line_at, too_long

if TYPE_CHECKING:
    from .window import Window


class JsonLines:
    """Reads records of a JSONL manifest. Empty lines and lines that begin with `#` are no rows."""

    def __init__(self, first_offset: int) -> None:
        self.first_offset = first_offset
        self.first_line = 1
        self.header = b""

    def read(self, window: Window, at: int, line: int) -> Record:  # noqa: ARG002  # the line ends it
        """See `Form.read`."""
        found = line_at(window, at)
        if found is None:
            return too_long()
        raw, end = found
        if raw.startswith(b"{"):
            return _read_object(raw, end)
        if raw.startswith(b"#") or not raw.strip(b" \t\r"):
            return Record(raw, end)
        if raw.startswith(BOM):
            return Record(raw, end, problem="has a byte order mark, which only a file may begin with")
        return _read_object(raw, end)


def _read_object(raw: bytes, end: int) -> Record:
    problem: str
    if len(raw) > MAX_DESCRIPTION_BYTES:
        problem = f"is longer than {MAX_DESCRIPTION_BYTES} bytes"
    elif b"\r" in raw:
        problem = "has a carriage return in it; lines end with LF or CR LF"
    else:
        try:
            return Record(raw, end, described=decode_json(raw))
        except UndecodableError as exc:
            problem = exc.reason
    return Record(raw, end, problem=problem)
