"""Forgetting: what old receipts say, or a whole ledger.

The one rule: a ledger goes whole or stays whole, and only when nothing is left to be done with it.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Final

from ..errors import LedgerError
from .facts import STARTED
from .journal import now_ms
from .sqlite import SqliteLedger, keys
from .sqlite.lock import Lock
from .sqlite.place import find
from .sqlite.reader import SqliteReader
from .status import rows_of
from .where import listing_of

KEPT_S: Final = 60 * 24 * 3600.0
"""How long Redox keeps payloads; what is older cannot be looked up there."""
_DATABASE: Final = "ledger.db"
_OURS: Final = frozenset(
    {_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", "key", "lock", "mark", "probe"}
    | {"rejected.csv", "rejected.csv.new"}
)
"""What chartsend itself puts into a ledger's directory."""


async def forget_receipts(directory: str | os.PathLike[str], older_than_s: float = KEPT_S) -> int:
    """Forget what receipts say that were settled longer ago; their places in the chain stay.

    Cancelled, some are forgotten.

    Returns:
        How many.

    Raises:
        LedgerLockedError: A run is going on.
        LedgerError: There is no ledger, or it failed.
    """
    ledger = await SqliteLedger.open(directory, create=False)
    try:
        return await ledger.purge(now_ms() - round(older_than_s * 1000))
    finally:
        await ledger.aclose()


def remove_ledger(directory: str | os.PathLike[str]) -> None:
    """Remove a ledger of which nothing is pending or in doubt, or from which nothing was sent. Blocks.

    The listing of a folder goes with it. Nobody knows afterwards what was sent from its manifest, and no
    later batch recognises it.

    Raises:
        LedgerLockedError: A run is going on.
        LedgerError: Rows are pending or in doubt, or the directory holds something else too;
            nothing was removed.
    """
    place = find(Path(directory).absolute())
    lock = Lock.take(place.lock)
    try:
        reader = SqliteReader.open(place.directory)
        with contextlib.closing(reader):
            rows, has_begun = rows_of(reader.counts()), _has_begun(reader)
        if has_begun and (rows.pending or rows.in_doubt):
            raise LedgerError(
                f"the batch is not over (rows pending: {rows.pending:,}, in doubt: {rows.in_doubt:,}):"
                " send or resolve them first"
            )
        strangers = {entry.name for entry in os.scandir(place.directory)} - _OURS
        if strangers:
            raise LedgerError(
                f"the ledger's directory holds more than the ledger ({len(strangers)} of other names);"
                " move that away, or remove the directory by hand"
            )
        # Renamed first: killed half-way, what is left is no ledger, rather than half of one.
        gone = place.directory.with_name(f"{place.directory.name}.{uuid.uuid4().hex}.removed")
        place.directory.rename(gone)
    finally:
        lock.release()
    for name in _OURS:
        (gone / name).unlink(missing_ok=True)
    gone.rmdir()
    listing_of(place.directory).unlink(missing_ok=True)
    keys.forget(place.directory)


def _has_begun(reader: SqliteReader) -> bool:
    """Whether a run was begun with a ledger, so that something may have been sent from it."""
    seq, _ = reader.head()
    return seq > 0 or STARTED in reader.facts()
