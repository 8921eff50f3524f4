"""The sandbox's incremental readers give the same for any cuts as the standard library for the whole."""

from __future__ import annotations

import base64
import binascii
import json
import os
from itertools import pairwise

import pytest
from hypothesis import example, given, settings, strategies as st

from chartsend.sandbox.base64_stream import Base64Decoder, NotBase64Error, decode
from chartsend.sandbox.json_stream import BadJsonError, JsonReader
from chartsend.sandbox.long_string import LongString
from chartsend.sandbox.multipart_stream import BadMultipartError, MultipartReader, boundary_of
from chartsend.sandbox.store import Store

THRESHOLD = 16


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("store"))
    yield store
    assert not [p for p in (store.folder / "files").iterdir() if p.stat().st_mode & 0o077]


def pieces_of(content, cuts):
    edges = sorted({0, len(content), *(c % (len(content) + 1) for c in cuts)})
    return [content[a:b] for a, b in pairwise(edges)]


def plain(value):
    """Take every long string out of its file."""
    match value:
        case LongString():
            return b"".join(value.as_text().pieces()).decode()
        case list():
            return [plain(item) for item in value]
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case _:
            return value


def read(store, pieces, **options):
    with JsonReader(store.new_file, threshold_bytes=THRESHOLD, **options) as reader:
        for piece in pieces:
            reader.feed(piece)
        return plain(reader.finish())


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
base64_text = st.binary(max_size=120).map(lambda raw: base64.b64encode(raw).decode())
key = st.text("abc", max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | text | base64_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=400)
@given(values, st.lists(st.integers(0, 10_000), max_size=12), st.booleans(), st.booleans())
def test_json_read_in_any_pieces_is_what_json_loads_gives(store, value, cuts, ascii_, php):
    content = json.dumps(value, ensure_ascii=ascii_)
    if php:  # PHP escapes the slash, which base64 is full of
        content = content.replace("/", "\\/")
    whole = content.encode()

    assert read(store, pieces_of(whole, cuts)) == json.loads(whole)


@settings(max_examples=60)
@given(values, st.booleans())
def test_json_read_byte_by_byte_is_what_json_loads_gives(store, value, ascii_):
    whole = json.dumps(value, ensure_ascii=ascii_).encode()

    assert read(store, pieces_of(whole, range(len(whole)))) == json.loads(whole)


@settings(max_examples=300)
@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=10))
def test_embedded_base64_is_decoded_on_the_way(store, raw, cuts):
    text = base64.b64encode(raw).decode()
    whole = json.dumps({"a": [1, {"data": text}], "b": "x"}).encode()

    with JsonReader(store.new_file, threshold_bytes=THRESHOLD) as reader:
        for piece in pieces_of(whole, cuts):
            reader.feed(piece)
        data = reader.finish()["a"][1]["data"]
        if len(text) > THRESHOLD:
            file = data.as_base64()
            assert b"".join(file.pieces()) == raw
            assert file.size_bytes == len(raw)
        else:
            assert data == text


@settings(max_examples=300)
@given(st.text(st.sampled_from('AZaz09+/=\n "\\é'), min_size=17, max_size=90), st.integers(1, 90))
def test_a_long_string_is_base64_exactly_when_it_is(store, text, cut):
    try:
        expected = base64.b64decode(text.encode(), validate=True)
        if binascii.a2b_base64(text.encode(), strict_mode=True) != expected:
            expected = None
    except ValueError:
        expected = None
    long_string = LongString(store.new_file)
    encoded = text.encode()
    for start in range(0, len(encoded), cut):
        long_string.feed(encoded[start : start + cut])
    long_string.finish()

    if expected is None:
        with pytest.raises(NotBase64Error):
            long_string.as_base64()
        assert b"".join(long_string.as_text().pieces()) == encoded
    else:
        assert b"".join(long_string.as_base64().pieces()) == expected


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"{",
        b'"',
        b'{"a": "unfinished',
        b'"' + b"x" * 40 + b"\x01" + b'"',
        b'"' + b"x" * 40 + b'\\q"',
        b'"' + b"x" * 40 + b'\\u12"',
        b'"' + b"x" * 40 + b'\\ud83d"',
        b'"' + b"x" * 40 + b'\\udc00"',
        b'"' + b"x" * 40 + b'\\ud83dxxxxxx"',
        b'"' + b"x" * 40 + b'\xff"',
        b'"' + b"x" * 40 + b'\xe2\x82"',
        b"[" * 500 + b"]" * 500,
        b"{} {}",
        b'{"a": NaN}',
        b'{"' + b"k" * 40 + b'": 1}',
        b"\xef\xbb\xbf{}",
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_broken_json_is_refused(store, broken, size):
    with pytest.raises(BadJsonError):
        read(store, [broken[i : i + size] for i in range(0, len(broken), size)])


