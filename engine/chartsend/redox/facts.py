"""What a message needs beyond the document itself: its identity, its file, its addressee.

The one rule: everything that may differ between two sends of one document is here, so the same
document and the same facts make the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec
import orjson

from .identity import message_id

if TYPE_CHECKING:
    import datetime as dt

    from ..document import Api, Model
    from ..settings import Destination, Environment

Filling: TypeAlias = str | orjson.Fragment
"""What stands for the file: its reference URL, or `encoding.envelope.HOLE`."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a message is made.

    Attributes:
        document_id: The document's identity.
        name: The file's name or title; it may identify a patient.
        content_type: MIME type of the raw bytes.
        size_bytes: Raw size.
        at: The time that stands in the message, with its offset.
        destination: Who receives.
        environment: Redox's environment flag.
        source_id: Id of the Redox source, if configured.
        source_name: Name of the source, if configured.
        note_content_type_for_uri: `Note.ContentType` of an uploaded file.
    """

    document_id: str
    name: str
    content_type: str
    size_bytes: int
    at: dt.datetime
    destination: Destination
    environment: Environment
    source_id: str | None = None
    source_name: str | None = None
    note_content_type_for_uri: str = "Base64 Encoded"

    def type_name(self, given: str | None) -> str | None:
        """The document's type as the receiver calls it."""
        return None if given is None else self.destination.document_types.get(given, given)

    def id_of(self, part: str, *, api: Api, model: Model) -> str:
        """The id of one part of the message."""
        address = self.destination.slug if api == "fhir" else self.destination.id
        return message_id(self.document_id, part, destination=address or "", api=api, model=model)
