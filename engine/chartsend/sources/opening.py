"""One door to every source: choose by what the document describes, open, and always close.

The one rule: size and emptiness are checked here, on what was really opened.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..document import Buffer, Stream
from ..errors import EmptyFileError, InvalidDocumentError
from .descriptor import SMALL_BYTES
from .file import open_file
from .memory import MemorySource
from .stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from ..aio import Lane
    from ..document import Document
    from ..ports import Source


@asynccontextmanager
async def open_source(
    document: Document,
    *,
    lane: Lane,
    read_s: float,
    allow_empty: bool,
    small_bytes: int = SMALL_BYTES,
) -> AsyncGenerator[Source]:
    """Open what the document describes, for as long as the block runs.

    Args:
        document: Exactly one of its `path` and `content` is set.
        lane: Threads for calls that may block.
        read_s: How long one read may take, in seconds.
        allow_empty: Whether 0 bytes are fine.
        small_bytes: A file up to this is read whole while it is opened, and held until the end.

    Raises:
        InvalidDocumentError: The document describes no source, or two.
        SourceMissingError, SourceUnreadableError, NotRegularFileError: As their names say.
        EmptyFileError: The source has no bytes.
        StallTimeoutError: Opening took longer than `read_s`.
    """
    if (document.path is None) == (document.content is None):
        raise InvalidDocumentError("a document has exactly one source: a path, bytes or a stream")
    if document.path is not None:
        source = await open_file(document.path, lane=lane, read_s=read_s, small_bytes=small_bytes)
        try:
            _check_empty(source.size_bytes, allow_empty=allow_empty)
            yield source
        finally:
            source.close()
        return
    opened = _open_content(document, read_s)
    _check_empty(opened.size_bytes, allow_empty=allow_empty)
    yield opened


def _open_content(document: Document, read_s: float) -> MemorySource | StreamSource:
    match document.content:
        case Buffer(data=data):
            return MemorySource(data)
        case Stream() as stream:
            return StreamSource(stream, read_s=read_s)
        case _:
            raise InvalidDocumentError("content is made by Document.from_bytes or from_stream")


def _check_empty(size_bytes: int, *, allow_empty: bool) -> None:
    if size_bytes == 0 and not allow_empty:
        raise EmptyFileError(
            "the source has 0 bytes; set limits.allow_empty = true if empty documents are meant"
        )
