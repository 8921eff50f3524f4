"""Bodies kept in a folder, for the tests that look at what really came.

The one rule: a kept body gets its name, `KIND-PROCESS-NUMBER.body`, when it has come whole.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .heads import Head


class Keeper:
    """Keeps every body."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0

    def begin(self, head: Head) -> Kept:
        """Open a file for the body of this request."""
        self._number += 1
        return Kept(self._folder / f"{head.kind}-{os.getpid()}-{self._number}.body")


class Kept:
    """One body, as far as it has come."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file = self._part.open("wb")

    def write(self, data: memoryview) -> None:
        """Add bytes."""
        self._file.write(data)

    def finish(self) -> None:
        """Give it its name."""
        self._file.close()
        self._part.rename(self._path)

    def drop(self) -> None:
        """Forget a body that did not come whole."""
        self._file.close()
        self._part.unlink()
