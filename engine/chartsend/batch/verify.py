"""Proof that a manifest and its ledger agree, row by row, and that the ledger is what was written.

The one rule: everything is read and nothing is believed: a row that only one of the two has, a line
that changed, a receipt that was altered, and a ledger that was put back to an earlier state are each
told, by row number. Memory does not grow with the rows.

Theory. Rows stand in the ledger under the number of their line, so manifest and ledger come in the same
order, and comparing them is a merge of two streams. What the ledger says of itself (checksums, counters,
each state with its last receipt, the chain) is proved by `LedgerReader.verify`. The chain's links are
keyed hashes, each over all receipts before it; so whoever noted one elsewhere can tell later whether
the ledger still holds every receipt it held then.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ..errors import LedgerError, LedgerLockedError
from .naming import content_of
from .row import State
from .sqlite.reader import SqliteReader
from .status import rows_of, running_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .ledger import LedgerReader
    from .manifest.entry import Entry
    from .manifest.reading import Manifest
    from .row import Claimed
    from .status import Rows

MOST: Final = 200
"""Findings of a kind that are listed; all are counted."""
EVERY: Final = 1000
"""Rows between two words on how far it is."""


_NOTED: Final = re.compile(r"([0-9]{1,18}):([0-9a-fA-F]{64})")


class Noted(msgspec.Struct, frozen=True):
    """The end of the chain at some time, as it was noted elsewhere.

    Attributes:
        seq: Number of its last receipt; 0 for none.
        hash: The link of that one, 64 hex digits.
    """

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Noted:
        """Read `SEQ:HASH`, as `str` gives it.

        Raises:
            ValueError: It is none.
        """
        found = _NOTED.fullmatch(text.strip())
        if found is None:
            raise ValueError("not SEQ:HASH")
        return cls(int(found[1]), found[2].lower())

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"


Kind = Literal["only_in_manifest", "only_in_ledger", "changed", "file_changed", "file_missing"]
KINDS: Final[dict[Kind, str]] = {
    "only_in_manifest": "stand in the manifest and not in the ledger",
    "only_in_ledger": "stand in the ledger and not in the manifest",
    "changed": "have another line in the manifest than was planned",
    "file_changed": "were accepted, and their file's size or time is not what it was when planned",
    "file_missing": "were accepted, and their file is not there any more",
}
"""What can differ, in words that follow `Rows that`."""


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        rows: Of the ledger, by what became of them.
        manifest_rows: Records of the manifest.
        head: The end of the chain, to be noted elsewhere; None when that is damaged.
        damage: What is wrong with the ledger itself.
        differences: Rows that differ, by kind: how many.
        examples: The first of them, by kind.
        files: How many files of accepted rows were looked at; None when that was not asked.
    """

    rows: Rows
    manifest_rows: int
    head: Noted | None
    damage: tuple[str, ...]
    differences: dict[Kind, int]
    examples: dict[Kind, tuple[int, ...]]
    files: int | None = None

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damage and not self.differences


class _Findings:
    """Counts differences, and keeps the first of each kind."""

    def __init__(self) -> None:
        self.counts: dict[Kind, int] = {}
        self.examples: dict[Kind, list[int]] = {}

    def add(self, kind: Kind, row: int) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        some = self.examples.setdefault(kind, [])
        if len(some) < MOST:
            some.append(row)


