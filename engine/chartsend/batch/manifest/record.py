"""What reading one record gave, whatever the form of the manifest.

The one rule: it says where the next record starts, also when this one is bad.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from .window import MAX_LINE_BYTES

if TYPE_CHECKING:
    from .window import Window

BOM: Final = codecs.BOM_UTF8


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Attributes:
        raw: Its bytes without the line end; empty when they are too many.
        end: Where the next record starts; None when that is further away than was looked.
        lines: How many lines it takes.
        described: What it says; None when it cannot be read, or is nothing.
        problem: Why it cannot be read, in words that follow "row 17"; None for a good one.
    """

    raw: bytes
    end: int | None
    lines: int = 1
    described: dict[str, Any] | None = None
    problem: str | None = None

    @property
    def is_nothing(self) -> bool:
        """An empty line or a remark: no row."""
        return self.described is None and self.problem is None


class Form(Protocol):
    """Reads records of one form of manifest."""

    first_offset: int
    """Where the first record may start."""
    first_line: int
    """The number of the line there."""
    header: bytes
    """The fields that columns fill, in their order, with commas; empty where records name them."""

    def read(self, window: Window, at: int, line: int) -> Record:
        """The record that starts at an offset.

        Args:
            window: The file's bytes.
            at: Where a line starts, before the file's end.
            line: The number of that line.

        Raises:
            ManifestError: Where the record ends cannot be told, so the rest of the file cannot be
                read; or the file changed or cannot be read.
        """
        ...


def line_at(window: Window, at: int) -> tuple[bytes, int] | None:
    """The line that starts at an offset, and where the next starts; None when it is too long.

    A line ends with LF or CR LF, the last one also with the file.
    """
    found = window.find(b"\n", at, at + MAX_LINE_BYTES + 1)
    if found < 0 and window.end - at > MAX_LINE_BYTES:
        return None
    end = window.end if found < 0 else found
    return window.piece(at, end).removesuffix(b"\r"), min(end + 1, window.end)


def too_long() -> Record:
    """A record of which not even the line is read."""
    return Record(b"", None, problem=f"is longer than {MAX_LINE_BYTES} bytes")
