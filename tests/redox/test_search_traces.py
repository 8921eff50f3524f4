"""Which message brought a document that was found: only proof of ours counts, and doubt is no proof."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json

import pytest
from hypothesis import given, strategies as st

from chartsend.ports import Reply
from chartsend.redox.search import Presence, read_search
from chartsend.redox.traces import SentMessage, Tie, tie, trace_of

OURS, OTHERS, UNTOLD = Tie.OURS, Tie.OTHERS, Tie.UNTOLD
AT = dt.datetime(2026, 7, 2, 14, 5, 11, 250_000, dt.UTC)
CONTENT = b"%PDF-1.4 corrected"
URL = "https://api.redoxengine.com/fhir/R4/redox/Development/Binary/b-2"
SENT = SentMessage(
    at=AT,
    reference_url=URL,
    size_bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
TIME = "2026-07-02T14:05:11.250Z"
DAY_BEFORE = "2026-07-01T14:05:11.250Z"


def reference(attachment=None, **fields):
    content = {} if attachment is None else {"content": [{"attachment": attachment}]}
    return {"resourceType": "DocumentReference", **content, **fields}


def tied(*resources, sent=SENT):
    return tie([trace_of(one) for one in resources], sent)


def b64(content):
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "resource",
    [
        reference(date=TIME),
        reference(date="2026-07-02T16:05:11.25+02:00"),
        reference({"url": URL}),
        reference({"url": URL, "size": 1}, meta={"lastUpdated": DAY_BEFORE}),
        reference({"size": 1}, date=TIME),  # a receiver may make another file of it
    ],
)
def test_the_time_or_the_upload_of_a_message_is_its_own(resource):
    assert tied(resource) is OURS
    assert tied(reference(date=DAY_BEFORE), resource) is OURS


@pytest.mark.parametrize(
    "resource",
    [
        reference(date=DAY_BEFORE),
        reference(date="2026-07-02T14:05:10Z"),
        reference({"size": len(CONTENT)}, date=DAY_BEFORE),
        reference({"data": b64(CONTENT)}, date=DAY_BEFORE),  # the same file for another patient
        reference(meta={"lastUpdated": DAY_BEFORE}),
        reference({"size": len(CONTENT) + 1}),
        reference({"data": b64(b"%PDF-1.4 version one")}),
        reference({"hash": b64(hashlib.sha256(b"another").digest())}),
        reference({"url": URL[:-1] + "1"}),
        reference({"url": URL[:-1] + "1", "size": len(CONTENT)}),
    ],
)
def test_what_was_there_before_or_has_another_file_is_of_another_message(resource):
    assert tied(resource) is OTHERS
    assert tied(reference(), resource) is OTHERS


@pytest.mark.parametrize(
    "resource",
    [
        reference(),
        reference({}),
        reference({"data": b64(CONTENT)}),
        reference({"hash": b64(hashlib.sha256(CONTENT).digest()), "size": len(CONTENT)}),
        reference({"hash": b64(hashlib.sha1(b"another", usedforsecurity=False).digest())}),
        reference({"url": "https://ehr.example/Binary/7"}),
        reference(date="2026-07-02T14:05:11Z"),  # whole seconds
        reference(date="2026-07-02T14:09:00Z"),  # when it was filed
        reference(date="2026-07-01"),
        reference(date="2026-07-01T14:05:11"),
        reference(date="yesterday", meta={"lastUpdated": 7}),
        reference(meta={"lastUpdated": "2026-07-02T14:04:30Z"}),  # a clock that is behind
        reference(meta={"lastUpdated": "2026-07-02T14:09:00Z"}),
        reference({"size": True, "data": "%%%", "hash": 3, "url": None}),
        reference(content="odd"),
        reference(content=[None, {"attachment": []}]),
        None,
    ],
)
def test_anything_else_does_not_tell(resource):
    assert tied(resource) is UNTOLD


def test_the_time_of_a_document_is_not_the_time_of_its_message():
    sent = SENT._replace(shows_time=False)
    for date in (TIME, DAY_BEFORE):
        assert tied(reference(date=date), sent=sent) is UNTOLD
    assert tied(reference(date=TIME, meta={"lastUpdated": DAY_BEFORE}), sent=sent) is OTHERS


def test_of_a_message_of_which_nothing_is_known_nothing_is_told():
    full = reference({"url": URL, "size": 3, "data": b64(CONTENT)}, date=TIME)
    assert tied(full, sent=SentMessage()) is UNTOLD


def test_only_documents_with_the_identifier_are_looked_at():
    ours = reference(masterIdentifier={"value": "D-1"}, date=DAY_BEFORE)
    theirs = reference(masterIdentifier={"value": "D-2"}, date=TIME)
    entries = [{"resource": one} for one in (theirs, ours)]
    bundle = {"resourceType": "Bundle", "type": "searchset", "total": 2, "entry": entries}
    reply = Reply(200, {}, json.dumps(bundle).encode())

    finding = read_search(reply, document_id="D-1", system=None)

    assert finding.presence is Presence.FOUND
    assert tie(finding.traces, SENT) is OTHERS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([TIME, URL]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["date", "meta", "lastUpdated", "content", "attachment", "url", "size", "hash",
                         "data"]),
        inner, max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_no_resource_raises(resource):
    assert tied(resource) in Tie
