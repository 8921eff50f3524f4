"""`--sandbox`: a whole batch for trying out, in a private sandbox, with a ledger that goes away.

The one rule: nothing of the user's is read or written but the manifest and its files: not the profile,
not the ledger, not the list of this user's ledgers.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ...batch.checking import Checker
from ...batch.manifest.reading import Manifest
from ...description import merge
from ...disk.sidecar import read_metadata
from ...errors import ConfigError, InvalidDocumentError, TransferError
from ...redox import message
from ...redox.route import default_model
from ...send.choosing import facts_of
from ...settings import Settings
from ..describe import from_options
from ..made_up import fill
from ..progress import say

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Any, Literal

    from ...batch.manifest.entry import Row
    from ...document import Model
    from .opening import Ready
    from .options import Given

USUAL: Final = "memorial-ehr"
"""The destination of rows that name none, where `--to` does not either."""
ANY_TYPE: Final = "application/octet-stream"
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
    """What rows do not say, in which nothing is missing; `lacking` tells which rows need it."""
    chosen = model or default_model(api or "fhir")
    whole, _ = fill(described, model=chosen)
    say(
        "A trial: a private sandbox stands in for Redox, nothing leaves this machine, no ledger is kept."
    )
    return whole


class Lacking(NamedTuple):
    """Rows that a real run would reject, since a trial makes up what they lack.

    Attributes:
        rows: How many.
        fields: What they lack, in Redox's spelling, the most frequent first.
    """

    rows: int = 0
    fields: tuple[str, ...] = ()


def lacking(ready: Ready, given: Given) -> Lacking:
    """The rows that lack what is made up for them. Reads the whole manifest, and no other file but it.

    Raises:
        ConfigError: The manifest or `--metadata` cannot be used.
    """
    metadata = read_metadata(given.metadata) if given.metadata else {}
    bare = merge(from_options(given.described), metadata)
    options = ready.options
    checker = Checker(ready.settings, options, _no_hash)
    rows, fields = 0, Counter[str]()
    with Manifest.open(ready.manifest, root=options.root, defaults=bare, form=given.form) as manifest:
        for entry in manifest.entries():
            missing = () if entry.row is None else _missing(entry.row, checker, ready.settings)
            rows += bool(missing)
            fields.update(missing)
    return Lacking(rows, tuple(name for name, _ in fields.most_common()))


def _missing(row: Row, checker: Checker, settings: Settings) -> tuple[str, ...]:
    """The fields that a row's model requires and that it lacks; none where it is wrong otherwise."""
    try:
        ask = checker.wanted(row).ask
        facts = facts_of(ask, row.document.content_type or ANY_TYPE, 1, settings)
        message.check(row.document, facts, api=ask.api, model=ask.model)
    except InvalidDocumentError as error:
        return error.missing
    except TransferError:
        pass
    return ()


def _no_hash(*_: bytes, size_bytes: int) -> bytes:
    return bytes(size_bytes)
