"""A description is checked when it is made; what is wrong is named, and never shown."""

from __future__ import annotations

import datetime as dt
import json
import tomllib

import pytest

from chartsend import Coding, Document, Patient, Plan, Progress, Receipt, ReceiptError, Visit
from chartsend.document import Buffer
from chartsend.errors import InvalidDocumentError
from chartsend.shape import MAX_TEXT_CHARS, parse_shape

WHOLE = {
    "path": "scans/a.pdf",
    "document_id": "4411",
    "type": "Consent Form",
    "patient": {
        "identifiers": [{"id": "0000991234", "type": "MR", "system": "urn:x"}],
        "first_name": "Marla",
        "last_name": "Quillfeather",
        "birth_date": "1971-03-09",
        "sex": "Female",
        "address": {"zip": "53566"},
    },
    "provider": {"id": "9999999995", "id_type": "NPI"},
    "visit": {"number": "V-17", "class": "Outpatient", "location": {"facility": "North"}},
    "order": {"id": "LAB-1", "code": "PDF_REPORT"},
    "type_codings": [{"system": "http://loinc.org", "code": "59284-0"}],
    "documented_at": "2026-07-02T14:04:55.000Z",
}


def test_json_toml_and_python_make_the_same_document():
    from_json = parse_shape(Document, json.loads(json.dumps(WHOLE)))
    toml = """
        path = "scans/a.pdf"
        document_id = "4411"
        type = "Consent Form"
        documented_at = 2026-07-02T14:04:55Z
        type_codings = [{system = "http://loinc.org", code = "59284-0"}]
        [patient]
        identifiers = [{id = "0000991234", type = "MR", system = "urn:x"}]
        first_name = "Marla"
        last_name = "Quillfeather"
        birth_date = 1971-03-09
        sex = "Female"
        address = {zip = "53566"}
        [provider]
        id = "9999999995"
        id_type = "NPI"
        [visit]
        number = "V-17"
        class = "Outpatient"
        location = {facility = "North"}
        [order]
        id = "LAB-1"
        code = "PDF_REPORT"
    """

    assert parse_shape(Document, tomllib.loads(toml)) == from_json
    assert from_json.visit.class_ == "Outpatient"
    assert from_json.patient.birth_date == dt.date(1971, 3, 9)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patth": "x"}, r"unknown key `patth`; did you mean `path`"),
        ({"patient": {"identifers": []}}, r"`patient.identifers`; did you mean `identifiers`"),
        ({"visit": {"clas": "x"}}, r"`visit.clas`; did you mean `class`"),
        ({"content": "x"}, "unknown key `content`"),
        ({"path": 3}, r"`path`: Expected `str"),
        ({"patient": {"sex": "Canary"}}, r"`patient.sex`: not one of the allowed values"),
        ({"patient": {"birth_date": "Canary"}}, r"`patient.birth_date`"),
        ({"documented_at": "2026-01-01T00:00:00"}, "timezone"),
        ({"title": "Canary\r\nX-Header: 1"}, "title has a control character"),
        ({"title": "Canary\x00"}, "title has a control character"),
        ({"document_id": "Canary\ud800"}, "document_id has a control character"),
        ({"type": "Canary" * MAX_TEXT_CHARS}, "type has .* characters, at most"),
        ({"patient": {"last_name": "Canary\u2028"}}, "last_name has a control character"),
    ],
)
def test_what_is_wrong_is_named_with_a_hint_and_without_its_value(change, says):
    with pytest.raises(InvalidDocumentError, match=says) as caught:
        parse_shape(Document, {**WHOLE, **change})

    assert "Canary" not in str(caught.value)
    assert caught.value.code == "invalid_document"


@pytest.mark.parametrize(
    "make",
    [
        lambda: Document(path=3),
        lambda: Document(path="a", documented_at=dt.datetime(2026, 1, 1)),  # noqa: DTZ001
        lambda: Document(path="a", patient={"last_name": "x"}),
        lambda: Document(path="a", availability="Somewhere"),
        lambda: Patient(birth_date=dt.datetime(1971, 3, 9, tzinfo=dt.UTC)),
        lambda: Document(path="a", type_codings=["59284-0"]),
    ],
    ids=["path", "naive time", "patient", "availability", "birth date", "codings"],
)
def test_python_is_checked_like_json(make):
    with pytest.raises(InvalidDocumentError):
        make()


def test_lists_are_taken_and_frozen():
    document = Document(path="a", type_codings=[Coding(code="1")])

    assert document.type_codings == (Coding(code="1"),)
    with pytest.raises(AttributeError):
        document.path = "b"


def test_the_repr_names_fields_and_shows_no_value():
    document = parse_shape(Document, WHOLE)

    shown = repr(document) + repr(document.patient) + repr(document.patient.identifiers)
    for value in ("Quillfeather", "0000991234", "1971", "a.pdf"):
        assert value not in shown
    assert repr(Visit(number="V-1")) == "<Visit with number>"


def test_what_stands_in_tracebacks_and_logs_shows_no_content_and_no_file_name():
    receipt = Receipt(
        document_id="1", source="CANARY.pdf", bytes=1, sha256=None, api="fhir", method=None,
        model="notes", status="accepted",
    )  # fmt: skip
    progress = Progress(document_id="1", source="CANARY.pdf", sent_bytes=1, declared_bytes=2)
    plan = Plan(
        document_id="1", source="CANARY.pdf", bytes=1, api="fhir", method="embed", model="notes",
        content_type="a/b", requests=1, request_bytes=1, warnings=(),
    )  # fmt: skip

    for thing in (Buffer(b"CANARY"), receipt, progress, plan):
        assert "CANARY" not in repr(thing)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Document.from_bytes("text", title="x"),
        lambda: Document.from_stream(lambda: None, size_bytes=-1, title="x"),
        lambda: Document.from_stream(lambda: None, size_bytes=True, title="x"),
        lambda: Document.from_stream([b"x"], size_bytes=1, title="x"),
    ],
    ids=["text", "negative", "bool", "no async iterator"],
)
def test_a_source_that_cannot_be_sent_is_refused_when_it_is_made(make):
    with pytest.raises(InvalidDocumentError):
        make()


@pytest.mark.parametrize(
    ("document", "name"),
    [
        (Document(path="/scans/a.pdf"), "a.pdf"),
        (Document(path="/scans/a.pdf", title="Consent"), "Consent"),
        (Document(path="/scans/odd\nname\udcff.pdf"), "odd_name_.pdf"),
        (Document(path="/scans/back\\slash.pdf"), "back\\slash.pdf"),
    ],
)
def test_the_name_is_the_title_or_the_file_name_made_safe(document, name):
    assert document.name == name


def test_a_receipt_is_one_line_of_json_with_its_fields_in_order():
    receipt = Receipt(
        document_id="1", source="a\nb.pdf", bytes=1, sha256=None, api="fhir", method=None,
        model="document-reference", status="failed",
        error=ReceiptError(code="source_missing", message="there is no file"),
    )  # fmt: skip

    line = receipt.to_json()

    assert b"\n" not in line
    assert list(json.loads(line)) == [
        "document_id", "source", "bytes", "sha256", "api", "method", "model", "status",
        "reference_url", "log_ids", "trace_id", "resource_url", "attempts", "seconds", "error",
    ]  # fmt: skip
