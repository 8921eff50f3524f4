"""What a run itself uses: settings, keys, descriptions, receipts. None of it is anybody's document.

The one rule: files are compared by device and inode, so that no other spelling of a path and no
second name of the same file gets past it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from typing import Self

_STDOUT_AND_STDERR: Final = (1, 2)
"""`> receipts.ndjson` and `2> run.log` may well stand in the folder that is sent."""


@dataclass(frozen=True, slots=True)
class Own:
    """Files and folders of the run's own.

    Attributes:
        identities: `(st_dev, st_ino)` of each.
    """

    identities: frozenset[tuple[int, int]] = frozenset()

    @classmethod
    def of(cls, files: Iterable[str | Path | None], *, folder: Path | None = None) -> Self:
        """What is behind these paths, stdout and stderr, where that is a regular file.

        Args:
            files: Paths; None, and what is not there or is no regular file, counts for nothing.
            folder: A folder that belongs to the run with everything in it.
        """
        found: set[tuple[int, int]] = set()
        for target in (*files, *_STDOUT_AND_STDERR):
            status = None if target is None else _status(target)
            if status is not None and stat.S_ISREG(status.st_mode):
                found.add((status.st_dev, status.st_ino))
        status = None if folder is None else _status(folder)
        if status is not None:
            found.add((status.st_dev, status.st_ino))
        return cls(frozenset(found))

    def holds(self, path: str) -> bool:
        """Whether a path leads to one of them; links are followed."""
        status = _status(path) if self.identities else None
        return status is not None and (status.st_dev, status.st_ino) in self.identities


def _status(target: str | Path | int) -> os.stat_result | None:
    with contextlib.suppress(OSError, ValueError):
        return os.stat(target)  # noqa: PTH116  # a descriptor may be asked for too
    return None
