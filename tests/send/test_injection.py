"""Titles, names, ids and slugs that want to be something else: nothing of them is raw on the wire."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from rig import TO, described, document, outcome, pattern

from chartsend import Document, Identifier, Patient, Provider
from chartsend.errors import ConfigError, InvalidDocumentError, TransferError
from chartsend.settings import Destination

PLANTED = "X-Planted: marla"
CONTROLS = ["\r\n", "\n", "\r", "\0", "\x0b", "\x1b[31m", "\x7f", "\x85", "\u2028", "\ud800"]


@pytest.mark.parametrize("control", CONTROLS, ids=repr)
@pytest.mark.parametrize("field", ["title", "type", "document_id", "content_type", "replaces"])
def test_a_control_character_is_refused_where_the_document_is_made(control, field):
    with pytest.raises(InvalidDocumentError) as caught:
        Document.from_bytes(b"x", **{"title": "a.txt", field: f"a{control}{PLANTED}"})
    assert "marla" not in str(caught.value)


HOSTILE = [
    'a"; filename="b.exe',
    "a'b",
    "a\\b",
    "../../etc/passwd",
    "a/b",
    "a%0d%0aX: y",
    'a; name="other"',
    '{"a": 1}',
    '"}]}',
    "--chartsend-0--",
    "<script>",
    "\u202eevil",
    "ü.pdf",
    "日本.pdf",
    "😀.pdf",
    "..",
    "a\u00a0b",
    "%00",
    "=cmd|' /C calc'!A0",
    "\\u0000",
    "\\r\\n" + PLANTED,
]


@pytest.mark.parametrize("title", HOSTILE)
@pytest.mark.parametrize("api", ["fhir", "data-model"])
@pytest.mark.parametrize("method", ["upload", "embed"])
async def test_a_hostile_title_stays_a_title(raw, engine_for, title, api, method):
    data = pattern(1000)
    doc = Document.from_bytes(
        data, title=title, content_type="application/pdf", **described(document_id="doc-1")
    )
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, doc, api=api, method=method)
    assert getattr(receipt, "status", receipt) == "accepted"
    for request in raw.log()["requests"]:
        assert "planted" not in request["head"].lower()
        assert request["head"].isascii()
        assert title not in request["head"]
    bodies = dict(zip([r["kind"] for r in raw.log()["requests"]], raw.bodies(), strict=True))
    message = json.loads(bodies["message"])  # still one document of JSON, with the title as it was
    assert title in list(leaves(message))
    if (api, method) == ("data-model", "upload"):
        boundary = re.search(r"boundary=([\w-]+)", raw.requests("upload")[0]["head"])[1].encode()
        parts = bodies["upload"].split(b"--" + boundary)
        assert len(parts) == 3
        head, _, content = parts[1].partition(b"\r\n\r\n")
        assert content == data + b"\r\n"
        assert head.count(b"\r\n") == 2
        assert head.isascii()
        assert len(re.findall(rb'; filename="[^"\\]*"', head)) == 1
        assert b"\\" not in head
        assert b"/etc" not in head
        name = title.replace("\\", "/").rpartition("/")[2] or "file"
        if not name.isascii():
            assert quote(name.encode(), safe="").encode() in head


def leaves(value):
    if isinstance(value, dict):
        for one in value.values():
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)
    elif isinstance(value, str):
        yield value


SLUGS = [
    "a/b",
    "a?b",
    "a#b",
    "..",
    ".",
    "a..b",
    "%2f",
    "a%2fb",
    "a@b",
    "@evil.example",
    "a b",
    "",
    "a\r\nb",
    "a\0b",
    "a:80",
    "//evil",
    "\\evil",
    "ä",
    "a" * 129,
    "-a",
    "a-",
    "_a",
    "a;b",
    "a&b",
    "a\u2044b",
    "redox",
]


@pytest.mark.parametrize("slug", SLUGS)
async def test_a_slug_that_is_none_reaches_no_server(raw, engine_for, slug):
    try:
        destination = Destination(name=TO, slug=slug)
    except ConfigError:
        assert slug != "redox"
    else:
        assert slug == "redox"  # a slug, but Redox's own address
        async with engine_for(raw, destinations={TO: destination}) as engine:
            error = await outcome(engine, document(b"%PDF-1.7"), api="fhir")
            assert isinstance(error, ConfigError)
    async with engine_for(raw) as engine:
        with pytest.raises(ConfigError):
            await engine.send(document(b"%PDF-1.7"), to=slug, api="fhir")
    assert raw.log()["requests"] == []


IDS = ["a/b", "a?b", "..", "a b", "", "a\r\nb", "a\0b", "a@b", "a%2fb", "ä", "a" * 129, "a,b", '"']


@pytest.mark.parametrize("ident", IDS)
def test_an_id_or_source_id_that_is_none_is_refused(settings_for, raw, ident):
    with pytest.raises(ConfigError):
        Destination(name=TO, id=ident)
    with pytest.raises(ConfigError):
        settings_for(raw, source_id=ident)


@pytest.mark.parametrize(
    "content_type",
    [
        "text/html\r\nX: y",
        "application/pdf; a=b\r\n",
        "a" * 4000 + "/b",
        "pdf",
        "",
        "/",
        "a/b/c",
        "ä/b",
        "a/b\0",
    ],
)
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_a_content_type_that_is_none_reaches_no_server(raw, engine_for, content_type, api):
    try:
        doc = document(b"%PDF-1.7", content_type=content_type)
    except InvalidDocumentError:
        return
    async with engine_for(raw) as engine:
        error = await outcome(engine, doc, api=api, method="upload")
    assert isinstance(error, TransferError), error
    assert error.receipt.attempts == 0
    assert raw.log()["requests"] == []


@pytest.mark.parametrize("value", ['x"}],"y":"z', "\\", "ü", "{{", "</x>"])
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_hostile_values_everywhere_stay_values(raw, engine_for, value, api):
    doc = Document.from_bytes(
        pattern(500),
        title="a.pdf",
        type=value,
        description=value,
        document_id="doc-1",
        patient=Patient(
            identifiers=(Identifier(id=value, type=value),), first_name=value, last_name=value
        ),
        provider=Provider(id=value, id_type=value, first_name=value, last_name=value),
    )
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, doc, api=api, method="embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    message = json.loads(raw.bodies()[-1])
    assert list(leaves(message)).count(value) >= 4
    assert value not in raw.requests("message")[0]["head"]
