"""Why rows were rejected, as a file for whoever corrects the manifest.

The one rule: it is there whole or not at all, and belongs to this plan: it is made under another name,
and one of an earlier plan goes when there is nothing to reject any more.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Final

import aiofiles
import aiofiles.os

from ...aio import Shared
from ...errors import LedgerError, LedgerFullError
from .cells import lines_of

if TYPE_CHECKING:
    from pathlib import Path

    from ...aio import Lane
    from ...batch.ledger import LedgerReader

REJECTED: Final = "rejected.csv"
_AT_ONCE: Final = 1000
_FULL: Final = (28, 27, 122)  # ENOSPC, EFBIG, EDQUOT


async def write_rejected(reader: LedgerReader, directory: Path, lane: Lane) -> Path | None:
    """Write `rejected.csv` into the ledger's directory, 0600: row, code, text.

    Args:
        reader: Of the ledger.
        directory: The ledger's.
        lane: A thread for the reader's blocking calls.

    Returns:
        The file; None when no row was rejected.

    Raises:
        LedgerFullError: There is no room for it.
        LedgerError: It cannot be written, or the ledger cannot be read.
    """
    file = directory / REJECTED
    try:
        return file if await _write(reader, file, lane) else None
    except OSError as exc:
        kind = LedgerFullError if exc.errno in _FULL else LedgerError
        raise kind(f"{REJECTED} cannot be written beside the ledger: {exc.strerror}") from None


async def _write(reader: LedgerReader, file: Path, lane: Lane) -> bool:
    shared = Shared(lambda: None)
    rejects = reader.rejects()
    fresh = file.with_name(f"{REJECTED}.new")
    count = 0
    async with aiofiles.open(fresh, "w", encoding="utf-8", newline="", opener=_private) as lines:
        await lines.write(lines_of([("row", "code", "text")]))
        while some := await lane.run(shared, lambda: list(itertools.islice(rejects, _AT_ONCE))):
            await lines.write(lines_of(some))
            count += len(some)
    if count:
        await aiofiles.os.replace(fresh, file)
    else:
        await aiofiles.os.unlink(fresh)
        if await aiofiles.os.path.exists(file):
            await aiofiles.os.unlink(file)
    return bool(count)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
