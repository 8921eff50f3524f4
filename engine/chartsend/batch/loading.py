"""Claimed rows, read again from the manifest and ready to be sent. Blocking calls.

The one rule: what is sent is what was planned: a row whose line changed, or whose line means another
receiver or another id now, is not sent at all.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ManifestError, RowRejectedError, TransferError
from .manifest.entry import Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .checking import Checker, Wanted
    from .manifest.reading import Manifest
    from .row import Claimed


@dataclass(frozen=True, slots=True)
class Work:
    """A claimed row and what its line says.

    Attributes:
        claimed: As the ledger has it.
        wanted: What is to be sent; None when the row cannot be sent after all.
        error: Why not.
        has_changed: The file's size or time is not what it was when it was planned.
    """

    claimed: Claimed
    wanted: Wanted | None
    error: TransferError | None
    has_changed: bool


def load(claimed: Sequence[Claimed], manifest: Manifest, checker: Checker) -> list[Work]:
    """Read the rows' lines again.

    Raises:
        ManifestError: The manifest is no longer the one that was planned, or the profile says of a row's
            destination that it is another receiver.
    """
    manifest.check_unchanged()
    return [_load(each, manifest, checker) for each in claimed]


def _load(claimed: Claimed, manifest: Manifest, checker: Checker) -> Work:
    entry = manifest.entry_at(Position(claimed.offset, claimed.row))
    if checker.content(entry) != claimed.content:
        raise ManifestError(
            f"row {claimed.row} is not what was planned: the manifest changed while the batch ran;"
            " run it again to plan what changed"
        )
    try:
        if entry.row is None:
            raise entry.error or RowRejectedError("the row cannot be read")
        wanted = checker.wanted(entry.row)
        if checker.identity(wanted.ask) != claimed.identity:
            raise _another(claimed.row)
        path = wanted.document.path or ""
        manifest.root.check(path)  # a link may have been put in its place since
        return Work(claimed, wanted, None, _has_changed(path, claimed))
    except ManifestError:
        raise
    except TransferError as error:
        return Work(claimed, None, error, has_changed=False)


def _another(row: int) -> ManifestError:
    return ManifestError(
        f"row {row} would go to another receiver, or under another document id, than was planned: its"
        " destination changed in the profile since, or the manifest or --root moved (an id that the row"
        " does not give follows from the file's path). Put that back, or give this job a ledger of its"
        " own with --ledger DIR, where what was sent is recognised by receiver and id; a ledger with"
        " which no run was begun yet can be removed with `batch purge --all`"
    )


def _has_changed(path: str, claimed: Claimed) -> bool:
    try:
        status = os.stat(path.encode("utf-8", "surrogateescape"))  # noqa: PTH116  # for millions
    except (OSError, ValueError):
        return False  # whoever opens it will say what is wrong
    return (status.st_size, status.st_mtime_ns) != (claimed.size_bytes, claimed.mtime_ns)
