"""Rows and the work on them as they stand in the tables, each with a checksum over its own columns.

The one rule: what does not carry the checksum of exactly these columns was not written here, and is
never worked on. CRC-32 finds every change of a single bit, and of any 32 bits in a row.

SQLite's pages carry no checksums of their own (only its log does), so a flipped bit in the middle of
a table would otherwise be read as the truth.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

import msgspec

from ...errors import LedgerCorruptError
from ..row import Claimed, State

if TYPE_CHECKING:
    from collections.abc import Sequence

Column = int | str | bytes | None
"""What a column of the ledger can hold."""

NO_IDENTITY: Final = bytes(16)
"""The identity of a row that was rejected before it had one."""

IDENTITY_BYTES: Final = 16
CONTENT_BYTES: Final = 8

_PLAN: Final = struct.Struct("<qqq16s8sqqq")
_PACK: Final = msgspec.msgpack.Encoder().encode
_CRC_BYTES: Final = 4
_STATES: Final = {int(state): state for state in State}


class Record(NamedTuple):
    """A line of the table `rows`: the plan, and the state."""

    row: int
    state: int
    offset: int
    identity: bytes
    content: bytes
    size_bytes: int
    mtime_ns: int
    route: int


class Work(NamedTuple):
    """A line of the table `work`: what claims and attempts have left behind.

    Attributes:
        next_try_ms: When it may be claimed: 0 at once; None when it cannot be (it has an owner,
            or its outcome is in doubt).
    """

    row: int
    owner: str | None = None
    attempts: int = 0
    first_tried_ms: int = 0
    next_try_ms: int | None = None
    tries: int = 0
    reference_url: str | None = None
    source_id: str | None = None
    uploaded_ms: int | None = None
    sha256: bytes | None = None
    message_ms: int | None = None
    message_hash: bytes | None = None
    maybe_duplicate: int = 0
    orphans: int = 0
    error_code: str | None = None


class Found(NamedTuple):
    """A row with the work on it, if there has been any."""

    record: Record
    work: Work | None

    @property
    def state(self) -> State:
        """The row's state."""
        return _STATES[self.record.state]

    def claimed(self) -> Claimed:
        """The same in the words of the port."""
        record, work = self.record, self.work or Work(self.record.row)
        return Claimed(
            row=record.row,
            offset=record.offset,
            identity=record.identity,
            content=record.content,
            size_bytes=record.size_bytes,
            mtime_ns=record.mtime_ns,
            route=record.route,
            state=_STATES[record.state],
            attempts=work.attempts,
            first_tried_ms=work.first_tried_ms,
            tries=work.tries,
            reference_url=work.reference_url,
            source_id=work.source_id,
            uploaded_ms=work.uploaded_ms,
            sha256=work.sha256,
            message_ms=work.message_ms,
            message_hash=work.message_hash,
            maybe_duplicate=work.maybe_duplicate,
            orphans=work.orphans,
        )


RECORD_COLUMNS: Final = (
    "row",
    "state",
    "offset",
    "identity",
    "content",
    "size_bytes",
    "mtime_ns",
    "route",
)
WORK_COLUMNS: Final = Work._fields
FOUND_COLUMNS: Final = ", ".join(
    [f"rows.{name}" for name in (*RECORD_COLUMNS, "crc")]
    + [f"work.{name}" for name in (*WORK_COLUMNS, "crc")]
)
"""What `found` reads, in order: `rows` joined with `work`."""
_SPLIT: Final = len(RECORD_COLUMNS) + 1


def crc_of_record(record: Record) -> bytes:
    """Checksum of a row's columns, its number included, so that a row cannot pass for another.

    Raises:
        ValueError: Identity or content have not the length that they must have.
        struct.error: A number is out of range.
    """
    if len(record.identity) != IDENTITY_BYTES or len(record.content) != CONTENT_BYTES:
        raise ValueError(f"row {record.row}: identity and content have 16 and 8 bytes")
    return crc32(_PLAN.pack(*record)).to_bytes(_CRC_BYTES, "little")


def crc_of(*columns: Column) -> bytes:
    """Checksum of the columns of anything else."""
    return crc32(_PACK(columns)).to_bytes(_CRC_BYTES, "little")


def crc_of_work(work: Work, state: int) -> bytes:
    """Checksum of a line of `work` and of its row's state: neither can be older than the other."""
    return crc32(_PACK((state, *work))).to_bytes(_CRC_BYTES, "little")


def found(line: Sequence[Column]) -> Found:
    """A row and its work from the columns `FOUND_COLUMNS`, checked.

    Raises:
        LedgerCorruptError: It is not as it was written.
    """
    record = Record(*line[: _SPLIT - 1])  # type: ignore[arg-type]  # checked by the next lines
    try:
        is_whole = line[_SPLIT - 1] == crc_of_record(record) and record.state in _STATES
        work = None if line[_SPLIT] is None else Work(*line[_SPLIT:-1])  # type: ignore[arg-type]
        is_whole = is_whole and (work is None or line[-1] == crc_of_work(work, record.state))
    except (struct.error, TypeError, ValueError):
        is_whole, work = False, None
    if not is_whole:
        raise damaged(line[_SPLIT] if line[0] is None else line[0])
    return Found(record, work)


def damaged(row: Column) -> LedgerCorruptError:
    """The error for a row that is not as it was written."""
    return LedgerCorruptError(
        f"row {row!r} of the ledger is not as it was written; nothing is sent from it. Restore the"
        " ledger from a copy, or run `batch verify` to see how far the damage goes"
    )
