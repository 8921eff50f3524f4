"""How many commits were confirmed, beside the ledger: what makes a lost end of its log noticed.

The one rule: the mark never says more than what the disk had confirmed before. So a ledger that knows
of fewer commits than its mark has lost some, and with them, perhaps, that a message was sent.

SQLite takes a log up to the first frame whose checksum is wrong, and drops the rest without a word.
That is right for a frame that a crash tore: its commit was never confirmed. It is wrong for one in
which a bit flipped later. The two cannot be told apart by looking at the log, but by this number.

It is written after each commit without waiting for the disk: that it may be older than the truth after
a power failure does no harm.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from zlib import crc32

from ...errors import LedgerCorruptError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

COMMITS: Final = "commits"
"""The counter of commits that changed something."""

_NUMBER: Final = struct.Struct("<q")
_CRC_BYTES: Final = 4


class Mark:
    """The mark of a ledger that is being written."""

    def __init__(self, file: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(file, flags, 0o600)
        os.fchmod(self._descriptor, 0o600)  # whatever the umask took

    def write(self, commits: int) -> None:
        """So many commits were confirmed.

        Raises:
            OSError: It cannot be written.
        """
        number = _NUMBER.pack(commits)
        os.pwrite(self._descriptor, number + crc32(number).to_bytes(_CRC_BYTES, "little"), 0)

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


def read(file: Path) -> int:
    """How many commits were confirmed at least; 0 where that is not known."""
    with suppress(FileNotFoundError):
        content = file.read_bytes()
        number, crc = content[: _NUMBER.size], content[_NUMBER.size :]
        if len(number) == _NUMBER.size and crc == crc32(number).to_bytes(_CRC_BYTES, "little"):
            return int(_NUMBER.unpack(number)[0])
    return 0


def check(marked: int, counters: Mapping[str, int]) -> None:
    """Refuse a ledger that knows of fewer commits than were confirmed.

    Args:
        marked: How many were, at least; read before the ledger.
        counters: Of the ledger.

    Raises:
        LedgerCorruptError: It does.
    """
    commits = counters.get(COMMITS, 0)
    if commits < marked:
        raise LedgerCorruptError(
            f"the last {marked - commits} commits that were confirmed are missing from the ledger: what"
            " they said was sent would be sent again. Restore the ledger from a copy; or, to go on"
            " without them, knowing that, remove the file `mark` from its directory"
        )
