"""JSONL: a row for each line, and a bad line is one rejected row."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from chartsend.batch.manifest.entry import Position
from chartsend.errors import PathEscapeError, RowRejectedError

WHOLE = {
    "path": "scans/a.pdf",
    "document_id": "d-1",
    "type": "Consent Form",
    "documented_at": "2026-07-02T13:58:00Z",
    "patient": {
        "identifiers": [{"id": "0000991234", "type": "MR"}],
        "last_name": "Quillfeather",
        "birth_date": "1971-03-09",
    },
    "visit": {"class": "Outpatient", "location": {"room": "3"}},
    "to": "memorial-ehr",
    "api": "data-model",
    "model": "notes",
    "method": "embed",
}


def test_a_row_is_a_document_in_the_root_and_the_way_it_is_sent(opened, tmp_path):
    with opened(json.dumps(WHOLE), root=tmp_path) as manifest:
        (entry,) = manifest.entries()

    row = entry.row
    assert row.document.path == f"{tmp_path.resolve()}/scans/a.pdf"
    assert row.document.patient.birth_date == dt.date(1971, 3, 9)
    assert row.document.visit.class_ == "Outpatient"
    assert (row.to, row.api, row.model, row.method) == ("memorial-ehr", "data-model", "notes", "embed")
    assert (entry.position, entry.number, entry.error) == (Position(0, 1), 1, None)
    assert entry.raw == json.dumps(WHOLE).encode()


def test_a_row_goes_over_the_defaults_and_takes_nothing_of_another_patient(read):
    defaults = {
        "type": "Scan",
        "patient": {"identifiers": [{"id": "1"}], "last_name": "Other"},
        "provider": {"id": "9999999995"},
    }
    rows = [{"path": "a", "title": "T"}, {"path": "b", "patient": {"identifiers": [{"id": "2"}]}}]

    first, second = (e.row.document for e in read("\n".join(map(json.dumps, rows)), defaults=defaults))

    assert (first.type, first.title, first.patient.last_name) == ("Scan", "T", "Other")
    assert (second.type, second.provider.id) == ("Scan", "9999999995")
    assert (second.patient.identifiers[0].id, second.patient.last_name) == ("2", None)


def test_empty_lines_and_remarks_are_no_rows_and_count_as_lines(told):
    assert told('\n# a remark\n  \t\n{"path": "a"}\r\n\r\n{"path": "b"}') == [(4, None), (6, None)]


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# only a remark\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"]
)
def test_a_manifest_without_rows_has_no_entries(opened, content):
    with opened(content) as manifest:
        assert not manifest.is_finished
        assert list(manifest.entries()) == []
        assert manifest.is_finished
        assert manifest.end.offset == len(content)


@pytest.mark.parametrize("end", ["\n", "\r\n", ""])
def test_every_line_end_and_none_at_all_are_the_same(read, end):
    assert [e.raw for e in read(f'{{"path": "a"}}\n{{"path": "b"}}{end}')] == [
        b'{"path": "a"}',
        b'{"path": "b"}',
    ]


def test_a_byte_order_mark_is_taken_at_the_files_beginning_only(told):
    assert told(b'\xef\xbb\xbf{"path": "a"}\n\xef\xbb\xbf{"path": "b"}\n') == [
        (1, None),
        (2, "row 2 has a byte order mark, which only a file may begin with"),
    ]


BAD = [
    (b'{"path": "CANARY"', "is not valid JSON"),
    (b'{"path": "CANARY"} {"path": "b"}', "is not valid JSON"),
    (b'{"path": "CANARY\x00"}', "is not valid JSON"),
    (b'{"path": "CANARY\x1b"}', "is not valid JSON"),
    (b"CANARY", "is not valid JSON"),
    (b'["CANARY"]', "is not a JSON object"),
    (b'"CANARY"', "is not a JSON object"),
    (b"17", "is not a JSON object"),
    (b"null", "is not a JSON object"),
    (b'{"path": "CANARY\xff"}', "is not UTF-8"),
    (b'{"path": "CANARY\xc0\xaf"}', "is not UTF-8"),
    (b'{"path": "CANARY\xed\xa0\x80"}', "is not UTF-8"),
    (b'{"path": "a",\r"title": "CANARY"}', "has a carriage return in it"),
    (b'{"path": "a", "path": "CANARY"}', "has a key twice in one object"),
    (b'{"path": "a", "patient": {"sex": "CANARY", "s\\u0065x": "Male"}}', "has a key twice"),
    (b'{"path": "a" , "title" : "CANARY", "title" : ":"}', "has a key twice"),
    (b'{"path": "a", "title": NaN}', "has NaN or Infinity"),
    (b'{"path": "a", "title": -Infinity}', "has NaN or Infinity"),
    (b'{"path": "a", "title": ' + b"9" * 100_000 + b"}", "has a number of more than 20 digits"),
    (
        b'{"path": "a", "patient": ' + b'{"a":' * 40 + b'"CANARY"' + b"}" * 41,
        "is nested deeper than 32 levels",
    ),
    (b'{"path": "a", "patient": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is not valid JSON"),
    (b'{"path": "a", "title": "CANARY' + b"x" * 262_144 + b'"}', "is longer than 262144 bytes"),
    (b'{"path": "a", "CANARY": 1}', "unknown key"),
    (b'{"path": "a", "__proto__": {"CANARY": 1}}', "unknown key"),
    (b'{"path": "a", "titel": "CANARY"}', "unknown key; did you mean `title`?"),
    (
        b'{"path": "a", "patient": {"frist_name": "CANARY"}}',
        "unknown key in `patient`; did you mean `first_name`?",
    ),
    (b'{"path": "a", "content": "CANARY"}', "unknown key"),
    (b'{"path": "a", "x - at `$.CANARY": 1}', "unknown key"),
    (b'{"path": "a", "`CANARY`": 1}', "unknown key"),
    (b'{"path": "a", "type": 17}', "`type`: Expected `str | null`, got `int`"),
    (b'{"path": "a", "type": 1.5}', "`type`: Expected `str | null`, got `float`"),
    (b'{"path": "a", "patient": "CANARY"}', "`patient`: Expected `object | null`, got `str`"),
    (b'{"path": "a", "patient": {"birth_date": "CANARY"}}', "`patient.birth_date`"),
    (b'{"path": "a", "patient": {"sex": "CANARY"}}', "`patient.sex`: not one of the allowed values"),
    (b'{"path": "a", "documented_at": "2026-01-01T00:00:00"}', "`documented_at`"),
    (b'{"path": "a", "patient": {"identifiers": [{"type": "CANARY"}]}}', "missing required field `id`"),
    (b'{"path": "a", "title": "CANARY\\u0000"}', "title has a control character"),
    (b'{"path": "a", "title": "CANARY\\ud800"}', "title has a control character"),
    (b'{"path": "a", "title": "' + b"CANARY" * 1000 + b'"}', "title has 6000 characters"),
    (b'{"title": "CANARY"}', "path is missing"),
    (b'{"path": null}', "path is missing"),
    (b'{"path": 17}', "path is of the wrong type"),
    (b'{"path": ""}', "path is empty"),
    (b'{"path": "a", "to": ""}', "to is empty"),
    (b'{"path": "a", "to": "CANARY\\n"}', "to has a control character"),
    (b'{"path": "a", "api": "CANARY"}', "`api`: not one of the allowed values"),
    (b'{"path": "a", "method": "CANARY"}', "`method`: not one of the allowed values"),
    (b'{"path": "a", "api": "fhir", "model": "notes"}', "api and model contradict each other"),
    (b'{"path": "a", "#refused": "CANARY"}', "unknown key"),
    (b'{"path": "a", "#refused": ["CANARY"]}', "unknown key"),
]


@pytest.mark.parametrize(("line", "said"), BAD, ids=[f"{n} {said}" for n, (_, said) in enumerate(BAD)])
def test_a_bad_line_is_rejected_by_number_and_field_and_the_next_is_read(read, line, said):
    before, entry, after = read(b'{"path": "a"}\n' + line + b'\n{"path": "b"}\n')

    assert type(entry.error) is RowRejectedError
    assert said in entry.error.message
    assert entry.error.message.startswith("row 2")
    assert "CANARY" not in entry.error.message + repr(entry) + repr(entry.error)
    assert len(entry.error.message) < 300
    assert (entry.row, entry.raw, entry.number) == (None, line, 2)
    assert before.row is not None
    assert (after.row is not None, after.number) == (True, 3)


def test_a_rows_error_keeps_nothing_of_the_row(read):
    (entry,) = read('{"path": "a", "patient": {"birth_date": "CANARY"}}')

    assert entry.error.__traceback__ is None
    assert entry.error.__context__ is None
    assert entry.error.__cause__ is None


def test_a_path_that_leads_out_is_an_error_of_its_own(read):
    (entry,) = read('{"path": "../CANARY"}')

    assert type(entry.error) is PathEscapeError
    assert entry.error.message.startswith("row 1: path has `..` in it")


@pytest.mark.parametrize("byte", range(256))
def test_any_byte_between_two_rows_costs_at_most_one_row_and_never_the_next(read, byte):
    line = bytes([byte])

    entries = read(b'{"path": "a"}\n' + line + b'\n{"path": "b"}\n')

    assert [e.row is not None for e in entries][0::2] if len(entries) == 3 else len(entries) == 2
    assert entries[0].row is not None
    assert entries[-1].row is not None
    assert entries[-1].number == (4 if line == b"\n" else 3)


def test_texts_that_look_like_keys_are_no_keys(read):
    rows = [{"path": "a", "title": ': "x": "', "description": '"a":"b"'}, {"path": "b", "title": ":"}]

    entries = read("\n".join(map(json.dumps, rows)))

    assert [e.row.document.title for e in entries] == [': "x": "', ":"]


def test_a_name_that_is_not_utf8_can_be_written_with_its_bytes(read, tmp_path):
    (entry,) = read(json.dumps({"path": "s/\udcff.pdf"}), root=tmp_path)

    assert entry.row.document.path.encode("utf-8", "surrogateescape").endswith(b"/s/\xff.pdf")
