"""Turns what was found into documents, lazily: reads sidecars, merges descriptions, skips.

The one rule: a source whose description is bad becomes a failed receipt and the others go on;
nothing of it is sent with half a description.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..aio import Lane, Shared
from ..description import merge
from ..disk.find import walk
from ..disk.own import Own
from ..disk.sidecar import is_lone_sidecar, read_sidecar
from ..document import Document, Receipt, ReceiptError
from ..errors import InvalidDocumentError, TransferError
from ..redox.identity import document_id
from ..shape import parse_shape
from .accepted import digest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping
    from typing import Self

    from ..disk.find import Roots, Skipped
    from ..document import Api, Model
    from .accepted import EarlierRun
    from .summary import Summary

AT_ONCE: Final = 32
"""Sources looked up in one visit to a thread; so many descriptions are held at most."""


@dataclass(frozen=True, slots=True)
class Route:
    """What every document of a run has in common: enough for a receipt and an identity."""

    api: Api
    model: Model
    source_id: str | None
    destination: str


@dataclass(slots=True)
class _Found:
    """What one visit to the disk brought; counted on the event loop, not in the thread."""

    documents: list[Document] = field(default_factory=list[Document])
    refused: list[Receipt] = field(default_factory=list[Receipt])
    held_back: list[str] = field(default_factory=list[str])
    skipped: int = 0
    sidecars: int = 0
    sources: int = 0


async def _forget(_: Receipt) -> None:
    """Where a refused receipt goes before a run has taken over."""


@dataclass(slots=True)
class Intake:
    """An async iterator of documents, for `Engine.send_many`; disk is touched in a thread only.

    Attributes:
        roots: Where to look.
        skipped: Counts what is left out.
        defaults: The description for all, its levels merged.
        route: For receipts of sources that never become documents.
        complete: Makes a merged description whole; the private sandbox's made-up patient.
        earlier: What an earlier run sent.
        own: What the run itself uses, which is never sent.
        summary: Counts what is skipped and held back.
        due: Documents that were given, refused or held back: each is counted in the summary once it
            has ended, unless it was given and never begun.
        refuse: Awaited with the receipt of each source whose description is bad.
    """

    roots: Roots
    skipped: Skipped
    defaults: Mapping[str, Any]
    route: Route
    summary: Summary
    complete: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    earlier: EarlierRun | None = None
    own: Own = field(default_factory=Own)
    refuse: Callable[[Receipt], Awaitable[None]] = _forget
    due: int = 0
    _ready: list[Document] = field(default_factory=list[Document])
    _given_ids: set[bytes] = field(default_factory=set[bytes])
    _lane: Lane = field(default_factory=lambda: Lane(threads=1, name="intake"))
    _folders: Shared = field(default_factory=lambda: Shared(lambda: None))
    _base: str = field(default_factory=os.getcwd)
    """Kept: the folder may go while the run goes on."""
    _paths: Iterator[str] = field(default_factory=lambda: iter(()))
    _is_stopped: bool = False
    _is_exhausted: bool = False

    def __post_init__(self) -> None:
        self._paths = itertools.chain(walk(self.roots, self.skipped, self.own), self.roots.missing)

    @property
    def is_reading(self) -> bool:
        """Whether a call to the file system hangs: then the process cannot end as usual."""
        return self._lane.running > 0

    @property
    def is_stopped(self) -> bool:
        """Whether nothing more may be started, a document that was given before included."""
        return self._is_stopped

    def stop(self) -> bool:
        """Give no further document. Returns whether that is news."""
        is_news = not self._is_stopped
        self._is_stopped = True
        self.summary.outcome.stopped |= bool(self._ready) or not self._is_exhausted
        return is_news

    async def aclose(self) -> None:
        """Let the thread end; one that hangs is left behind."""
        await self._lane.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Document:
        """The next document. Cancelled, a look-up that hangs is left behind."""
        while not self._ready and not self._is_stopped:
            found = await self._lane.run(self._folders, self._look_up)
            if not found.sources:
                self._is_exhausted = True
                break
            self._ready = found.documents[::-1]
            await self._count(found)
        if self._is_stopped or not self._ready:
            raise StopAsyncIteration
        self.due += 1
        return self._ready.pop()

    async def _count(self, found: _Found) -> None:
        outcome = self.summary.outcome
        outcome.skipped += found.skipped
        outcome.in_doubt += len(found.held_back)
        self.due += len(found.held_back) + len(found.refused)
        self.summary.sidecars += found.sidecars
        for ident in found.held_back:
            self.summary.held_back.add(ident)
        for receipt in found.refused:
            await self.refuse(receipt)

    def _look_up(self) -> _Found:
        """The next few sources. Runs in the thread, one call at a time."""
        found = _Found()
        for path in itertools.islice(self._paths, AT_ONCE):
            found.sources += 1
            self._look_at(path, found)
        return found

    def _look_at(self, path: str, found: _Found) -> None:
        described: Mapping[str, Any] = self.defaults
        try:
            self._check_is_no_document_of_ours(path)
            sidecar = read_sidecar(path)
            found.sidecars += bool(sidecar)
            described = self.complete(merge(sidecar, self.defaults))
            document = parse_shape(Document, {**described, "path": path})
            ident = self._identity(document.document_id, path)
            if document.document_id is not None:
                self._check_is_given_once(ident)
        except InvalidDocumentError as exc:
            given = described.get("document_id")
            usable = given if isinstance(given, str) and self._is_free(given) else None
            found.refused.append(self._failed(path, usable, exc))
            return
        match self.earlier.status(ident) if self.earlier else None:
            case "accepted":
                found.skipped += 1
            case "in_doubt":
                found.held_back.append(ident)
            case None:
                found.documents.append(document)

    def _check_is_no_document_of_ours(self, path: str) -> None:
        if self.own.holds(path):
            raise InvalidDocumentError(
                "this run itself uses this file (settings, key, description or receipts), so it is"
                " no document to send: leave it out"
            )
        if is_lone_sidecar(path):
            raise InvalidDocumentError(
                "a sidecar without its file: it describes a document that is not there, and is not"
                " sent itself; bring its file back, or rename it if it is a document"
            )

    def _check_is_given_once(self, ident: str) -> None:
        """Refuse an id that was given before in this run. Derived ids differ as their paths do."""
        if not self._is_free(ident):
            raise InvalidDocumentError(
                "its document_id was given to another file of this run already; sent under the same"
                " id, one would replace the other: give each file an id of its own",
                problems=("document_id is given twice",),
            )
        self._given_ids.add(digest(ident))

    def _is_free(self, given: str) -> bool:
        """Whether an id can stand for one file: a receipt with another's would speak for both."""
        return bool(given.strip()) and digest(given) not in self._given_ids

    def failed(self, document: Document, error: TransferError) -> Receipt:
        """The receipt of a document that failed before its first request."""
        return self._failed(document.path or "", document.document_id, error)

    def _identity(self, given: str | None, path: str) -> str:
        return document_id(
            given=given,
            source_id=self.route.source_id,
            destination=self.route.destination,
            key=os.path.normpath(os.path.join(self._base, path)),  # noqa: PTH118  # as `abspath` has it
        )

    def _failed(self, path: str, given: str | None, error: TransferError) -> Receipt:
        return Receipt(
            document_id=self._identity(given, path),
            source=path,
            bytes=None,
            sha256=None,
            api=self.route.api,
            method=None,
            model=self.route.model,
            status="failed",
            error=ReceiptError(code=error.code, message=error.message),
        )