def test_json_beside_the_long_strings_is_limited(store):
    with pytest.raises(BadJsonError, match="more than 1000 bytes"):
        read(store, [b"[" + b"1," * 600], skeleton_limit_bytes=1000)


def test_a_document_cannot_contain_a_marker(store):
    """Markers are random per reader, so text that looks like one of another reader is only text."""
    with JsonReader(store.new_file, threshold_bytes=THRESHOLD) as reader:
        marker = reader._marker

    assert read(store, [json.dumps([f"{marker}:0", "y" * 40]).encode()]) == [
        f"{marker}:0",
        "y" * 40,
    ]


def test_long_strings_that_nobody_takes_are_deleted(tmp_path):
    store = Store(tmp_path)
    with JsonReader(store.new_file, threshold_bytes=THRESHOLD) as reader:
        reader.feed(b'["' + b"A" * 40 + b'", "' + b"x y" * 40)

    assert list((tmp_path / "files").iterdir()) == []


@given(st.binary(max_size=300), st.lists(st.integers(0, 500), max_size=10))
def test_base64_in_any_pieces_is_what_b64decode_gives(raw, cuts):
    decoder = Base64Decoder()

    decoded = b"".join(decoder.feed(piece) for piece in pieces_of(base64.b64encode(raw), cuts))

    assert decoded + decoder.finish() == raw


@pytest.mark.parametrize(
    "text",
    [b"QQ", b"Q", b"QQ=", b"QQ===", b"QQ==QQ==", b"=QQQ", b"QUJD\n", b"QU JD", b"QU_D", b"QU\xffD"],
)
def test_what_is_not_quite_base64_is_refused(text):
    for padded in (text, b"QUJD" * 30 + text):
        with pytest.raises(NotBase64Error):
            decode(padded)


class Parts:
    def __init__(self):
        self.parts = []

    def open(self, head):
        self.parts.append([head, b""])
        return self

    def write(self, piece):
        self.parts[-1][1] += piece


def form_of(parts, boundary):
    form = b"preamble\r\n"
    for name, content in parts:
        form += b"--" + boundary + b"\r\nContent-Disposition: form-data; name=" + name
        form += b'; filename="f"\r\n\r\n' + content + b"\r\n"
    return form + b"--" + boundary + b"--\r\nepilogue"


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.sampled_from([b"file", b"b"]), st.binary(max_size=100)), max_size=4),
    st.lists(st.integers(0, 2000), max_size=12),
)
@example([(b"file", b"\r\n--x\r\n--xyzz\r\n")], [20, 21, 22])
def test_a_form_in_any_pieces_gives_its_parts(parts, cuts):
    found = Parts()
    reader = MultipartReader(b"xyzzy", found.open)

    for piece in pieces_of(form_of(parts, b"xyzzy"), cuts):
        reader.feed(piece)
    reader.finish()

    assert [(head.name.encode(), content) for head, content in found.parts] == parts


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_form_that_is_cut_is_refused(cut):
    form = form_of([(b"file", b"content")], b"xyzzy").removesuffix(b"\r\nepilogue")
    reader = MultipartReader(b"xyzzy", Parts().open)

    def read_it():
        reader.feed(form[:-cut])
        reader.finish()

    with pytest.raises(BadMultipartError):
        read_it()


@pytest.mark.parametrize(
    "form",
    [
        b"--xyzzy garbage\r\n\r\n",
        b"--xyzzy\r\nno colon\r\n\r\n",
        b"--xyzzy\r\nContent-Type: a/b\r\n\r\n",
        b"--xyzzy\r\nContent-Disposition: attachment\r\n\r\n",
        b"--xyzzy\r\nX: " + b"x" * 20_000,
        b"--xyzzy" + b" " * 20_000,
        b"--xyzzy\r\n\xff: x\r\n\r\n",
        b"".join(b"--xyzzy\r\nContent-Disposition: form-data; name=a\r\n\r\n\r\n" for _ in range(20)),
    ],
)
def test_a_malformed_form_is_refused(form):
    reader = MultipartReader(b"xyzzy", Parts().open)

    with pytest.raises(BadMultipartError):
        reader.feed(form)


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "multipart/form-data",
        "multipart/mixed; boundary=x",
        "multipart/form-data; boundary=" + "x" * 71,
    ],
)
def test_a_content_type_without_a_usable_boundary_is_refused(content_type):
    with pytest.raises(BadMultipartError):
        boundary_of(content_type)


def test_a_quoted_boundary_is_understood():
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"


def test_random_bytes_never_break_the_json_reader(store):
    for seed in range(300):
        content = os.urandom(seed % 97)
        try:
            expected = json.loads(content)
        except ValueError:
            with pytest.raises(BadJsonError):
                read(store, [content])
        else:
            assert read(store, [content]) == expected
