"""The same documents as JSONL and as CSV, and both as they were made."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json

import msgspec
from hypothesis import given, settings, strategies as st

from chartsend import Address, Coding, Document, Identifier, Location, Order, Patient, Provider, Visit
from chartsend.batch.manifest.columns import known_names

# CR would be a line end for the csv module only at the end of a cell of several lines; surrogates are
# in no UTF-8. Everything else that a text may have.
CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TEXT = st.text(CHARACTERS, min_size=1, max_size=30)
PROSE = st.text(CHARACTERS | st.sampled_from("\n\t\",'"), min_size=1, max_size=60)
NAME = st.text("abcXYZ019_-äé日 (),\"'&=+@", min_size=1, max_size=12).map(lambda t: t.strip() + "x")
PATH = st.lists(NAME, min_size=1, max_size=4).map("/".join)
MOMENT = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda t: t.replace(tzinfo=dt.UTC)
)


def some(text=TEXT):
    return st.none() | text


def parts(kind, *names, **fields):
    made = st.builds(kind, **{name: some() for name in names}, **fields)
    return st.none() | made.filter(lambda each: bool(msgspec.to_builtins(each)))


PROVIDER = parts(Provider, "id", "id_type", "first_name", "last_name")
IDENTIFIER = st.builds(Identifier, id=TEXT, type=some(), system=some())
CODING = st.builds(Coding, code=TEXT, system=some(), display=some())
DOCUMENT = st.builds(
    Document,
    path=PATH,
    **{name: some() for name in ("document_id", "type", "title", "content_type", "status", "replaces")},
    description=some(PROSE),
    availability=some(st.sampled_from(["Available", "Deleted"])),
    documented_at=some(MOMENT),
    service_at=some(MOMENT),
    type_codings=st.lists(CODING, max_size=3).map(tuple),
    patient=parts(
        Patient,
        *("first_name", "last_name", "phone", "email"),
        identifiers=st.lists(IDENTIFIER, max_size=3).map(tuple),
        birth_date=some(st.dates()),
        sex=some(st.sampled_from(["Female", "Nonbinary"])),
        address=parts(Address, "street", "city", "state", "zip", "county", "country"),
    ),
    provider=PROVIDER,
    authenticator=PROVIDER,
    visit=parts(
        Visit,
        *("number", "account_number", "class_"),
        location=parts(Location, "type", "facility", "department", "room", "bed"),
    ),
    order=parts(Order, "id", "application_id", "code", "codeset", "description", "status"),
)
WAY = st.fixed_dictionaries(
    {},
    optional={
        "to": TEXT,
        "method": st.sampled_from(["auto", "upload", "embed"]),
        "model": st.sampled_from(["notes", "media"]),
    },
)


def flat(value, before=""):
    """A mapping's texts by their dotted names."""
    if isinstance(value, str):
        return {before[:-1]: value}
    items = value.items() if isinstance(value, dict) else enumerate(value)
    return {name: text for key, each in items for name, text in flat(each, f"{before}{key}.").items()}


@given(
    rows=st.lists(st.tuples(DOCUMENT, WAY), max_size=5),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
@settings(max_examples=200, deadline=None)
def test_documents_come_back_from_jsonl_and_from_csv(read, rows, quoting):
    described = [msgspec.to_builtins(document) | way for document, way in rows]
    texts = [flat(each) for each in described]
    columns = sorted({"path"}.union(*texts), key=lambda name: hash(name) % 7)  # in any order
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, restval="", quoting=quoting, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(texts)

    lines = "".join(
        json.dumps(each, ensure_ascii=bool(n % 2)) + "\n" for n, each in enumerate(described)
    )
    from_csv = read(table.getvalue(), "csv")
    from_lines = read(lines, "jsonl")

    assert [entry.error for entry in [*from_csv, *from_lines]] == [None] * 2 * len(rows)
    assert [entry.row for entry in from_csv] == [entry.row for entry in from_lines]
    for entry, (document, way) in zip(from_lines, rows, strict=True):
        path = entry.row.document.path
        assert path.endswith(document.path)
        assert entry.row.document == msgspec.structs.replace(document, path=path)
        assert {k: v for k in way if (v := getattr(entry.row, k))} == way


def test_every_field_of_a_document_has_a_column():
    def full(kind, *names, **fields):
        return kind(**dict.fromkeys(names, "x"), **fields)

    now, person = dt.datetime.now(dt.UTC), full(Provider, "id", "id_type", "first_name", "last_name")
    filled = full(
        Document,
        *("path", "document_id", "type", "title", "description", "content_type", "status", "replaces"),
        availability="Available",
        documented_at=now,
        service_at=now,
        type_codings=(full(Coding, "system", "code", "display"),),
        patient=full(
            Patient,
            *("first_name", "last_name", "phone", "email"),
            identifiers=(full(Identifier, "id", "type", "system"),),
            birth_date=dt.date(2000, 1, 1),
            sex="Male",
            address=full(Address, "street", "city", "state", "zip", "county", "country"),
        ),
        provider=person,
        authenticator=person,
        visit=full(
            Visit,
            *("number", "account_number", "class_"),
            location=full(Location, "type", "facility", "department", "room", "bed"),
        ),
        order=full(Order, "id", "application_id", "code", "codeset", "description", "status"),
    )

    assert known_names() == {*flat(msgspec.to_builtins(filled)), "to", "api", "model", "method"}
