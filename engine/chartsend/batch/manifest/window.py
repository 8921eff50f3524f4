"""A piece of the manifest in memory, which moves on as records are read.

The one rule: it holds no more than the longest line and one block, however long a line is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .opened import Opened

MAX_LINE_BYTES: Final = 1024 * 1024
"""Longest line that is looked at; of a longer one only the end is searched."""
STREAM_BYTES: Final = 256 * 1024
"""What is read at a time when records are read one after another."""
SINGLE_BYTES: Final = 8 * 1024
"""What is read at first when one record is wanted; doubled while it is not enough."""


class Window:
    """Bytes of a file by their offsets in the file.

    Offsets may be asked for in any order within the last `MAX_LINE_BYTES`; what lies before the
    offset that was given to `forget` is gone.

    Args:
        file: Where the bytes come from.
        block_bytes: What to read at a time.
    """

    def __init__(self, file: Opened, block_bytes: int) -> None:
        self._file = file
        self._block_bytes = block_bytes
        self._start = 0
        self._data = b""
        self.end = file.size_bytes

    def forget(self, before: int) -> None:
        """Let go of what lies before an offset, once there is more to be read."""
        if not self._start <= before <= self._start + len(self._data):
            self._start, self._data = before, b""
        elif before - self._start > len(self._data) // 2:
            self._data = self._data[before - self._start :]
            self._start = before

    def find(self, what: bytes, at: int, end: int) -> int:
        """Offset of the first `what`, one byte, in `[at, end)`; -1 when there is none.

        Raises:
            ManifestError: The file changed or cannot be read.
        """
        end = min(end, self.end)
        while True:
            found = self._data.find(what, at - self._start, end - self._start)
            if found >= 0:
                return self._start + found
            have = self._start + len(self._data)
            if have >= end:
                return -1
            at = max(at, have)
            self._read_on()

    def piece(self, at: int, end: int) -> bytes:
        """The bytes in `[at, end)`, as far as the file has them.

        Raises:
            ManifestError: The file changed or cannot be read.
        """
        end = min(end, self.end)
        while self._start + len(self._data) < end:
            self._read_on()
        return self._data[at - self._start : end - self._start]

    def _read_on(self) -> None:
        have = self._start + len(self._data)
        self._data += self._file.read(have, self._block_bytes)
        self._block_bytes = min(2 * self._block_bytes, STREAM_BYTES)
