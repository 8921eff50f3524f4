"""Who rows are, for the operator's own eyes: document id and source, read again from the manifest.

The one rule: a name is given only for the row that was planned: where the manifest is gone, or its line
is another one now, there is none. Names are for stdout; nothing here is logged.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from ..errors import TransferError
from ..redox.identity import document_id
from .facts import ROOT, SENDER
from .manifest.entry import Position

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .manifest.entry import Entry, Row
    from .manifest.reading import Manifest
    from .row import Claimed


class Named(NamedTuple):
    """Who a row is.

    Attributes:
        document_id: Given, or derived as it was when the row was sent; None when it cannot be told.
        source: Path of the file; None when it cannot be told.
        to: The row's destination; None when it cannot be told.
    """

    document_id: str | None = None
    source: str | None = None
    to: str | None = None


class _WithPath(msgspec.Struct, frozen=True):
    """A line of which nothing but the path is looked at."""

    path: str | None = None


class Sender(NamedTuple):
    """What derived document ids need beside the row.

    Attributes:
        source_id: Id of the Redox source that sends; None where a profile has none.
        to: Name of the destination of rows that have none of their own.
        root: Keyed hash of the folder that rows' paths were relative to; None where the ledger does not
            say.
    """

    source_id: str | None
    to: str | None
    root: str | None = None


UNKNOWN: Final = Named()
CONTENT_BYTES: Final = 8
"""As in `checking.py`, which imports the engine."""


class Names:
    """Looks rows up in their manifest. Its calls block.

    Args:
        manifest: Open; None when there is none any more.
        keyed: A hash under the ledger's key, as `Ledger.keyed`.
        sender: What derived document ids need beside the row; None when it is not known.
    """

    def __init__(
        self, manifest: Manifest | None, keyed: Callable[..., bytes], sender: Sender | None = None
    ) -> None:
        self._manifest = manifest
        self._keyed = keyed
        self._sender = sender
        self._has_moved = manifest is not None and _has_moved(manifest, keyed, sender)

    def of(self, claimed: Claimed) -> Named:
        """Who a row is."""
        if self._manifest is None:
            return UNKNOWN
        try:
            entry = self._manifest.entry_at(Position(claimed.offset, claimed.row))
        except TransferError:
            return UNKNOWN
        if content_of(self._keyed, entry) != claimed.content:
            return UNKNOWN
        return Named(source=_path_in(entry.raw)) if entry.row is None else self._named(entry.row)

    def _named(self, row: Row) -> Named:
        sender, document = self._sender, row.document
        to = row.to or (None if sender is None else sender.to)
        ident = document.document_id
        if ident is None and sender is not None and to is not None and not self._has_moved:
            ident = document_id(
                given=None,
                source_id=sender.source_id,
                destination=to,
                key=os.path.abspath(document.path or ""),  # noqa: PTH100  # as when it was sent; no disk
            )
        return Named(ident, document.shown, to)


def _path_in(raw: bytes) -> str | None:
    """The path in a line of JSON that is no row, such as a folder's file whose name does not fit."""
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        return msgspec.json.decode(raw, type=_WithPath).path
    return None


def _has_moved(manifest: Manifest, keyed: Callable[..., bytes], sender: Sender | None) -> bool:
    """Whether paths lead elsewhere than when rows were sent: then no id can be derived from them."""
    if sender is None or sender.root is None:
        return False
    return root_of(keyed, manifest) != sender.root


def root_of(keyed: Callable[..., bytes], manifest: Manifest) -> str:
    """The keyed hash of the folder that a manifest's paths are relative to."""
    folder = manifest.root.folder.encode("utf-8", "surrogatepass")
    return keyed(b"root", folder, size_bytes=CONTENT_BYTES).hex()


def content_of(keyed: Callable[..., bytes], entry: Entry) -> bytes:
    """The keyed hash of a row as it stands in the manifest, as `Checker.content`."""
    return keyed(b"row", *entry.said, size_bytes=CONTENT_BYTES)


def sender_of(facts: Mapping[str, str]) -> Sender | None:
    """Who sends, as it was noted when the ledger was made; None for a ledger that does not say."""
    text = facts.get(SENDER)
    if text is None:
        return None
    return msgspec.json.decode(text, type=Sender)._replace(root=facts.get(ROOT))
