"""multipart/form-data read as it comes: the content of every part goes to whoever takes it.

Only what RFC 7578 asks of a form is read; nested multiparts and transfer encodings are not.
"""

from __future__ import annotations

import email.message
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

HEADERS_LIMIT_BYTES: Final = 16 * 1024
"""All header lines of one part."""

PARTS_LIMIT: Final = 16
"""More parts than any caller of the upload endpoint has reason to send."""


class BadMultipartError(ValueError):
    """The body is not the multipart form that its Content-Type promises."""


@dataclass(frozen=True, slots=True)
class PartHead:
    """What the headers of a part say; None for what they do not say."""

    name: str | None
    filename: str | None
    content_type: str | None


class PartSink(Protocol):
    """Takes the content of one part."""

    def write(self, piece: bytes, /) -> None:
        """Take the next bytes."""


class _State(Enum):
    PREAMBLE = auto()
    AFTER_BOUNDARY = auto()
    HEADERS = auto()
    CONTENT = auto()
    EPILOGUE = auto()


def boundary_of(content_type: str) -> bytes:
    """Give the boundary that a Content-Type header names.

    Raises:
        BadMultipartError: It is not multipart/form-data or has no usable boundary.
    """
    message = email.message.Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    if message.get_content_type() != "multipart/form-data":
        raise BadMultipartError("multipart/form-data content-type required")
    if not boundary or len(boundary) > 70 or not boundary.isascii():  # RFC 2046: 1 to 70
        raise BadMultipartError("the Content-Type has no usable boundary")
    return boundary.encode()


class MultipartReader:
    """Reads one form that arrives in pieces cut anywhere.

    Args:
        boundary: As in the Content-Type, without the leading dashes.
        open_part: Called with each part's head; gives what takes its content.
    """

    def __init__(self, boundary: bytes, open_part: Callable[[PartHead], PartSink]) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._open_part = open_part
        # The first boundary may stand at the very beginning, without a line break before it.
        self._buffer = b"\r\n"
        self._state = _State.PREAMBLE
        self._sink: PartSink | None = None
        self.parts = 0

    def feed(self, piece: bytes) -> None:
        """Read the next bytes of the form.

        Raises:
            BadMultipartError: They cannot stand there.
        """
        self._buffer += piece
        while self._step():
            pass

    def finish(self) -> None:
        """Say that the body has ended.

        Raises:
            BadMultipartError: The closing boundary is missing.
        """
        if self._state is not _State.EPILOGUE:
            raise BadMultipartError("the form ends before its closing boundary")

    def _step(self) -> bool:
        """Do one thing with what is in the buffer; tell whether there may be another."""
        match self._state:
            case _State.PREAMBLE | _State.CONTENT:
                return self._read_content()
            case _State.AFTER_BOUNDARY:
                return self._read_after_boundary()
            case _State.HEADERS:
                return self._read_headers()
            case _State.EPILOGUE:
                self._buffer = b""
                return False

    def _read_content(self) -> bool:
        found = self._buffer.find(self._delimiter)
        if found >= 0:
            self._write(self._buffer[:found])
            self._buffer = self._buffer[found + len(self._delimiter) :]
            self._sink = None
            self._state = _State.AFTER_BOUNDARY
            return True
        # The end of the buffer may be the beginning of a delimiter.
        sure = max(0, len(self._buffer) - len(self._delimiter) + 1)
        self._write(self._buffer[:sure])
        self._buffer = self._buffer[sure:]
        return False

    def _write(self, content: bytes) -> None:
        if self._sink is not None and content:
            self._sink.write(content)

    def _read_after_boundary(self) -> bool:
        if self._buffer.startswith(b"--"):
            self._state = _State.EPILOGUE
            return True
        line_end = self._buffer.find(b"\r\n")
        padding = self._buffer if line_end < 0 else self._buffer[:line_end]
        is_dash = padding == b"-" and line_end < 0  # perhaps the first half of "--"
        if padding.strip(b" \t\r") and not is_dash:
            raise BadMultipartError("something follows a boundary on its line")
        if line_end < 0:
            if len(padding) > HEADERS_LIMIT_BYTES:
                raise BadMultipartError("a boundary line without end")
            return False
        self._buffer = self._buffer[line_end:]  # its CRLF may belong to the empty header block
        self._state = _State.HEADERS
        return True

    def _read_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if max(end, len(self._buffer) if end < 0 else 0) > HEADERS_LIMIT_BYTES:
            raise BadMultipartError(f"part headers above {HEADERS_LIMIT_BYTES} bytes")
        if end < 0:
            return False
        head = _parse_head(self._buffer[2:end])
        self._buffer = self._buffer[end + 4 :]
        self.parts += 1
        if self.parts > PARTS_LIMIT:
            raise BadMultipartError(f"more than {PARTS_LIMIT} parts")
        self._sink = self._open_part(head)
        # An empty part: its content is the line break of the delimiter that follows at once.
        self._state = _State.CONTENT
        return True


def _parse_head(lines: bytes) -> PartHead:
    message = email.message.Message()
    for line in lines.split(b"\r\n") if lines else []:
        name, colon, value = line.partition(b":")
        if not colon or not name.strip():
            raise BadMultipartError("a part header without a colon")
        try:
            message[name.decode("ascii").strip()] = value.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise BadMultipartError("a part header that is not text") from None
    if message.get_content_disposition() != "form-data":
        raise BadMultipartError("a part without Content-Disposition: form-data")
    name_parameter = message.get_param("name", header="content-disposition")
    return PartHead(
        name_parameter if isinstance(name_parameter, str) else None,
        message.get_filename(),
        message.get("Content-Type"),
    )
