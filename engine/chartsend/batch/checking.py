"""One row of a manifest, checked as a send would check it, without a request. Blocking calls.

The one rule: a row is accepted only when everything that can be known before a request is known to
be right; whatever is wrong with it is said by field, never by value.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from ..aio import Deadline
from ..document import API_OF, Receipt, ReceiptError
from ..errors import ConfigError, EmptyFileError, RowRejectedError, TransferError
from ..send import Asking
from ..send.choosing import choose_for, largest_request_bytes
from ..sources.file import peek
from .naming import content_of
from .row import ROUTES, Planned, Route

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..document import Api, Document, Model
    from ..send import Ask
    from ..settings import Settings
    from .manifest.entry import Entry, Row
    from .options import BatchOptions

IDENTITY_BYTES: Final = 16
_NO_IDENTITY: Final = bytes(IDENTITY_BYTES)
_ROUTE_NUMBERS: Final = {route: number for number, route in enumerate(ROUTES)}
_NEVER: Final = Deadline(math.inf)


class Wanted(NamedTuple):
    """A row that can be sent: the document and the options of its own send."""

    document: Document
    to: str
    asking: Asking
    ask: Ask


class Checker:
    """Checks rows, and says who they are.

    Args:
        settings: Limits, identities, destinations.
        options: What rows do not say themselves.
        keyed: A hash under the ledger's key, as `Ledger.keyed`.
    """

    def __init__(self, settings: Settings, options: BatchOptions, keyed: Callable[..., bytes]) -> None:
        self._settings = settings
        self._options = options
        self._keyed = keyed
        self._askings: dict[tuple[str, Api | None, str | None, Model | None], Asking] = {}

    def content(self, entry: Entry) -> bytes:
        """A keyed hash of the row as it stands in the manifest, the columns of its cells included."""
        return content_of(self._keyed, entry)

    def wanted(self, row: Row) -> Wanted:
        """What is asked of a row that could be read.

        Raises:
            RowRejectedError: It has no destination.
            TransferError: Its destination, API or model is wrong.
        """
        options = self._options
        to = row.to or options.to
        if to is None:
            raise RowRejectedError("to: the row names no destination, and there is no --to")
        model = row.model or options.model
        api = row.api or (options.api if row.model is None else API_OF[row.model])
        if row.api is not None and row.model is None and model is not None and API_OF[model] != api:
            model = None  # the row's API has its own usual model
        key = (to, api, row.method or options.method, model)
        asking = self._askings.get(key)
        if asking is None:
            asking = self._asking(to, api, row, model)
            if len(self._askings) < 10_000:  # so many destinations at most are remembered
                self._askings[key] = asking
        return Wanted(row.document, to, asking, asking.ask(row.document, deadline=_NEVER))

    def _asking(self, to: str, api: Api | None, row: Row, model: Model | None) -> Asking:
        try:
            return Asking.of(
                self._settings,
                to=to,
                api=api,
                method=row.method or self._options.method,
                model=model,
                note_text=self._options.note_text,
            )
        except ConfigError as error:
            raise _own(row, error) from error

    def identity(self, ask: Ask) -> bytes:
        """Who a document is at its receiver: the same for this user's every ledger."""
        settings, destination = self._settings, ask.destination
        receiver = destination.slug if ask.api == "fhir" else destination.id
        parts = (settings.api_base, settings.environment or "", receiver or destination.name)
        # A manifest's text may hold lone surrogates only where Python made it: keep them apart.
        texts = (*parts, ask.document_id)
        said = (each.encode("utf-8", "surrogatepass") for each in texts)
        return self._keyed(b"document", *said, size_bytes=IDENTITY_BYTES)

    def check(self, entry: Entry) -> Planned:
        """Check a row completely; a bad one becomes a rejected one.

        Raises:
            ConfigError: Something is wrong for every row alike.
        """
        position = entry.position
        content, identity = self.content(entry), _NO_IDENTITY
        try:
            if entry.row is None:
                raise entry.error or RowRejectedError("the row cannot be read")
            wanted = self.wanted(entry.row)
            identity = self.identity(wanted.ask)
            seen = peek(wanted.document.path or "")
            chosen = choose_for(
                wanted.ask, head=seen.head, size_bytes=seen.size_bytes, settings=self._settings
            )
            self._check_size(seen.size_bytes)
            largest_request_bytes(chosen, wanted.ask, self._settings)
        except TransferError as error:
            if isinstance(error, ConfigError):
                error = _own(entry.row, error)
            return Planned(
                row=position.line,
                offset=position.offset,
                identity=identity,
                content=content,
                error_code=error.code,
                error=error.message,
            )
        return Planned(
            row=position.line,
            offset=position.offset,
            identity=identity,
            content=content,
            size_bytes=seen.size_bytes,
            mtime_ns=seen.mtime_ns,
            route=_ROUTE_NUMBERS[Route(chosen.route.method, chosen.route.model)],
        )

    def _check_size(self, size_bytes: int) -> None:
        """An empty file is refused here as it would be when it is opened."""
        if size_bytes == 0 and not self._settings.limits.allow_empty:
            raise EmptyFileError(
                "the source has 0 bytes; set limits.allow_empty = true if that is meant"
            )


def _own(row: Row | None, error: ConfigError) -> RowRejectedError:
    """The refusal of a row whose own options are wrong.

    Raises:
        ConfigError: It has none of its own, so they are wrong for every row alike.
    """
    if row is None or (row.to is None and row.api is None and row.model is None and row.method is None):
        raise error
    return RowRejectedError(f"to, api, model or method: {error.message}")


def refused(error: TransferError, wanted: Wanted | None) -> Receipt:
    """The receipt of a row for which nothing was begun."""
    if wanted is not None:
        return wanted.asking.refused(wanted.document, error)
    return Receipt(
        document_id="",
        source="",
        bytes=None,
        sha256=None,
        api="fhir",
        method=None,
        model="document-reference",
        status="failed",
        error=ReceiptError(code=error.code, message=error.message),
    )
