"""CSV: columns by name, cells by RFC 4180, empty cells say nothing."""

from __future__ import annotations

import json

import pytest

from chartsend.errors import ManifestError, RowRejectedError

HEADER = "path,type,patient.identifiers.0.id,patient.identifiers.0.type,patient.birth_date"


def refused(read, content):
    with pytest.raises(ManifestError) as caught:
        read(content, "csv")
    assert "CANARY" not in caught.value.message
    return caught.value.message


def test_columns_fill_the_same_document_as_keys_do(read):
    columns = [
        HEADER,
        "visit.class",
        "visit.location.room",
        "documented_at",
        "type_codings.0.code",
        "to",
        "model",
    ]
    csv = (
        ",".join(columns)
        + "\na.pdf,Scan,0000991234,MR,1971-03-09,Outpatient,3,2026-07-02T13:58:00Z,X,m,notes\n"
    )
    row = {
        "path": "a.pdf",
        "type": "Scan",
        "patient": {"identifiers": [{"id": "0000991234", "type": "MR"}], "birth_date": "1971-03-09"},
        "visit": {"class": "Outpatient", "location": {"room": "3"}},
        "documented_at": "2026-07-02T13:58:00Z",
        "type_codings": [{"code": "X"}],
        "to": "m",
        "model": "notes",
    }

    (from_csv,), (from_json,) = read(csv, "csv"), read(json.dumps(row))

    assert from_csv.row == from_json.row
    assert from_csv.number == 2


def test_an_empty_cell_says_nothing_and_a_list_has_no_gaps(read):
    columns = "path,title,patient.identifiers.0.id,patient.identifiers.1.id,patient.identifiers.1.type"

    first, second = read(f"{columns}\na,,,2,MR\nb,,,,\n", "csv", defaults={"title": "D"})

    assert [i.id for i in first.row.document.patient.identifiers] == ["2"]
    assert first.row.document.title == "D"
    assert second.row.document.patient is None


def test_columns_may_stand_in_any_order(read):
    (entry,) = read("patient.identifiers.1.id,type,patient.identifiers.0.id,path\n2,T,1,a\n", "csv")

    assert [i.id for i in entry.row.document.patient.identifiers] == ["1", "2"]


@pytest.mark.parametrize(
    "content", ["", "\n\n", "path,type", "path,type\r\n\r\n", "# a remark\n", "\ufeff"]
)
def test_a_header_without_rows_or_nothing_at_all_has_no_entries(read, content):
    assert read(content, "csv") == []


def test_remarks_stand_before_the_header_only(told):
    assert told("# of the scanner\npath\n#1.pdf\n", "csv") == [(3, None)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("path,titel\n", "line 1, the header: column 2 is unknown; did you mean `title`?"),
        ("path,last_name\n", "column 2 is unknown; did you mean `patient.last_name`?"),
        ("path,patient.identifers.0.id\n", "did you mean `patient.identifiers.0.id`?"),
        ("path,patient.identifiers.id\n", "did you mean `patient.identifiers.0.id`?"),
        ("path,Birth Date\n", "did you mean `patient.birth_date`?"),
        ("path,CANARY\n", "column 2 is unknown"),
        ("path,content\n", "column 2 is unknown"),
        ("path,patient\n", "column 2 is unknown"),
        ("path,type,type\n", "`type` stands there 2 times"),
        ("path,type,\n", "column 3 has no name"),
        ("type,title\n", "there is no column `path`"),
        ("path,patient.identifiers.1.id\n", "the items of `patient.identifiers` count from 0"),
        ("path,patient.identifiers.00.id\n", "column 2 is unknown"),
        ("path,patient.identifiers.100.id\n", "column 2 is unknown"),
        ("CANARY.pdf,CANARY\n", "line 1 is no header"),
        ("\n\nCANARY.pdf,CANARY\n", "line 3 is no header"),
        ("path;type\nCANARY;CANARY\n", "columns are divided by commas"),
        ("path\ttype\n", "columns are divided by commas"),
        ('path,"type\n', "has a quote that is not closed on the line in column 2"),
        ('path,ty"pe\n', "has a quote in a cell that does not begin with one in column 2"),
        ("path," + ",".join(["x"] * 1001) + "\n", "has more than 1000 columns"),
        (b"path,\xff\n", "is not UTF-8"),
        ("x" * 2**20 + "y\n", "line 1 is too long to be a header"),
    ],
)
def test_a_header_that_is_not_understood_refuses_the_whole_manifest(read, content, said):
    assert said in refused(read, content)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"CANARY", "has 1 cells, and the header 2 columns"),
        (b"a,CANARY,", "has 3 cells, and the header 2 columns"),
        (b"a,CANARY\xff", "is not UTF-8"),
        (b"a,CAN\rARY", "has a carriage return in a cell without quotes in column 2 (title)"),
        (b'a,CAN"ARY', "has a quote in a cell that does not begin with one in column 2 (title)"),
        (b'a,"CANARY"x', "has text after a closing quote in column 2 (title)"),
        (b'"CANARY" ,x', "has text after a closing quote in column 1 (path)"),
        (b'a,"CANARY"x,1', "has text after a closing quote in column 2 (title)"),
        (b'a,b,CAN"ARY', "has a quote in a cell that does not begin with one in column 3"),
        (b"a,CANARY\x00", "title has a control character"),
        (b",CANARY", "path is missing"),
        (b",", "path is missing"),
        (b'"",""', "path is missing"),
        (b"\xef\xbb\xbfpath,title", "has a byte order mark"),
        (b"a," + b"CANARY" * 50_000, "is longer than 262144 bytes"),
        (b"a," + b"CANARY" * 10_000, "title has 60000 characters"),
    ],
)
def test_a_bad_record_is_rejected_by_number_and_column_and_the_next_is_read(read, line, said):
    before, entry, after = read(b"path,title\na,b\n" + line + b"\nc,d\n", "csv")

    assert type(entry.error) is RowRejectedError
    assert said in entry.error.message
    assert entry.error.message.startswith("row 3")
    assert "CANARY" not in entry.error.message
    assert (entry.row, entry.raw) == (None, line)
    assert (before.row.document.title, after.row.document.title, after.number) == ("b", "d", 4)


def test_quotes_hold_commas_quotes_and_line_ends(read):
    content = 'path,title,description\r\n"a,1.pdf","5"" scar","one\r\ntwo\n""three"""\r\n"b","",""\r\n'

    first, second = read(content, "csv")

    assert first.row.document.path.endswith("/a,1.pdf")
    assert first.row.document.title == '5" scar'
    assert first.row.document.description == 'one\r\ntwo\n"three"'
    assert first.raw == content.splitlines(keepends=True)[1].encode() + b'two\n""three"""'
    assert (first.number, second.number) == (2, 5)
    assert second.row.document.title is None


def test_what_a_spreadsheet_would_run_is_data(read):
    texts = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(1)"]
    lines = "\n".join(f"{n}.pdf,{text}" for n, text in enumerate(texts))

    assert [e.row.document.title for e in read(f"path,title\n{lines}\n", "csv")] == texts
