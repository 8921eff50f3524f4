"""Where things of a batch lie, when nothing else is said.

The one rule: everything follows from the manifest's name, so every verb finds what another one made.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..disk.left import LEDGER_SUFFIX, LISTING_SUFFIX


def ledger_of(manifest: str | os.PathLike[str]) -> Path:
    """The ledger's directory: `MANIFEST.chartsend` beside the manifest, or beside a folder."""
    path = Path(manifest)
    if not path.name or path.name == "..":
        path = Path(os.path.abspath(path))  # noqa: PTH100  # `.` has no name; links stay as they are
    return path.with_name(path.name + LEDGER_SUFFIX)


def listing_of(ledger: str | os.PathLike[str]) -> Path:
    """The listing of a folder that is a batch's manifest: beside its ledger, and plainly chartsend's.

    A ledger that somebody calls `night` has it in `night.chartsend.jsonl`: `night.jsonl` may be theirs.
    """
    path = Path(ledger)
    return path.with_name(path.name.removesuffix(LEDGER_SUFFIX) + LEDGER_SUFFIX + LISTING_SUFFIX)
