"""Names of content types: aliases, file extensions, and what Redox advises against.

The one rule: every comparison of two content types goes through `canonical`, so that
`audio/x-wav` and `audio/wav` are one thing everywhere.
"""

from __future__ import annotations

import functools
import re
from typing import Final

UNKNOWN: Final = "application/octet-stream"

OOXML: Final = "application/vnd.openxmlformats-officedocument."
ODF: Final = "application/vnd.oasis.opendocument."

_ALIASES: Final = {
    "application/acrobat": "application/pdf",
    "application/x-pdf": "application/pdf",
    "application/x-dicom": "application/dicom",
    "application/x-gzip": "application/gzip",
    "application/x-rtf": "application/rtf",
    "application/x-zip-compressed": "application/zip",
    "application/x-rar-compressed": "application/vnd.rar",
    "application/x-rar": "application/vnd.rar",
    "application/x-zstd": "application/zstd",
    "application/javascript": "text/javascript",
    "application/x-dosexec": "application/x-msdownload",
    "application/vnd.microsoft.portable-executable": "application/x-msdownload",
    "application/x-elf": "application/x-executable",
    "application/csv": "text/csv",
    "audio/m4a": "audio/mp4",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/vnd.wave": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-aiff": "audio/aiff",
    "audio/x-flac": "audio/flac",
    "audio/x-m4a": "audio/mp4",
    "audio/x-midi": "audio/midi",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-wav": "audio/wav",
    "image/apng": "image/png",
    "image/jpg": "image/jpeg",
    "image/jpx": "image/jp2",
    "image/pjpeg": "image/jpeg",
    "image/tif": "image/tiff",
    "image/x-bmp": "image/bmp",
    "image/x-icon": "image/vnd.microsoft.icon",
    "image/x-ms-bmp": "image/bmp",
    "image/x-png": "image/png",
    "image/x-tiff": "image/tiff",
    "text/rtf": "application/rtf",
    "text/xml": "application/xml",
    "video/avi": "video/x-msvideo",
    "video/msvideo": "video/x-msvideo",
}
"""Other spellings of one type, each with the spelling of IANA, or else the usual one."""

EXTENSIONS: Final = {
    "pdf": "application/pdf",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "jpe": "image/jpeg",
    "jfif": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "bmp": "image/bmp",
    "webp": "image/webp",
    "heic": "image/heic",
    "heif": "image/heic",
    "avif": "image/avif",
    "jp2": "image/jp2",
    "svg": "image/svg+xml",
    "psd": "image/vnd.adobe.photoshop",
    "ico": "image/vnd.microsoft.icon",
    "txt": "text/plain",
    "text": "text/plain",
    "log": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "rtf": "application/rtf",
    "html": "text/html",
    "htm": "text/html",
    "xhtml": "application/xhtml+xml",
    "xml": "application/xml",
    # A CDA document travels as text/xml (IHE MHD; HL7 C-CDA on FHIR).
    "cda": "text/xml",
    "ccd": "text/xml",
    "ccda": "text/xml",
    "hl7": "x-application/hl7-v2+er7",
    "json": "application/json",
    "eml": "message/rfc822",
    "ps": "application/postscript",
    "eps": "application/postscript",
    "doc": "application/msword",
    "dot": "application/msword",
    "docx": f"{OOXML}wordprocessingml.document",
    "dotx": f"{OOXML}wordprocessingml.template",
    "docm": "application/vnd.ms-word.document.macroenabled.12",
    "xls": "application/vnd.ms-excel",
    "xlsx": f"{OOXML}spreadsheetml.sheet",
    "xlsm": "application/vnd.ms-excel.sheet.macroenabled.12",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": f"{OOXML}presentationml.presentation",
    "odt": f"{ODF}text",
    "ods": f"{ODF}spreadsheet",
    "odp": f"{ODF}presentation",
    "epub": "application/epub+zip",
    "xps": "application/vnd.ms-xpsdocument",
    "msg": "application/vnd.ms-outlook",
    "vsd": "application/vnd.visio",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "m4a": "audio/mp4",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "ogg": "audio/ogg",
    "oga": "audio/ogg",
    "opus": "audio/ogg",
    "amr": "audio/amr",
    "aiff": "audio/aiff",
    "aif": "audio/aiff",
    "wma": "audio/x-ms-wma",
    "mp4": "video/mp4",
    "m4v": "video/x-m4v",
    "mov": "video/quicktime",
    "qt": "video/quicktime",
    "3gp": "video/3gpp",
    "avi": "video/x-msvideo",
    "mkv": "video/x-matroska",
    "webm": "video/webm",
    "wmv": "video/x-ms-wmv",
    "mpg": "video/mpeg",
    "mpeg": "video/mpeg",
    "ogv": "video/ogg",
    "dcm": "application/dicom",
    "dicom": "application/dicom",
    "zip": "application/zip",
    "gz": "application/gzip",
    "tgz": "application/gzip",
    "tar": "application/x-tar",
    "bz2": "application/x-bzip2",
    "xz": "application/x-xz",
    "7z": "application/x-7z-compressed",
    "rar": "application/vnd.rar",
    "zst": "application/zstd",
    "lz4": "application/x-lz4",
    "cab": "application/vnd.ms-cab-compressed",
    "iso": "application/x-iso9660-image",
    "exe": "application/x-msdownload",
    "dll": "application/x-msdownload",
    "scr": "application/x-msdownload",
    "com": "application/x-msdownload",
    "msi": "application/x-msi",
    "bat": "application/x-bat",
    "cmd": "application/x-bat",
    "ps1": "application/x-powershell",
    "vbs": "text/vbscript",
    "js": "text/javascript",
    "sh": "text/x-shellscript",
    "jar": "application/java-archive",
    "apk": "application/vnd.android.package-archive",
    "wasm": "application/wasm",
    "rpm": "application/x-rpm",
    "deb": "application/x-deb",
}
"""File extension to IANA type, where there is one. Redox publishes no closed list."""

