"""A manifest, opened: its entries one after another or each by its position, never more than one held.

The one rule: every record of the file is given exactly once, good or bad, and an entry read again by
its position is the entry that was given before.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from ...errors import ManifestError, RowRejectedError, TransferError
from .entry import Entry, Position
from .head import first_offset, form_of
from .json_lines import JsonLines
from .opened import Opened
from .paths import Root
from .rows import RowReader
from .snapshot import Snapshot
from .table import Table
from .window import SINGLE_BYTES, STREAM_BYTES, Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from .record import Form, Record

__all__ = ["Manifest", "Snapshot"]

NO_DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType({})


class Manifest:
    """A manifest, open for reading. All calls block: use it in a thread.

    `entry_at`, `sha256` and `check_unchanged` may run in several threads at once, and while one goes
    over `entries`. Use it as a context manager, or call `close`.

    Attributes:
        root: The folder that rows name files in.
        end: Where the next entry would start, once `entries` have come to the end; None before.
    """

    def __init__(self, file: Opened, form: Form, root: Root, defaults: Mapping[str, Any]) -> None:
        self._file = file
        self._form = form
        self._rows = RowReader(root, defaults)
        self.root = root
        self.end: Position | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        root: str | Path | None = None,
        defaults: Mapping[str, Any] = NO_DEFAULTS,
        form: Literal["jsonl", "csv"] | None = None,
    ) -> Manifest:
        """Open a manifest, and read a CSV's header.

        Args:
            path: A regular file.
            root: The folder that rows name files in; None for the manifest's own.
            defaults: What rows do not say themselves, as keys of a document; its levels merged.
            form: None to tell by the name: `.jsonl` and `.ndjson`, `.csv`.

        Raises:
            ManifestError: The file, its header or its root cannot be used. Nothing was sent.
        """
        chosen = form or form_of(os.fspath(path))
        file = Opened(path)
        try:
            window = Window(file, SINGLE_BYTES)
            start = first_offset(window)
            reads: Form = JsonLines(start) if chosen == "jsonl" else Table(window, start)
            folder = Path(os.path.abspath(path)).parent if root is None else root  # noqa: PTH100
            return cls(file, reads, Root(folder), defaults)
        except BaseException:
            file.close()
            raise

    def close(self) -> None:
        """Give the file back. May be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def snapshot(self) -> Snapshot:
        """Which file this is, and its state when it was opened."""
        return self._file.snapshot

    @property
    def is_finished(self) -> bool:
        """Whether `entries` have come to the end."""
        return self.end is not None

    def check_unchanged(self) -> None:
        """Prove that the file is as it was when it was opened.

        Raises:
            ManifestError: It is not.
        """
        self._file.check_unchanged()

    def sha256(self, up_to_bytes: int | None = None) -> bytes:
        """Digest of the file, or of its first `up_to_bytes`. Reads as much.

        Raises:
            ManifestError: The file changed, or cannot be read.
        """
        return self._file.sha256(up_to_bytes)

    def entries(self, start: Position | None = None) -> Iterator[Entry]:
        """Every record of the file in its order, the good ones and the bad.

        The file is seen to be unchanged after each block of it was read, so before its entries are
        given.

        Args:
            start: Position of an entry, which is then given first, or `end`; None for the beginning.

        Raises:
            ManifestError: The rest of the file cannot be read: it changed, a quote in it leaves open
                where rows begin, or a line has no end. The entries given before stand.
        """
        at, line = self._start if start is None else self._checked(start)
        window = Window(self._file, STREAM_BYTES)
        while at < window.end:
            window.forget(at)
            record = self._form.read(window, at, line)
            if not record.is_nothing:
                yield self._entry(Position(at, line), record)
            if record.end is None:
                window.forget(window.end)
                at = self._file.line_end(at + len(record.raw), line)
            else:
                at = record.end
            line += record.lines
        self.check_unchanged()
        self.end = Position(at, line)

    def entry_at(self, position: Position) -> Entry:
        """The entry that `entries` gave with this position. Costs one record, wherever it is.

        Raises:
            ManifestError: There is no entry, so the position is another manifest's; or the file
                changed or cannot be read.
        """
        at, line = self._checked(position)
        window = Window(self._file, SINGLE_BYTES)
        window.forget(at)
        if at < window.end:
            record = self._form.read(window, at, line)
            if not record.is_nothing:
                return self._entry(position, record)
        raise _no_entry(line)

    @property
    def _start(self) -> tuple[int, int]:
        return self._form.first_offset, self._form.first_line

    def _checked(self, position: Position) -> tuple[int, int]:
        """A position where a record can start."""
        at, line = position.offset, position.line
        first_offset, first_line = self._start
        is_first = (at, line) == (first_offset, first_line)
        is_later = at > first_offset and line > first_line and at <= self._file.size_bytes
        if not is_first and not (is_later and self._is_line_start(at)):
            raise _no_entry(line)
        return at, line

    def _is_line_start(self, at: int) -> bool:
        return at == self._file.size_bytes or self._file.read(at - 1, 1) == b"\n"

    def _entry(self, position: Position, record: Record) -> Entry:
        error: TransferError
        if record.described is None:
            error = RowRejectedError(f"row {position.line} {record.problem}")
            return Entry(position, record.raw, None, error, self._form.header)
        try:
            row = self._rows.read(record.described)
            return Entry(position, record.raw, row, None, self._form.header)
        except TransferError as exc:
            exc.message = f"row {position.line}: {exc.message}"
            exc.args = (exc.message,)
            exc.__traceback__ = exc.__context__ = None  # they would keep the row's values
            return Entry(position, record.raw, None, exc, self._form.header)


def _no_entry(line: int) -> ManifestError:
    return ManifestError(f"row {line} does not begin where it began: the manifest is another one")
