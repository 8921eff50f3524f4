"""The first bytes of a manifest: is this text that can be read at all?

The one rule: another encoding or another kind of file is refused as a whole. Read as UTF-8 it would be
as many bad rows as it has lines, or one.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Final, Literal

from ...errors import ManifestError
from .window import MAX_LINE_BYTES

if TYPE_CHECKING:
    from .window import Window

HEAD_BYTES: Final = 4096
_LOOK_BYTES: Final = 64
FormName = Literal["jsonl", "csv"]
_FORMS: Final[dict[str, FormName]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}
_UTF_16: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER_KINDS: Final = (
    (b"PK\x03\x04", "a ZIP file, as spreadsheets are: save it as CSV"),
    (b"\x1f\x8b", "compressed: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed: unpack it first"),
    (b"BZh", "compressed: unpack it first"),
    (b"\xfd7zXZ\x00", "compressed: unpack it first"),
)


def form_of(path: str) -> FormName:
    """The form that a manifest's name says it has.

    Raises:
        ManifestError: Its name says nothing.
    """
    for end, form in _FORMS.items():
        if path.lower().endswith(end):
            return form
    raise ManifestError("the manifest's name ends with none of .jsonl, .ndjson, .csv: what is it?")


def first_offset(window: Window) -> int:
    """Where the text starts: after the byte order mark of UTF-8, if there is one.

    Raises:
        ManifestError: It is another encoding, or no text, or its lines end with CR only.
    """
    head = window.piece(0, HEAD_BYTES)
    for start, what in _OTHER_KINDS:
        if head.startswith(start):
            raise ManifestError(f"the manifest is {what}")
    if head and not any(head[:_LOOK_BYTES]):
        raise ManifestError("the manifest begins with NUL bytes: it is no text, or was damaged")
    if head.startswith(_UTF_16) or _looks_like_utf_16(head[:_LOOK_BYTES]):
        raise ManifestError("the manifest is UTF-16 or UTF-32; save it as UTF-8")
    if b"\r" in head and window.find(b"\n", 0, MAX_LINE_BYTES) < 0:
        raise ManifestError("the manifest's lines end with CR only; save it with LF or CR LF")
    return len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0


def _looks_like_utf_16(head: bytes) -> bool:
    """Whether every other byte is NUL, as in Latin text."""
    return len(head) > 1 and not (any(head[0::2]) and any(head[1::2]))
