"""`--sandbox`: a whole batch for trying out, in a private sandbox, with a ledger that goes away.

The one rule: nothing of the user's is read or written but the manifest and its files: not the profile,
not the ledger, not the list of this user's ledgers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...batch.manifest.reading import Manifest
from ...errors import ConfigError
from ...redox.route import default_model
from ...settings import Settings
from ..made_up import fill
from ..progress import say

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any, Literal

    from ...document import Model

USUAL: Final = "memorial-ehr"
"""The destination of rows that name none, where `--to` does not either."""
MOST_DESTINATIONS: Final = 500
"""They stand on the sandbox's command line."""


@contextlib.contextmanager
def private_folder() -> Generator[Path]:
    """A folder for the ledger, 0700; it is also the home of the list of ledgers meanwhile."""
    with tempfile.TemporaryDirectory(prefix="chartsend-trial-") as name:
        before = os.environ.get("XDG_STATE_HOME")
        os.environ["XDG_STATE_HOME"] = str(Path(name, "state"))
        try:
            yield Path(name)
        finally:
            del os.environ["XDG_STATE_HOME"]
            if before is not None:
                os.environ["XDG_STATE_HOME"] = before


def destinations_of(
    manifest: Path, to: str, *, root: str | None, form: Literal["jsonl", "csv"] | None
) -> list[str]:
    """Names of destinations in a call and its manifest that can be names. Reads the whole manifest.

    Raises:
        ConfigError: The manifest cannot be used, or `to` can be no destination's name.
    """
    Settings().destination(to)
    names = {to: None}
    with Manifest.open(manifest, root=root, form=form) as opened:
        for entry in opened.entries():
            name = entry.row.to if entry.row else None
            if name is not None and name not in names and _can_be_one(name):
                names[name] = None
            if len(names) >= MOST_DESTINATIONS:
                break
    return list(names)


def _can_be_one(name: str) -> bool:
    try:
        Settings().destination(name)
    except ConfigError:
        return False
    return True


def completed(
    described: Mapping[str, Any], *, api: Literal["fhir", "data-model"] | None, model: Model | None
) -> dict[str, Any]:
    """What rows do not say, in which nothing is missing; says what was made up."""
    chosen = model or default_model(api or "fhir")
    whole, lacking = fill(described, model=chosen)
    say(
        "A trial: a private sandbox stands in for Redox, nothing leaves this machine, no ledger is kept."
    )
    if lacking:
        say(
            f"Made up for rows that do not say it: {', '.join(lacking)}"
            " (Marla Quillfeather, MR 0000991234)."
        )
    return whole
