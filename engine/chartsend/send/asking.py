"""What is asked of every document of one call: destination, API, method, model, checked once.

The one rule: a wrong option is an error before the first document is looked at.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..document import API_OF, Receipt, ReceiptError
from ..errors import InvalidDocumentError
from ..redox.identity import document_id
from ..redox.route import Wish, check_model, default_model
from ..settings.parts import METHODS, one_of
from .ask import Ask

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from ..aio import Deadline
    from ..document import Api, Document, Model
    from ..errors import TransferError
    from ..ports import Progress
    from ..settings import Destination, Settings
    from .ask import Earlier


@dataclass(frozen=True, slots=True)
class Asking:
    """The options of one call, and how they become an `Ask` for each document."""

    settings: Settings
    destination: Destination
    wish: Wish
    api: Api
    model: Model

    @classmethod
    def of(  # the options of one call, all by keyword
        cls,
        settings: Settings,
        *,
        to: str,
        api: Api | None,
        method: Literal["auto", "upload", "embed"] | None,
        model: Model | None,
        note_text: bool | None,
    ) -> Asking:
        """Options as given, completed from the settings.

        A model without an API chooses its API.

        Raises:
            ConfigError: The destination, API, method or model is wrong.
        """
        one_of("api", api, API_OF.values())
        one_of("method", method, METHODS)
        one_of("model", model, API_OF)
        destination = settings.destination(to)
        if api is None:
            api = settings.api if model is None else API_OF[model]
        if model is None:
            usual = settings.model
            model = usual if usual is not None and API_OF[usual] == api else default_model(api)
        check_model(api, model)
        by_site = settings.note_text if destination.note_text is None else destination.note_text
        wish = Wish(
            api=api,
            method=method or settings.method,
            model=model,
            note_text=by_site if note_text is None else note_text,
        )
        return cls(settings, destination, wish, api, model)

    def ask(
        self,
        document: Document,
        *,
        deadline: Deadline,
        row: str | None = None,
        message_at: dt.datetime | None = None,
        earlier: Earlier | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Ask:
        """What is asked for one document, its identity included.

        Raises:
            InvalidDocumentError: It has nothing to be identified by, or by a relative path while the
                working directory is gone.
        """
        path = document.path
        if path is None and document.content is None and document.document_id is None:
            raise InvalidDocumentError("the document has no source: give a path, bytes or a stream")
        now = dt.datetime.now(dt.UTC)
        return Ask(
            document=document,
            destination=self.destination,
            wish=self.wish,
            api=self.api,
            model=self.model,
            deadline=deadline,
            document_id=document_id(
                given=document.document_id,
                source_id=self.settings.source_id,
                destination=self.destination.name,
                key=None if path is None else _absolute(path),
            ),
            message_at=message_at or now.replace(microsecond=now.microsecond // 1000 * 1000),
            row=row,
            earlier=earlier,
            on_progress=on_progress,
        )

    def ended(self, document: Document, ask: Ask | None, error: TransferError) -> Receipt:
        """The receipt of a document that was not sent: the error's, if that is this document's."""
        known = error.receipt
        if ask is not None and isinstance(known, Receipt) and known.document_id == ask.document_id:
            return known
        return self.refused(document, error)

    def refused(self, document: Document, error: TransferError) -> Receipt:
        """The receipt of a document for which nothing was begun."""
        return Receipt(
            document_id=document.document_id or "",
            source=document.shown,
            bytes=None,
            sha256=None,
            api=self.api,
            method=None,
            model=self.model,
            status="failed",
            error=ReceiptError(code=error.code, message=error.message),
        )


def _absolute(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100  # no disk
    except FileNotFoundError as exc:
        raise InvalidDocumentError(
            "its path is relative, and the working directory has gone: give absolute paths"
        ) from exc
