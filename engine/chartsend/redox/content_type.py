"""What kind of file it is: its first bytes, its name, or what the caller says.

The one rule: bytes and name that contradict each other are an error, not a guess; and a type that
is open to doubt never contradicts anything.

What is sure: a signature of some length, or one whose surroundings fit too. What is open to doubt:
plain text, two-byte signatures, a signature made of letters inside what reads as text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import filetype

from ..errors import InvalidDocumentError, TypeMismatchError
from .media_types import (
    ARCHIVES,
    DISCOURAGED,
    EXECUTABLES,
    EXTENSIONS,
    ODF,
    OOXML,
    UNKNOWN,
    canonical,
    extension_of,
    file_type_token,
)

if TYPE_CHECKING:
    from ..document import Model

__all__ = ["advice", "check_grammar", "file_type_token", "resolve_content_type"]

MAX_CONTENT_TYPE_CHARS: Final = 127
# RFC 6838 4.2 (names) and RFC 9110 5.6 (parameters: a token or a quoted string).
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_QUOTED = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\[\x20-\x7e])*"'
_GRAMMAR = re.compile(rf"{_NAME}/{_NAME}(?: ?; ?{_WORD}=(?:{_WORD}|{_QUOTED}))*")

_HEAD_BYTES = 8192
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_OLE_TYPE: Final = "application/x-ole-storage"
_MACH_O = (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe")
_EICAR = rb"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR"
_PROLOGUE = re.compile(rb"\A(?:<\?[^>]*>|<!--.*?-->|\s)*", re.DOTALL)
_HTML = re.compile(rb"(?:<!doctype\s+html|<html|<head|<body)\b", re.IGNORECASE)
_CDA = re.compile(rb"<(?:[A-Za-z_][\w.-]{0,20}:)?ClinicalDocument\b")
_SVG = re.compile(rb"(?:<!doctype\s+svg|<svg)\b", re.IGNORECASE)
# RFC 7468 and its forerunners; a key may follow its parameters or certificate.
_PEM: Final = b"-----BEGIN "
_PRIVATE_KEY = re.compile(rb"^-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----", re.MULTILINE)
# Tab, line ends, form feed and escape (in printer output) are at home in text.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BOMS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
# Two or three bytes that any file may begin with by chance: good for a file without a telling
# name, never against a name.
_WEAK: Final = frozenset(
    {
        "application/postscript",
        "application/x-bzip2",
        "application/x-compress",
        "application/x-shockwave-flash",
        "audio/aac",
        "audio/mpeg",
        "image/vnd.microsoft.icon",
        "image/vnd.ms-photo",
        UNKNOWN,
    }
)
# Their signatures are letters, and so may be the rest of the head.
_LETTERS: Final = frozenset({"application/pdf", "application/rtf", "application/postscript"})
_LETTER_SIGNATURES: Final = (b"%", b"{\\rtf", _BOMS[0])
_OLD_OFFICE: Final = frozenset({"application/msword", "application/vnd.ms-excel"})
_ISO_MEDIA: Final = frozenset({"audio/mp4", "video/3gpp", "video/mp4", "video/quicktime", "video/x-m4v"})
_CONTAINERS: Final = (
    _ISO_MEDIA,
    frozenset({"audio/ogg", "video/ogg", "application/ogg"}),
    frozenset({"video/webm", "audio/webm", "video/x-matroska"}),
    frozenset({"video/x-ms-wmv", "audio/x-ms-wma", "video/x-ms-asf"}),
    frozenset({"image/heic", "image/heif", "image/avif"}),
    frozenset({"image/tiff", "image/x-canon-cr2", "image/x-adobe-dng"}),
)


@dataclass(frozen=True, slots=True)
class _Finding:
    """What the first bytes say. `sure` findings can contradict a name."""

    content_type: str
    sure: bool


def resolve_content_type(*, name: str, head: bytes, given: str | None) -> str:
    """The content type of a file, such as `application/pdf`.

    Args:
        name: The file's name or title; only its extension counts.
        head: The first bytes, 8 KiB are enough; may be empty.
        given: What the caller says it is. It is believed, and returned as it stands.

    Raises:
        InvalidDocumentError: `given` is not `type/subtype` with optional parameters, or longer
            than 127 characters.
        TypeMismatchError: Name and bytes contradict each other, or the file is a program, an
            archive or a private key; each can be sent by giving the content type.
    """
    if given is not None:
        return check_grammar(given)
    head = bytes(head[:_HEAD_BYTES])
    if _is_private_key(head):
        raise TypeMismatchError(
            "the file is a private key, which belongs in no chart: take it out of the folder, and"
            " replace the key if others could read it; set content_type to send it all the same"
        )
    extension = extension_of(name)
    named = None if extension is None else EXTENSIONS.get(extension)
    found = _look(head)
    resolved = _decide(named, found)
    if canonical(resolved) in DISCOURAGED:
        kind = "an archive" if canonical(resolved) in ARCHIVES else "a program"
        raise TypeMismatchError(
            f"the file is {kind} ({resolved}); Redox advises against it, and firewalls at sites"
            " reject it: send what is in it, or set content_type to send it all the same"
        )
    return resolved


def check_grammar(content_type: str) -> str:
    """Give back a content type that is safe in a header and in JSON.

    Raises:
        InvalidDocumentError: It is not `type/subtype` with optional parameters, or too long.
    """
    if len(content_type) > MAX_CONTENT_TYPE_CHARS or not _GRAMMAR.fullmatch(content_type):
        raise InvalidDocumentError(
            "content_type is not a media type: type/subtype, such as application/pdf, with"
            f" parameters if need be, at most {MAX_CONTENT_TYPE_CHARS} characters",
            problems=("content_type is not type/subtype",),
        )
    return content_type


def advice(content_type: str, model: Model) -> tuple[str, ...]:
    """What Redox's articles warn of for this type and model; texts without any name.

    "Send a file via Redox Data Model API" on diagnostic images and DICOM in Media; "Sending a
    file", 10 October 2025, on executables and archives.
    """
    kind = canonical(content_type)
    warnings: list[str] = []
    if kind in EXECUTABLES:
        warnings.append("this is a program: firewalls that inspect content reject it at most sites")
    if kind in ARCHIVES:
        warnings.append("this is an archive: firewalls that inspect content reject it at most sites")
    if kind.startswith("application/dicom"):
        warnings.append(
            "this is DICOM: it is over what Media is made for, and charts seldom take it;"
            " use an image exchange"
        )
    elif model == "media" and kind in {"image/tiff", "image/jp2"}:
        warnings.append(
            "most receivers do not take images of diagnostic quality by Media; make sure that"
            " this one does"
        )
    return tuple(warnings)


def _decide(named: str | None, found: _Finding | None) -> str:
    """The type, from what the name and the bytes say."""
    if found is None:
        return named or UNKNOWN
    if named is None:
        return UNKNOWN if found.content_type == _OLE_TYPE else found.content_type
    if found.content_type == "text/xml" and canonical(named) == "application/xml":
        return "text/xml"  # a CDA document with the plain name .xml
    if not found.sure or _agree(canonical(named), canonical(found.content_type)):
        return named
    raise TypeMismatchError(
        f"the name says {named} and the first bytes say {found.content_type}: correct the name,"
        " or set content_type"
    )


def _agree(named: str, found: str) -> bool:
    """Whether a name of one type may well hold bytes of the other."""
    if named == found or any(named in kin and found in kin for kin in _CONTAINERS):
        return True
    if _is_text(found):
        # Records are exported as HTML, XML or RTF under .doc and .xls, and open there.
        return _is_text(named) or named in _OLD_OFFICE
    return _is_office(found) and _is_office(named)


def _is_text(kind: str) -> bool:
    """Whether files of this type are text underneath."""
    return (
        kind.startswith(("text/", "message/"))
        or kind.endswith(("xml", "json", "+er7"))
        or kind in {"application/rtf", "application/x-bat", "application/x-powershell"}
    )


def _is_office(kind: str) -> bool:
    """Whether files of this type are a ZIP or an OLE container underneath.

    They are one family: a password turns a .docx from a ZIP into an OLE file.
    """
    return (
        kind.startswith((OOXML, ODF, "application/vnd.ms-"))
        or kind in {"application/msword", "application/vnd.visio", "application/x-msi", _OLE_TYPE}
        or kind in {"application/zip", "application/epub+zip", "application/java-archive"}
        or kind == "application/vnd.android.package-archive"
    ) and kind != "application/vnd.ms-cab-compressed"


def _is_private_key(head: bytes) -> bool:
    """Whether the head is PEM with a private key in it, of whichever tool."""
    start = head.removeprefix(_BOMS[0]).lstrip()
    return start.startswith(_PEM) and _PRIVATE_KEY.search(start) is not None


def _look(head: bytes) -> _Finding | None:
    """What the bytes say: our own signatures first, then those of the filetype library."""
    if _is_plain_pdf(head):
        return _Finding("application/pdf", sure=True)
    for finding in (_signature(head), _markup(head)):
        if finding is not None:
            return finding
    text = _reads_as_text(head)
    # In what reads as text only those types count whose signatures are letters themselves.
    known = None if text and not head.startswith(_LETTER_SIGNATURES) else _library(head)
    if known is not None and (not text or canonical(known) in _LETTERS):
        kind = canonical(known)
        return _Finding(kind, sure=kind not in _WEAK and _surroundings_fit(kind, head))
    if text:
        return _Finding("text/plain", sure=False)
    # The header may stand behind up to 1,024 bytes of something else (PDF 1.7, appendix H).
    return _Finding("application/pdf", sure=False) if b"%PDF-" in head[:1024] else None


def _is_plain_pdf(head: bytes) -> bool:
    """Whether it is a PDF and no DICOM file or tape archive; the library says so after forty looks."""
    return head.startswith(b"%PDF-") and head[128:132] != b"DICM" and head[257:262] != b"ustar"


def _library(head: bytes) -> str | None:
    """What the filetype library says; it has no types, so its answer is looked at first."""
    known: object = filetype.guess_mime(head)  # pyright: ignore[reportUnknownMemberType]  # no stubs
    return known if isinstance(known, str) else None


def _signature(head: bytes) -> _Finding | None:
    if head[128:132] == b"DICM":
        return _Finding("application/dicom", sure=True)
    if head.startswith(_MACH_O):
        return _Finding("application/x-mach-binary", sure=True)
    if head.startswith(_EICAR):
        return _Finding("application/x-msdownload", sure=True)
    if head.startswith(_OLE):
        return _Finding(_library(head) or _OLE_TYPE, sure=True)
    if head.startswith(b"#!") and not head.startswith(b"#!AMR"):
        return _Finding("text/x-shellscript", sure=True)
    return None


def _markup(head: bytes) -> _Finding | None:
    """XML, HTML, SVG or CDA, in UTF-8 or plain ASCII."""
    start = head.removeprefix(_BOMS[0]).lstrip()
    if not start.startswith(b"<"):
        return None
    body = _PROLOGUE.sub(b"", start, count=1)
    if _HTML.match(body):
        return _Finding("text/html", sure=True)
    if _CDA.match(body):
        return _Finding("text/xml", sure=True)
    if _SVG.match(body):
        return _Finding("image/svg+xml", sure=True)
    return _Finding("application/xml", sure=True) if start.startswith(b"<?xml") else None


def _surroundings_fit(kind: str, head: bytes) -> bool:
    """For short signatures: whether the rest of the header looks right too."""
    if kind == "application/x-msdownload":
        return b"\x00" in head[:64]
    if kind == "image/bmp":
        return head[6:10] == b"\x00\x00\x00\x00"
    if kind == "image/gif":
        return head[:6] in {b"GIF87a", b"GIF89a"}
    return True


def _reads_as_text(head: bytes) -> bool:
    """Whether the head is UTF-8, or UTF-16 with its mark, without control characters."""
    if not head:
        return False
    if head.startswith(_BOMS[1:]):
        return True
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as exc:
        # A character cut in two by the end of the head is no fault of the text's.
        if exc.reason != "unexpected end of data":
            return False
        text = head[: exc.start].decode("utf-8")
    return not _CONTROL.search(text)
