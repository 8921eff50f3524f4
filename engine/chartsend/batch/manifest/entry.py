"""What a manifest gives: entries, each a record that can be read as a row, or the reason why not.

The one rule: a record is named by the number of the line it starts on, and nothing here shows what
stands in it: not in a repr, and not in an error's text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ...document import Api, Document, Model
    from ...errors import TransferError

RowMethod = Literal["auto", "upload", "embed"]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record starts.

    Attributes:
        offset: Byte offset in the file.
        line: Number of the line there, from 1: the row's name ("row 17" starts on line 17).
    """

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Row:
    """A record that could be read.

    Attributes:
        document: What the row says over the defaults; its path is absolute and inside the root.
        to: Name of the row's own destination.
        api: The row's own API; so are the next two.
    """

    document: Document
    to: str | None = None
    api: Api | None = None
    model: Model | None = None
    method: RowMethod | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of a manifest.

    Attributes:
        position: Where it starts.
        raw: Its bytes as they stand there, without the line end; empty when there are more than
            a line may have. May hold patient data.
        row: What it says; None when it cannot be read.
        error: Why it cannot be read: `RowRejectedError`, or `PathEscapeError`.
        header: As `Form.header`.
    """

    position: Position
    raw: bytes = field(repr=False)
    row: Row | None = field(repr=False)
    error: TransferError | None
    header: bytes = b""

    @property
    def said(self) -> tuple[bytes, ...]:
        """All that says what the record means, for a hash: a cell means nothing without its column."""
        return (self.raw, self.header) if self.header else (self.raw,)

    @property
    def number(self) -> int:
        """What the row is called: the number of its first line."""
        return self.position.line
