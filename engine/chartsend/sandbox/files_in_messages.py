"""The file of a message: base64 in the message itself, or the URL of an upload."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .base64_stream import NotBase64Error, decode
from .long_string import LongString

if TYPE_CHECKING:
    from urllib.parse import SplitResult

    from .json_tree import JsonValue
    from .records import Upload
    from .state import Sandbox
    from .store import Store, StoredFile


def decoded(store: Store, value: JsonValue) -> StoredFile:
    """Give the bytes that a base64 string of a message stands for.

    Raises:
        NotBase64Error: The value is not a string or not base64.
    """
    match value:
        case LongString():
            return value.as_base64()
        case str():
            return store.put(decode(value.encode("utf-8", "surrogatepass")))
        case _:
            raise NotBase64Error("not a string")


def text(store: Store, value: str | LongString) -> StoredFile:
    """Give the UTF-8 bytes of a text of a message."""
    return value.as_text() if isinstance(value, LongString) else store.put(value.encode())


def own_url(sandbox: Sandbox, value: JsonValue) -> SplitResult | None:
    """Give the URL if a value is one of the sandbox's upload URLs, known or not."""
    if not isinstance(value, str):
        return None
    try:
        url = urlsplit(value)
        is_own = (url.scheme, url.netloc) in {
            (own.scheme, own.netloc) for own in (sandbox.blob_url, sandbox.api_url)
        }
    except ValueError:
        return None
    return url if is_own else None


def referenced_upload(sandbox: Sandbox, source_id: str, value: JsonValue) -> Upload | None:
    """Find the upload that a value names, if this source has uploaded it.

    An upload belongs to the source whose token uploaded it (Redox, sending files, 2017).
    """
    url = own_url(sandbox, value)
    upload = None if url is None else sandbox.records.find_upload(url)
    return upload if upload is not None and upload.source.id == source_id else None
