"""The multipart frame parses back with an independent parser, whatever name or bytes it carries."""

import email.parser
import email.policy

import pytest
from hypothesis import given, settings, strategies as st

from chartsend.encoding.multipart import MAX_FILENAME_BYTES, frame, shorten

BOUNDARY = "chartsend-0123456789abcdef0123456789abcdef"


def parse(body: bytes):
    head = f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    parts = list(message.iter_parts())
    assert len(parts) == 1
    return parts[0]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_one_part_named_file_with_exactly_the_bytes(data):
    envelope = frame(boundary=BOUNDARY, filename="scan.pdf", content_type="application/pdf")
    body = envelope.prefix + data + envelope.suffix

    assert len(body) == envelope.length_bytes + len(data)
    head, _, rest = body.partition(b"\r\n\r\n")
    assert rest == data + f"\r\n--{BOUNDARY}--\r\n".encode()
    assert head.split(b"\r\n")[1:] == [
        b'Content-Disposition: form-data; name="file"; filename="scan.pdf"',
        b"Content-Type: application/pdf",
    ]


@pytest.mark.parametrize("size", range(301))
def test_every_length_reads_back(size):
    data = b"x" * size
    envelope = frame(boundary=BOUNDARY, filename="a.txt", content_type="text/plain")

    part = parse(envelope.prefix + data + envelope.suffix)

    assert part.get_param("name", header="content-disposition") == "file"
    assert part.get_payload(decode=True) == data


@settings(max_examples=500, deadline=None)
@given(st.text(min_size=1, max_size=80))
def test_no_name_breaks_out_of_its_quotation_marks(name):
    envelope = frame(boundary=BOUNDARY, filename=name, content_type="text/plain")

    lines = envelope.prefix.split(b"\r\n")
    assert len(lines) == 5
    assert envelope.prefix.isascii()
    assert lines[1].count(b'"') == 4
    assert b"\r" not in lines[1]
    assert b"\n" not in lines[1]


def test_a_name_beyond_ascii_travels_encoded_beside_a_plain_one():
    envelope = frame(boundary=BOUNDARY, filename='Zoë "1".pdf', content_type="application/pdf")

    assert b"filename=\"Zo_ _1_.pdf\"; filename*=UTF-8''Zo%C3%AB%20%221%22.pdf" in envelope.prefix


def test_a_long_name_is_shortened_and_keeps_its_extension():
    name = shorten("é" * 300 + ".pdf")

    assert len(name.encode()) <= MAX_FILENAME_BYTES
    assert name.endswith(".pdf")


@pytest.mark.parametrize(
    ("boundary", "content_type"),
    [
        ("short", "text/plain"),
        (BOUNDARY, "text/plain\r\nX: 1"),
        (BOUNDARY + '"', "a/b"),
        (BOUNDARY, "té/x"),
    ],
)
def test_a_boundary_or_type_that_would_break_the_frame_is_refused(boundary, content_type):
    with pytest.raises(ValueError, match=r"boundary|content type"):
        frame(boundary=boundary, filename="a", content_type=content_type)
