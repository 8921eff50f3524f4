"""Who a document is, and who the parts of its message are.

The one rule: an identity follows from what is known before the file is read, so a second send of
the same document is recognisable as such, byte for byte.
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from typing import TYPE_CHECKING, Final

from ..errors import InvalidDocumentError

if TYPE_CHECKING:
    from ..document import Api, Model

NAMESPACE: Final = uuid.UUID("6f2d1b1e-6a0c-5c58-9b0e-0d3c1c3f7a41")
"""Root of every identity made here. Changing it makes every old document a stranger."""
_NAMESPACE_BYTES: Final = NAMESPACE.bytes


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
    return _uuid(_shared("document", source_id, destination) + _joined(key))


def message_id(document_id: str, part: str, *, destination: str, api: Api, model: Model) -> str:
    """The id of one part of a document's message (`bundle`, `header`, an entry): a UUIDv5.

    The same document sent to another destination, or by another model, is another message.
    """
    return _uuid(_start("message", document_id) + _shared(part, destination, api, model))


def _joined(*parts: str | None) -> bytes:
    """Some texts as one name, in which none can run into its neighbour.

    Each stands behind its length, and an absent one differs from an empty one. The bytes are read as
    Latin-1, since `uuid.uuid5` takes text before Python 3.12.
    """
    joined = b"".join(
        [
            b"-" if part is None else b"%d:%s" % (len(raw), raw)
            for part in parts
            for raw in [b"" if part is None else part.encode("utf-8", "surrogatepass")]
        ]
    )
    return joined.decode("latin-1").encode()


# A message has some five parts, each of the same document; what else identifies a part, or a
# document, is the same for all that go to a destination.
_start = functools.lru_cache(maxsize=16)(_joined)
_shared = functools.lru_cache(maxsize=1024)(_joined)


def _uuid(name: bytes) -> str:
    """What `uuid.uuid5` gives, in a tenth of the time: a plan of a million rows makes six million."""
    digest = hashlib.sha1(_NAMESPACE_BYTES + name, usedforsecurity=False).digest()
    text = digest.hex()
    variant = "89ab"[digest[8] >> 4 & 3]  # RFC 9562 section 4.1: the two highest bits are 10
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