def verify(
    directory: str | os.PathLike[str],
    manifest: Manifest,
    *,
    expected: Noted | None = None,
    looks_at_files: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> Verified:
    """Prove a ledger against its manifest. Blocks, for seconds to minutes; reads everything.

    Args:
        directory: Of the ledger.
        manifest: Open.
        expected: An end of the chain that was noted before.
        looks_at_files: Whether to compare the file of every accepted row with what was planned.
        on_progress: Told from time to time how many rows have been compared.

    Raises:
        LedgerLockedError: A run is going on; nothing was compared.
        LedgerError: There is no ledger, or nothing at all can be read of it.
        ManifestError: The manifest cannot be read to its end.
    """
    pid = running_pid(directory)
    if pid is not None:
        raise LedgerLockedError(f"process {pid} works with this ledger; verify it when that has ended")
    reader = SqliteReader.open(directory)
    with contextlib.closing(reader):
        damage = [*reader.verify(), *_rolled_back(reader, expected)]
        comparing = _Comparing(reader, manifest, looks_at_files=looks_at_files, on_progress=on_progress)
        try:
            comparing.run()
        except LedgerError as exc:  # a damaged row; `LedgerReader.verify` told of all of them
            if not damage:
                damage.append(exc.message)
        found = comparing.findings
        return Verified(
            rows=rows_of(_counts(reader)),
            manifest_rows=comparing.manifest_rows,
            head=_head(reader),
            damage=tuple(damage),
            differences=found.counts,
            examples={kind: tuple(rows) for kind, rows in found.examples.items()},
            files=comparing.files if looks_at_files else None,
        )


def _counts(reader: LedgerReader) -> dict[State, int]:
    try:
        return reader.counts()
    except LedgerError:  # among the damage already
        return {}


def _head(reader: LedgerReader) -> Noted | None:
    try:
        seq, link = reader.head()
    except LedgerError:  # among the damage already
        return None
    return Noted(seq, link.hex())


def _rolled_back(reader: LedgerReader, expected: Noted | None) -> Iterator[str]:
    """What is wrong when the chain does not hold a link that it held before."""
    if expected is None:
        return
    link = reader.link(expected.seq)
    if link is None:
        yield (
            f"the chain has no receipt {expected.seq} any more: the ledger was put back to an earlier"
            " state, or its end was cut off"
        )
    elif link.hex() != expected.hash:
        yield (
            f"receipt {expected.seq} is not the one that was noted: this is another ledger, or an"
            " altered one"
        )


class _Comparing:
    """Goes over manifest and ledger side by side, in the order of their rows."""

    def __init__(
        self,
        reader: LedgerReader,
        manifest: Manifest,
        *,
        looks_at_files: bool,
        on_progress: Callable[[int], None] | None,
    ) -> None:
        self._reader = reader
        self._manifest = manifest
        self._looks_at_files = looks_at_files
        self._on_progress = on_progress
        self.findings = _Findings()
        self.manifest_rows = 0
        self.files = 0

    def run(self) -> None:
        rows = iter(self._reader.rows())
        row = next(rows, None)
        for entry in self._manifest.entries():
            while row is not None and row.row < entry.number:
                self.findings.add("only_in_ledger", row.row)
                row = next(rows, None)
            if row is None or row.row > entry.number:
                self.findings.add("only_in_manifest", entry.number)
            else:
                self._compare(entry, row)
                row = next(rows, None)
            self._count()
        while row is not None:
            self.findings.add("only_in_ledger", row.row)
            row = next(rows, None)

    def _count(self) -> None:
        self.manifest_rows += 1
        if self._on_progress is not None and self.manifest_rows % EVERY == 0:
            self._on_progress(self.manifest_rows)

    def _compare(self, entry: Entry, row: Claimed) -> None:
        if content_of(self._reader.keyed, entry) != row.content:
            self.findings.add("changed", row.row)
        elif self._looks_at_files and row.state is State.DONE and entry.row is not None:
            self.files += 1
            kind = _file(entry.row.document.path or "", row)
            if kind is not None:
                self.findings.add(kind, row.row)


def _file(path: str, row: Claimed) -> Kind | None:
    """How the file of an accepted row differs from the one that was planned."""
    try:
        status = os.stat(path)  # noqa: PTH116  # one call for each row of millions
    except (OSError, ValueError):
        return "file_missing"
    is_same = (status.st_size, status.st_mtime_ns) == (row.size_bytes, row.mtime_ns)
    return None if is_same and stat.S_ISREG(status.st_mode) else "file_changed"
