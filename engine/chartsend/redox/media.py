"""The Data Model's Media: PDFs, photos, sound.

The one rule: names are Redox's; `Authenticated` is a text, `True` or `False`, not a boolean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fields import filled, moment
from .media_types import file_type_token
from .notes import type_name
from .parties import EventType, linked_orders, meta, patient, provider, visit
from .valuesets import status_for

if TYPE_CHECKING:
    from ..document import Document
    from .facts import Facts, Filling


def compose(document: Document, facts: Facts, filling: Filling) -> dict[str, object]:
    """`Media/New`, or `Media/Replace` for a document that replaces another."""
    event: EventType = "New" if document.replaces is None else "Replace"
    return filled({"Meta": meta("Media", event, facts), **_body(document, facts, filling)})


def compose_delete(document: Document, facts: Facts) -> dict[str, object]:
    """`Media/Delete` of the document whose id is `facts.document_id`."""
    return filled({"Meta": meta("Media", "Delete", facts), **_body(document, facts, None)})


def _body(document: Document, facts: Facts, filling: Filling | None) -> dict[str, object]:
    media = {
        "FileType": file_type_token(facts.content_type, facts.name),
        "FileName": facts.name,
        "FileContents": filling,
        "DocumentType": type_name(document, facts),
        "DocumentID": facts.document_id,
        "OriginalDocumentID": document.replaces,
        "DocumentDescription": document.description,
        "Authenticated": status_for("media", document.status),
        "Availability": document.availability or "Available",
        "CreationDateTime": moment(document.documented_at),
        "ServiceDateTime": moment(document.service_at),
        "Provider": provider(document.provider),
        "Authenticator": provider(document.authenticator),
    }
    return {
        "Patient": patient(document.patient),
        "Visit": visit(document.visit),
        "Orders": linked_orders(document.order),
        "Media": filled(media),
    }