EXECUTABLES: Final = frozenset(
    {
        "application/java-archive",
        "application/vnd.android.package-archive",
        "application/wasm",
        "application/x-bat",
        "application/x-deb",
        "application/x-executable",
        "application/x-google-chrome-extension",
        "application/x-mach-binary",
        "application/x-msdownload",
        "application/x-msi",
        "application/x-powershell",
        "application/x-rpm",
        "application/x-shockwave-flash",
        "text/javascript",
        "text/vbscript",
        "text/x-shellscript",
    }
)
ARCHIVES: Final = frozenset(
    {
        "application/gzip",
        "application/vnd.ms-cab-compressed",
        "application/vnd.rar",
        "application/x-7z-compressed",
        "application/x-bzip2",
        "application/x-compress",
        "application/x-iso9660-image",
        "application/x-lz4",
        "application/x-lzip",
        "application/x-lzop",
        "application/x-tar",
        "application/x-unix-archive",
        "application/x-xz",
        "application/zip",
        "application/zstd",
    }
)
DISCOURAGED: Final = EXECUTABLES | ARCHIVES
"""What Redox advises against: "Sending a file", 10 October 2025; firewalls at sites reject them."""

_EXTENSION = re.compile(r"[A-Za-z0-9]{1,10}")
_SUBTYPE_WORD = re.compile(r"[A-Za-z0-9]+")


# A handful of types is asked after some five times for every document.
@functools.lru_cache(maxsize=1024)
def canonical(content_type: str) -> str:
    """A content type without parameters, in lower case, in its one spelling."""
    bare = content_type.partition(";")[0].strip().lower()
    return _ALIASES.get(bare, bare)


def extension_of(name: str) -> str | None:
    """The extension of a file name in lower case, without the dot; None when it has none."""
    last = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, extension = last.rpartition(".")
    if not dot or not stem or not _EXTENSION.fullmatch(extension):
        return None
    return extension.lower()


def file_type_token(content_type: str, name: str) -> str:
    """The Data Model's `FileType`: an extension in upper case, such as `PDF` or `JPG`.

    The name's own extension stands when it means the same type, so `a.jpeg` stays `JPEG`. Redox
    publishes no closed list; every example is an extension in upper case.
    """
    wanted = canonical(content_type)
    extension = extension_of(name)
    if extension is not None:
        known = EXTENSIONS.get(extension)
        if (known is not None and canonical(known) == wanted) or wanted == UNKNOWN:
            return extension.upper()
    token = next((ext for ext, kind in EXTENSIONS.items() if canonical(kind) == wanted), None)
    if token is not None:
        return token.upper()
    if extension is not None and extension not in EXTENSIONS:
        return extension.upper()
    words = _SUBTYPE_WORD.findall(wanted.rpartition("/")[2])
    return words[-1].upper() if words and wanted != UNKNOWN else "BIN"
