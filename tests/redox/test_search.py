"""What is asked of a search, and what its answers prove."""

from __future__ import annotations

import json
from urllib.parse import parse_qs

import pytest
from hypothesis import given, strategies as st

from chartsend.ports import Reply
from chartsend.redox.search import Presence, can_ask, read_search, search_form

FOUND, ABSENT, UNCLEAR = Presence.FOUND, Presence.ABSENT, Presence.UNCLEAR
OURS = "7b1c4d9e-0000-5000-8000-00000000abcd"
ENTRY = {"resource": {"resourceType": "DocumentReference", "masterIdentifier": {"value": OURS}}}
NONE = {"resourceType": "Bundle", "type": "searchset", "total": 0}


def searchset(*entries, **more):
    return {**NONE, "total": len(entries), **({"entry": list(entries)} if entries else {}), **more}


def reference(**fields):
    return {"resource": {"resourceType": "DocumentReference", **fields}}


def read(body, *, status=200, system=None, document_id=OURS):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_search(Reply(status, {}, raw), document_id=document_id, system=system).presence


@pytest.mark.parametrize(
    "entry",
    [
        ENTRY,
        reference(masterIdentifier={"system": "urn:x", "value": OURS}),
        reference(identifier=[{"value": "other"}, {"value": OURS}]),
        reference(masterIdentifier={"value": "other"}, identifier=[{"value": OURS}]),
        reference(masterIdentifier={"value": OURS}, status="entered-in-error"),
        {**ENTRY, "search": {"mode": "match"}, "fullUrl": "https://h/DocumentReference/1"},
    ],
)
def test_an_entry_with_our_identifier_is_found(entry):
    other = reference(masterIdentifier={"value": "other"})
    for entries in ([entry], [other, entry], [entry, other], ["odd", None, 3, entry]):
        assert read(searchset(*entries)) is FOUND
        # However many more there are said to be.
        assert read(searchset(*entries, total=40, link=[{"relation": "next", "url": "u"}])) is FOUND
        assert read({k: v for k, v in searchset(*entries).items() if k != "total"}) is FOUND


@pytest.mark.parametrize(
    "entry",
    [
        reference(),
        reference(masterIdentifier={"value": OURS + "0"}),
        reference(masterIdentifier={"value": OURS.upper()}),
        reference(masterIdentifier={"value": f" {OURS}"}),
        reference(masterIdentifier={"value": [OURS]}),
        reference(masterIdentifier=OURS),
        reference(identifier={"value": OURS}),
        reference(identifier=[[{"value": OURS}]]),
        reference(id=OURS),
        reference(relatesTo=[{"code": "replaces", "target": {"identifier": {"value": OURS}}}]),
        {"resource": {"resourceType": "OperationOutcome", "masterIdentifier": {"value": OURS}}},
        {"resource": {"resourceType": "Patient", "identifier": [{"value": OURS}]}},
        {"masterIdentifier": {"value": OURS}},
        None,
        OURS,
        [ENTRY],
    ],
)
def test_an_entry_that_is_not_ours_is_neither_found_nor_an_absence(entry):
    assert read(searchset(entry)) is UNCLEAR
    assert read(searchset(entry, total=0)) is UNCLEAR


def test_a_system_that_we_send_must_not_be_another_one():
    theirs = reference(masterIdentifier={"system": "urn:theirs", "value": OURS})
    assert read(searchset(theirs), system="urn:ours") is UNCLEAR
    assert read(searchset(theirs), system="urn:theirs") is FOUND
    assert read(searchset(ENTRY), system="urn:ours") is FOUND
    assert read(searchset(theirs), system=None) is FOUND


@pytest.mark.parametrize(
    "body",
    [
        NONE,
        {**NONE, "entry": []},
        {**NONE, "link": []},
        {**NONE, "link": [{"relation": "self", "url": "https://h/DocumentReference?identifier=1"}]},
        {**NONE, "id": "1", "meta": {}, "timestamp": "2026-07-02T00:00:00Z"},
    ],
)
def test_a_search_that_counts_none_is_an_absence(body):
    assert read(body) is ABSENT


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"<!doctype html><html></html>",
        json.dumps(NONE).encode()[:-1],
        json.dumps(NONE).encode() + b"{}",
        b"\xff" + json.dumps(NONE).encode(),
        b'{"resourceType":"Bundle","type":"searchset","total":0,"entry":' + b"[" * 5000,
        [NONE],
        {"Bundle": NONE},
        {**NONE, "resourceType": "OperationOutcome"},
        {**NONE, "resourceType": None},
        {**NONE, "type": "batch-response"},
        {**NONE, "type": "collection"},
        {"resourceType": "Bundle", "type": "searchset"},
        {**NONE, "total": None},
        {**NONE, "total": 1},
        {**NONE, "total": -1},
        {**NONE, "total": "0"},
        {**NONE, "total": 0.0},
        {**NONE, "total": False},
        {**NONE, "total": [0]},
        {**NONE, "entry": {}},
        {**NONE, "entry": "none"},
        {**NONE, "entry": 0},
        {**NONE, "entry": [{}]},
        {**NONE, "entry": [{"resource": {"resourceType": "OperationOutcome"}}]},
        {**NONE, "link": [{"relation": "next", "url": "u"}]},
        {**NONE, "link": [{"relation": "previous", "url": "u"}]},
        {**NONE, "link": [{"url": "u"}]},
        {**NONE, "link": ["next"]},
        {**NONE, "link": {"relation": "self"}},
        {**NONE, "link": 0},
    ],
)
def test_anything_else_is_unclear(body):
    assert read(body) is UNCLEAR


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 299])
@pytest.mark.parametrize("body", [NONE, searchset(ENTRY)])
def test_only_a_200_proves_anything(status, body):
    assert read(body, status=status) is UNCLEAR


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", OURS, "Bundle"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["resourceType", "type", "total", "entry", "link", "resource", "identifier",
                         "masterIdentifier", "value", "system", "relation"]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON, st.sampled_from([None, "urn:ours"]))
def test_no_answer_raises_and_no_odd_one_is_an_absence(body, system):
    presence = read(json.dumps(body).encode(), system=system)
    if presence is ABSENT:
        assert body["total"] == 0
        assert not body.get("entry")
        assert (body["resourceType"], body["type"]) == ("Bundle", "searchset")


def test_nothing_but_the_id_is_asked():
    form = search_form("a b&c=d/é")
    assert parse_qs(form.decode("ascii")) == {
        "identifier": ["a b&c=d/é"],
        "_elements": ["identifier,masterIdentifier"],
    }


@pytest.mark.parametrize("document_id", [OURS, "4411", "a b", "é", "urn:x:1", "%2C", "a+b", "x" * 500])
def test_plain_ids_of_document_references_can_be_asked_for(document_id):
    assert can_ask(document_id, api="fhir", model="document-reference")
    assert not can_ask(document_id, api="fhir", model="diagnostic-report")
    for model in ("notes", "media", "results"):
        assert not can_ask(document_id, api="data-model", model=model)


@pytest.mark.parametrize(
    "document_id", ["", " ", "a ", " a", "a,b", "a|b", "$a", "a\\b", "a\nb", "a\x00", "a\x7f", "\ud800"]
)
def test_an_id_that_a_server_may_read_otherwise_is_not_asked_for(document_id):
    assert not can_ask(document_id, api="fhir", model="document-reference")
