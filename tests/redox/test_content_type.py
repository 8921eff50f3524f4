"""Content types: what bytes and names say, when they contradict each other, and when not."""

from __future__ import annotations

import io
import zipfile

import filetype
import pytest
from hypothesis import given, strategies as st

from chartsend.errors import InvalidDocumentError, TypeMismatchError
from chartsend.redox import content_type
from chartsend.redox.content_type import advice, resolve_content_type
from chartsend.redox.media_types import (
    DISCOURAGED,
    EXTENSIONS,
    canonical,
    extension_of,
    file_type_token,
)

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def resolve(name, head=b"", given=None):
    return resolve_content_type(name=name, head=head, given=given)


def zipped(*names):
    """A real ZIP whose members have these names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return packed.getvalue()


PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj"
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(20)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(20)
DICOM = bytes(128) + b"DICM\x02\x00"
WAV = b"RIFF\x24\x08\x00\x00WAVEfmt " + bytes(20)
EXE = b"MZ\x90\x00\x03\x00\x00\x00" + bytes(120)
ELF = b"\x7fELF\x02\x01\x01" + bytes(60)
TIFF = b"II*\x00\x08\x00\x00\x00" + bytes(20)
MP4 = b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
CDA = b'<?xml version="1.0"?>\n<?xml-stylesheet href="cda.xsl"?>\n<ClinicalDocument xmlns="urn:hl7">'
HTML = b"\xef\xbb\xbf <!DOCTYPE html><html><body>"
RTF = b"{\\rtf1\\ansi Visit summary}"
SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">'
XML = b"<?xml version='1.0'?><report/>"


@pytest.mark.parametrize(
    ("name", "head", "expected"),
    [
        ("a.pdf", PDF, "application/pdf"),
        ("a.PDF", PDF, "application/pdf"),
        ("consent form", PDF, "application/pdf"),
        ("scan.0001x", PDF, "application/pdf"),
        ("a.pdf", b"\xef\xbb\xbf" + PDF, "application/pdf"),
        ("mail attachment", b"\x00garbage\x01" + PDF, "application/pdf"),
        ("a.png", PNG, "image/png"),
        ("a.jpg", JPEG, "image/jpeg"),
        ("a.jpeg", JPEG, "image/jpeg"),
        ("a.jfif", JPEG, "image/jpeg"),
        ("", JPEG, "image/jpeg"),
        ("a.tif", TIFF, "image/tiff"),
        ("a.wav", WAV, "audio/wav"),
        ("dictation", WAV, "audio/wav"),
        ("a.mov", MP4, "video/quicktime"),
        ("a.m4v", MP4, "video/x-m4v"),
        ("a.dcm", DICOM, "application/dicom"),
        ("IM000001", DICOM, "application/dicom"),
        ("a.rtf", RTF, "application/rtf"),
        ("letter", RTF, "application/rtf"),
        ("a.doc", RTF, "application/msword"),
        ("a.doc", HTML, "application/msword"),
        ("a.xls", HTML, "application/vnd.ms-excel"),
        ("a.xml", XML, "application/xml"),
        ("a.xml", CDA, "text/xml"),
        ("a.cda", CDA, "text/xml"),
        ("summary", CDA, "text/xml"),
        ("a.html", HTML, "text/html"),
        ("page", HTML, "text/html"),
        ("a.xhtml", b"<?xml version='1.0'?><!DOCTYPE html><html>", "application/xhtml+xml"),
        ("a.txt", HTML, "text/plain"),
        ("a.svg", SVG, "image/svg+xml"),
        ("drawing", SVG, "image/svg+xml"),
        ("a.docx", zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), DOCX),
        ("letter", zipped("[Content_Types].xml", "_rels/.rels", "word/document.xml"), DOCX),
        ("a.xlsx", zipped("[Content_Types].xml", "_rels/.rels", "xl/workbook.xml"), XLSX),
        ("a.docx", zipped("customXml/item1.xml"), DOCX),
        ("a.docx", OLE, DOCX),  # protected by a password
        ("a.odt", zipped("mimetype"), "application/vnd.oasis.opendocument.text"),
        ("a.epub", zipped("mimetype"), "application/epub+zip"),
        ("a.doc", OLE, "application/msword"),
        ("a.xls", OLE, "application/vnd.ms-excel"),
        ("a.msg", OLE, "application/vnd.ms-outlook"),
        ("old office", OLE, "application/octet-stream"),
        ("a.txt", b"Visit of 2 July", "text/plain"),
        ("README", b"Visit of 2 July\r\n\tnothing found", "text/plain"),
        ("README", "Besuch, größer".encode("utf-16"), "text/plain"),
        ("a.csv", b"a,b\n1,2\n", "text/csv"),
        ("a.hl7", b"MSH|^~\\&|", "x-application/hl7-v2+er7"),
        ("a.pdf", b"only text, no signature", "application/pdf"),
        ("a.pdf", b"", "application/pdf"),
        ("a.pdf", b"\x00\x01\x02\x03", "application/pdf"),
        ("a.jpg", b"BM is how this text begins", "image/jpeg"),
        ("a.jpg", b"MZ is how this text begins", "image/jpeg"),
        ("a.pdf", b"GIF and other formats", "application/pdf"),
        ("a.pdf", b"\xff\xfb\x90\x00\x11", "application/pdf"),
        ("a.mp3", b"\xff\xfb\x90\x00\x11", "audio/mpeg"),
        ("sound", b"\xff\xfb\x90\x00\x11", "audio/mpeg"),
        ("a.gif", b"GIF89a" + bytes(20), "image/gif"),
        ("picture", b"GIF87a\x01\x02" + bytes(20), "image/gif"),
        ("picture", b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36" + bytes(20), "image/bmp"),
        ("a.jpg", b"GIF90x\x01\x02" + bytes(20), "image/jpeg"),
        ("a.jpg", b"BM\x36\x00\x00\x00\x01" + bytes(20), "image/jpeg"),
        ("late", bytes(1019) + b"%PDF-1.7", "application/pdf"),
        ("late", bytes(1020) + b"%PDF-1.7", "application/octet-stream"),
        ("a.bin", bytes(127) + b"DICM" + bytes(9), "application/octet-stream"),
        ("a.bin", bytes(129) + b"DICM" + bytes(9), "application/octet-stream"),
        ("a.jpg", b"MZ" + b"\xff" * 62 + b"\x00", "image/jpeg"),
        ("long", b"a" * 8192 + b"\x00", "text/plain"),
        ("long", b"a" * 8191 + b"\x00", "application/octet-stream"),
        ("a.amr", b"#!AMR\n" + bytes(20), "audio/amr"),
        ("a.txt", b"#!/bin/sh\necho", "text/plain"),
        ("", b"", "application/octet-stream"),
        ("a.unheard", b"\x00\x01\x02", "application/octet-stream"),
        ("Dr. Oduya, visit", b"\x00\x01", "application/octet-stream"),
    ],
)
def test_bytes_and_name_decide(name, head, expected):
    assert resolve(name, head) == expected


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.pdf", EXE),
        ("a.pdf", b"MZ" + bytes(100)),
        ("a.pdf", ELF),
        ("a.pdf", b"\xcf\xfa\xed\xfe" + bytes(30)),
        ("a.jpg", b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD"),
        ("a.pdf", b"#!/bin/sh\nrm"),
        ("a.pdf", PNG),
        ("a.pdf", JPEG),
        ("a.pdf", zipped("a.txt")),
        ("a.pdf", zipped("a.txt") + PDF),
        ("a.pdf", b"\x1f\x8b\x08\x00" + bytes(20)),
        ("a.pdf", OLE),
        ("a.pdf", HTML),
        ("a.pdf", XML),
        ("a.pdf", RTF),
        ("a.pdf", DICOM),
        ("a.png", JPEG),
        ("a.jpg", PNG),
        ("a.jpg", b"GIF89a\x01\x02" + bytes(20)),
        ("a.jpg", b"BM\x36\x00\x00\x00\x00\x00\x00\x00\x36" + bytes(20)),
        ("a.txt", PDF),
        ("a.docx", PDF),
        ("a.docx", EXE),
        ("a.xlsx", RTF),
        ("a.wav", MP4),
        ("a.dcm", PNG),
        ("a.cda", PDF),
    ],
)
def test_a_real_contradiction_is_an_error_unless_the_type_is_given(name, head):
    with pytest.raises(TypeMismatchError) as caught:
        resolve(name, head)

    assert name not in caught.value.message
    assert "content_type" in caught.value.message
    assert resolve(name, head, given="application/pdf") == "application/pdf"


@pytest.mark.parametrize(
    ("name", "head", "kind"),
    [
        ("a.exe", EXE, "a program"),
        ("setup", EXE, "a program"),
        ("tool", ELF, "a program"),
        ("a.sh", b"#!/bin/sh\n", "a program"),
        ("a.js", b"alert(1)", "a program"),
        ("a.msi", OLE, "a program"),
        ("a.zip", zipped("a.txt"), "an archive"),
        ("files", zipped("a.txt"), "an archive"),
        ("a.tar.gz", b"\x1f\x8b\x08\x00" + bytes(20), "an archive"),
        ("a.7z", b"7z\xbc\xaf\x27\x1c" + bytes(20), "an archive"),
        ("a.zip", b"", "an archive"),
    ],
)
def test_programs_and_archives_are_refused_unless_the_type_is_given(name, head, kind):
    with pytest.raises(TypeMismatchError, match=kind):
        resolve(name, head)

    assert resolve(name, head, given="application/x-thing") == "application/x-thing"


@pytest.mark.parametrize("name", ["k.pem", "k.txt", "k", "k.pdf"])
@pytest.mark.parametrize(
    "head",
    [
        b"-----BEGIN PRIVATE KEY-----\nMIIE",
        b"-----BEGIN RSA PRIVATE KEY-----\r\nMIIE",
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n",
        b"\xef\xbb\xbf\n -----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN EC PARAMETERS-----\nBggq\n-----BEGIN EC PRIVATE KEY-----\n",
    ],
)
def test_a_private_key_is_refused_unless_the_type_is_given(name, head):
    with pytest.raises(TypeMismatchError, match="a private key") as caught:
        resolve(name, head)

    assert "MIIE" not in caught.value.message
    assert resolve(name, head, given="text/plain") == "text/plain"


@pytest.mark.parametrize(
    "head",
    [
        b"-----BEGIN PUBLIC KEY-----\nMIIB",
        b"-----BEGIN CERTIFICATE-----\nMIIB",
        b"A letter about -----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN NOTES-----\nabout -----BEGIN PRIVATE KEY-----\n",
        b"PRIVATE KEY",
    ],
)
def test_what_only_speaks_of_a_private_key_is_a_text(head):
    assert resolve("a.txt", head) == "text/plain"


@pytest.mark.parametrize(
    "given",
    [
        "application/pdf",
        "text/plain; charset=utf-8",
        "text/plain;charset=utf-8",
        'text/plain; charset="utf-8"; format=flowed',
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "image/svg+xml",
        "x/" + "a" * 125,
    ],
)
def test_a_given_type_stands_as_it_is(given):
    assert resolve("a.png", PDF, given) == given


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "pdf",
        "/pdf",
        "application/",
        "application//pdf",
        "application/pdf ",
        " application/pdf",
        "application/pdf\r\nX-Evil: 1",
        "application/pdf\n",
        "application/pdf\x00",
        "application/pdf;",
        "application/pdf; charset",
        'text/plain; a="unclosed',
        'text/plain; a="b\r\n"',
        "text/plain, text/html",
        "application/pdf\u2028",
        "applicatión/pdf",
        "image/*",
        "x/" + "a" * 126,
        "text/plain; a=" + "b" * 4096,
    ],
)
def test_a_given_type_that_is_no_media_type_is_refused(given):
    with pytest.raises(InvalidDocumentError, match="content_type is not a media type") as caught:
        resolve("a.pdf", PDF, given)

    assert caught.value.problems
    assert "Evil" not in caught.value.message


@given(name=st.text(max_size=20), head=st.binary(max_size=300))
def test_any_bytes_and_any_name_give_a_type_or_a_declared_error(name, head):
    try:
        resolved = resolve(name, head)
    except TypeMismatchError:
        return
    assert resolve("", b"", resolved) == resolved


@given(st.text(max_size=140))
def test_any_given_text_is_taken_verbatim_or_refused(given):
    try:
        assert resolve("", b"", given) == given
    except InvalidDocumentError:
        return
    assert given.isascii()
    assert given.isprintable()
    assert len(given) <= 127


@given(st.binary(min_size=1, max_size=64).filter(lambda b: b"%PDF" not in b))
def test_plain_text_never_contradicts_a_name(tail):
    text = b"Visit: " + tail.hex().encode()

    for extension, kind in EXTENSIONS.items():
        if canonical(kind) not in DISCOURAGED:
            assert resolve(f"a.{extension}", text) == kind


def test_a_character_cut_by_the_end_of_the_head_is_still_text():
    assert resolve("notes", "größe".encode()[:4]) == "text/plain"
    assert resolve("notes", b"gr\xc3\x28\xff") == "application/octet-stream"


def test_the_alias_table_is_one_step_deep_and_knows_every_type_of_the_library():
    for known in filetype.TYPES:
        kind = canonical(known.mime)
        assert canonical(kind) == kind
    for kind in EXTENSIONS.values():
        assert canonical(canonical(kind)) == canonical(kind)
    assert canonical("Audio/X-WAV; rate=8000") == canonical("audio/wav") == "audio/wav"


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("a.pdf", "pdf"),
        ("a.b.PDF", "pdf"),
        ("dir.d/plain", None),
        ("dir\\a.txt", "txt"),
        (".profile", None),
        ("a.", None),
        ("a.b c", None),
        ("a.pdf ", None),
        ("a.verylongextension", None),
        ("", None),
    ],
)
def test_extensions(name, extension):
    assert extension_of(name) == extension


@pytest.mark.parametrize(
    ("kind", "name", "token"),
    [
        ("application/pdf", "a.pdf", "PDF"),
        ("application/pdf", "consent", "PDF"),
        ("image/jpeg", "a.jpg", "JPG"),
        ("image/jpeg", "a.jpeg", "JPEG"),
        ("image/jpeg", "a.JPEG", "JPEG"),
        ("image/jpg", "photo", "JPG"),
        ("image/tiff", "a.tiff", "TIFF"),
        ("image/tiff", "a", "TIF"),
        ("text/plain; charset=utf-8", "a.txt", "TXT"),
        ("text/plain", "a.text", "TEXT"),
        ("audio/x-wav", "a", "WAV"),
        ("text/xml", "a.xml", "XML"),
        ("text/xml", "a.cda", "CDA"),
        ("text/xml", "summary", "XML"),
        ("application/rtf", "a.rtf", "RTF"),
        ("application/dicom", "IM0001", "DCM"),
        (DOCX, "letter", "DOCX"),
        ("application/pdf", "a.png", "PDF"),  # the type was given against the name
        ("application/octet-stream", "a.unheard", "UNHEARD"),
        ("application/octet-stream", "a", "BIN"),
        ("application/x-thing", "a.thg", "THG"),
        ("application/x-thing", "a", "THING"),
        ("application/x-thing", "a.pdf", "THING"),
    ],
)
def test_file_type_tokens_are_extensions_in_upper_case(kind, name, token):
    assert file_type_token(kind, name) == token


@given(kind=st.from_regex(r"[a-z]{1,9}/[a-z0-9.+-]{1,20}", fullmatch=True), name=st.text(max_size=20))
def test_a_token_is_always_a_short_word_in_upper_case(kind, name):
    token = file_type_token(kind, name)

    assert token.isascii()
    assert token.isalnum()
    assert token == token.upper()


@pytest.mark.parametrize(
    ("kind", "model", "word"),
    [
        ("application/x-msdownload", "document-reference", "program"),
        ("application/vnd.microsoft.portable-executable", "notes", "program"),
        ("application/zip", "notes", "archive"),
        ("application/x-gzip", "media", "archive"),
        ("application/dicom", "media", "DICOM"),
        ("application/dicom", "document-reference", "DICOM"),
        ("application/dicom+json", "media", "DICOM"),
        ("image/tiff", "media", "diagnostic quality"),
        ("image/tiff", "notes", None),
        ("image/jpeg", "media", None),
        ("application/pdf", "media", None),
    ],
)
def test_advice_where_redox_warns(kind, model, word):
    warnings = advice(kind, model)

    if word is None:
        assert warnings == ()
    else:
        assert len(warnings) == 1
        assert word in warnings[0]


PIECES = [
    b"ustar",
    b"DICM",
    b"ftypmp42",
    b"LP",
    b"\x08\x00\x00",
    b"MZ",
    b"\x00",
    b"PK\x03\x04",
    b"\xef\xbb\xbf",
]


@given(
    pieces=st.lists(
        st.tuples(st.integers(0, 600) | st.sampled_from([4, 8, 34, 128, 257]), st.sampled_from(PIECES)),
        max_size=3,
    ),
    filler=st.sampled_from([b" ", b"\x00", b"\xff"]),
    length=st.integers(5, 700),
)
def test_what_is_a_pdf_at_once_is_one_to_the_library_too(pieces, filler, length):
    head = bytearray(b"%PDF-1.7\n".ljust(length, filler))
    for at, piece in pieces:
        head[at : at + len(piece)] = piece

    if content_type._is_plain_pdf(bytes(head)):
        assert filetype.guess_mime(bytes(head)) == "application/pdf"
        assert resolve("", bytes(head)) == "application/pdf"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=300), st.binary(max_size=4))
def test_the_library_takes_text_for_a_document_by_its_first_letters_only(text, start):
    head = start + text.encode()

    if filetype.guess_mime(head) in content_type._LETTERS:
        assert head.startswith(content_type._LETTER_SIGNATURES)
