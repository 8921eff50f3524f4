"""A multipart/form-data body with one part named `file`, framed around streaming bytes.

The one rule: frame and length are exact before the first byte, and a name cannot break out of its
quotation marks (RFC 7578 section 4.2, RFC 5987 for names beyond ASCII).
"""

from __future__ import annotations

import re
from urllib.parse import quote

from .envelope import Envelope

_BOUNDARY = re.compile(r"[A-Za-z0-9-]{16,70}")
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 !#$&+.,;@^_`{}~()\[\]=-]")
MAX_FILENAME_BYTES = 255
"""As on common file systems; Redox publishes no rule."""


def frame(*, boundary: str, filename: str, content_type: str) -> Envelope:
    """What stands before and after the file's bytes.

    Args:
        boundary: 16 to 70 letters, digits and `-`; the caller draws it at random, so that no file
            can hold it on purpose.
        filename: Sent without any folder; its extension is kept when it must be shortened.
        content_type: A MIME type that was checked already.

    Raises:
        ValueError: The boundary or the content type would break the frame.
    """
    if not _BOUNDARY.fullmatch(boundary):
        raise ValueError("a boundary has 16 to 70 letters, digits and '-'")
    if not content_type.isascii() or not content_type.isprintable():
        raise ValueError("a content type is printable ASCII")
    prefix = (
        f"--{boundary}\r\n"
        f'Content-Disposition: form-data; name="file"; {_filename_parameters(filename)}\r\n'
        f"Content-Type: {content_type}\r\n"
        "\r\n"
    )
    return Envelope(prefix.encode("ascii"), f"\r\n--{boundary}--\r\n".encode("ascii"))


def _filename_parameters(name: str) -> str:
    name = shorten(name.replace("\\", "/").rpartition("/")[2] or "file")
    plain = _NOT_PLAIN.sub("_", name)
    if plain == name:
        return f'filename="{plain}"'
    encoded = quote(name.encode("utf-8", "replace"), safe="")
    return f"filename=\"{plain}\"; filename*=UTF-8''{encoded}"


def shorten(name: str) -> str:
    """The name within `MAX_FILENAME_BYTES` of UTF-8, its extension kept."""
    raw = name.encode("utf-8", "replace")
    if len(raw) <= MAX_FILENAME_BYTES:
        return name
    stem, dot, extension = name.rpartition(".")
    tail = f"{dot}{extension}".encode("utf-8", "replace") if stem and len(extension) <= 16 else b""
    keep = raw[: MAX_FILENAME_BYTES - len(tail)]
    return (keep + tail).decode("utf-8", "ignore")
