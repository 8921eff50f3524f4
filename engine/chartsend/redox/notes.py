"""The Data Model's Notes: clinical notes and general files, Redox's first choice for them.

The one rule: `FileContents` holds the file's base64, its text, or its URI, and `ContentType` says
which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fields import filled, moment
from .media_types import file_type_token
from .parties import EventType, linked_orders, meta, patient, provider, visit
from .valuesets import status_for

if TYPE_CHECKING:
    from ..document import Document
    from .facts import Facts, Filling
    from .route import Route


def compose(document: Document, facts: Facts, route: Route, filling: Filling) -> dict[str, object]:
    """`Notes/New`, or `Notes/Replace` for a document that replaces another."""
    embeds = not isinstance(filling, str)
    encoded = "Base64 Encoded" if embeds else facts.note_content_type_for_uri
    file: dict[str, object] = {
        "FileName": facts.name,
        "FileType": file_type_token(facts.content_type, facts.name),
        "FileContents": filling,
    }
    event: EventType = "New" if document.replaces is None else "Replace"
    return filled(
        {
            "Meta": meta("Notes", event, facts),
            **_body(document, facts, route.text or encoded, file),
        }
    )


def compose_delete(document: Document, facts: Facts) -> dict[str, object]:
    """`Notes/Delete` of the document whose id is `facts.document_id`."""
    return filled(
        {"Meta": meta("Notes", "Delete", facts), **_body(document, facts, "Base64 Encoded", {})}
    )


def _body(
    document: Document, facts: Facts, content_type: str, file: dict[str, object]
) -> dict[str, object]:
    note = {
        "ContentType": content_type,
        **file,
        "DocumentType": type_name(document, facts),
        "DocumentID": facts.document_id,
        "OriginalDocumentID": document.replaces,
        "DocumentDescription": document.description,
        "Status": status_for("notes", document.status),
        "Availability": document.availability or "Available",
        "DocumentationDateTime": moment(document.documented_at),
        "ServiceDateTime": moment(document.service_at),
        "Provider": provider(document.provider),
        "Authenticator": provider(document.authenticator),
    }
    return {
        "Patient": patient(document.patient),
        "Visit": visit(document.visit),
        "Orders": linked_orders(document.order),
        "Note": filled(note),
    }


def type_name(document: Document, facts: Facts) -> str | None:
    """The document's type in words; without one, what its first coding says."""
    first = document.type_codings[0] if document.type_codings else None
    coded = None if first is None else first.display or first.code
    return facts.type_name(document.type or coded)
