"""Who a document is, and who the parts of its message are.

The one rule: an identity follows from what is known before the file is read, so a second send of
the same document is recognisable as such, byte for byte.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

from ..errors import InvalidDocumentError

if TYPE_CHECKING:
    from ..document import Api, Model

NAMESPACE: Final = uuid.UUID("6f2d1b1e-6a0c-5c58-9b0e-0d3c1c3f7a41")
"""Root of every identity made here. Changing it makes every old document a stranger."""


def document_id(*, given: str | None, source_id: str | None, destination: str, key: str | None) -> str:
    """The document's identity at the receiver: the given one, or a UUIDv5.

    Args:
        given: What the caller calls the document.
        source_id: Id of the Redox source.
        destination: Name of the destination.
        key: The row's key, or the file's absolute path.

    Raises:
        InvalidDocumentError: Neither `given` nor `key` is there, or `given` is empty or blank.
    """
    if given is not None:
        if not given.strip():
            raise InvalidDocumentError("document_id is empty", problems=("document_id is empty",))
        return given
    if key is None:
        raise InvalidDocumentError(
            "bytes and streams have no path to derive an identity from: set document_id",
            missing=("document_id",),
        )
    return _derive("document", source_id, destination, key)


def message_id(document_id: str, part: str, *, destination: str, api: Api, model: Model) -> str:
    """The id of one part of a document's message (`bundle`, `header`, an entry): a UUIDv5.

    The same document sent to another destination, or by another model, is another message.
    """
    return _derive("message", document_id, part, destination, api, model)


def _derive(*parts: str | None) -> str:
    """A UUIDv5 of some texts, none of which can run into its neighbour.

    Each stands behind its length, and an absent one differs from an empty one.
    """
    joined = b"".join(
        b"-" if part is None else b"%d:%s" % (len(raw), raw)
        for part in parts
        for raw in [b"" if part is None else part.encode("utf-8", "surrogatepass")]
    )
    # What `uuid.uuid5(NAMESPACE, ...)` gives for these bytes read as Latin-1 (it takes text before
    # Python 3.12), in a tenth of the time: a plan of a million rows makes six million of them.
    name = joined.decode("latin-1").encode()
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
