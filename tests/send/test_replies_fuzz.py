"""Replies of every shape: only our errors, and success only for what is one."""

from __future__ import annotations

import contextlib
import json
import random

import orjson
import pytest

from chartsend.errors import TransferError, Verdict
from chartsend.ports import Operation, Reply
from chartsend.redox.replies import Accepted, explain, read_message, read_upload
from chartsend.transport.verdicts import judge

HOSTS = frozenset({"api.redoxengine.com", "blob.redoxengine.com"})
URL = "https://api.redoxengine.com/fhir/R4/redox/Development/Binary"
GOOD = "https://blob.redoxengine.com/files/1?sig=a%2Fb"


def reply(body=b"", *, status=200, **headers) -> Reply:
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def upload(answer, api="fhir"):
    return read_upload(answer, api=api, request_url=URL, allowed_hosts=HOSTS)


def error_of(read, answer) -> TransferError | None:
    """Our error, or None; any other exception passes."""
    try:
        read(answer)
    except TransferError as error:
        return error
    return None


BOMBS = {
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 100_000,
    "deep and closed": b"[" * 900 + b"]" * 900,
    "deep issue": b'{"issue":' * 500 + b"1" + b"}" * 500,
    "many keys": orjson.dumps({str(n): n for n in range(100_000)}),
    "a huge number": b"1" * 100_000,
    "a huge exponent": b"1e999999999",
    "a huge id": b'{"Meta":{"Message":{"ID":' + b"9" * 5000 + b"}}}",
    "NaN": b'{"Meta":NaN}',
    "lone surrogate": b'{"Meta":{"Errors":[{"Text":"\\ud800"}]}}',
    "invalid utf-8": b'{"Meta":"\xff"}',
    "utf-16": '{"Meta":{}}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + b'{"Meta":{}}',
    "nul": b'{"Meta":{}}\0',
    "two documents": b'{"Meta":{}}{"Meta":{}}',
    "same key twice": b'{"Meta":{"Errors":[1]},"Meta":{}}',
    "prototype": b'{"__proto__":{"Meta":{}}}',
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("api", ["fhir", "data-model"])
def test_bombs_raise_nothing_but_our_errors(body, api):
    for kind in ("", "application/json", "application/fhir+json", "text/plain", "text/html"):
        answer = reply(body, content_type=kind)
        for read in (lambda a: read_message(a, api=api), lambda a: upload(a, api)):
            assert len(getattr(error_of(read, answer), "message", "")) < 1000
        assert len(explain(answer)) < 1000


def mutants(count: int):
    draw = random.Random(42)
    seeds = [
        {
            "Meta": {
                "Logs": [{"ID": "a"}],
                "Message": {"ID": 5},
                "Errors": [{"ID": 1, "Text": "x", "Type": "message"}],
            }
        },
        {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "error", "code": "invalid", "expression": ["Bundle.entry[0]"]}],
        },
        {
            "resourceType": "Bundle",
            "entry": [{"response": {"status": "201", "location": "DocumentReference/1"}}],
        },
        {"URI": GOOD, "url": GOOD, "id": "x", "error": "invalid_client", "error_description": "y"},
    ]
    odd = [
        None,
        True,
        0,
        -1,
        1.5,
        2**63,
        "",
        "x",
        "\0",
        [],
        {},
        [[]],
        [None],
        {"": None},
        "9" * 3000,
        [{"ID": {}}],
    ]

    def change(value):
        if draw.random() < 0.15:
            return draw.choice(odd)
        if isinstance(value, dict):
            return {
                draw.choice([k, k, k, k.lower(), "issue", "Meta"]): change(v) for k, v in value.items()
            }
        if isinstance(value, list):
            return [change(v) for v in value] * draw.choice([0, 1, 1, 1, 70])
        return value

    for _ in range(count):
        text = bytearray(json.dumps(change(draw.choice(seeds))).encode())
        if draw.random() < 0.3 and text:
            for _ in range(draw.randint(1, 4)):
                text[draw.randrange(len(text))] = draw.randrange(256)
        yield bytes(text), draw


def test_two_thousand_mutants_raise_nothing_but_our_errors():
    accepted = 0
    for body, draw in mutants(2000):
        status = draw.choice([200, 200, 200, 201, 202, 204, 400, 409, 422, 500, 503, 207, 226])
        headers = {
            "content-type": draw.choice(["", "application/json", "text/html", "text/plain", "\0"])
        }
        if draw.random() < 0.3:
            headers["location"] = draw.choice(
                [GOOD, "", "x", "/y/z", "//[::1", "https://[", "http://a:b:c", "\0", "é" * 9]
            )
        answer = Reply(status, headers, body)
        for api in ("fhir", "data-model"):
            error = error_of(lambda a, api=api: read_message(a, api=api), answer)
            if error is not None:
                assert error.verdict in {Verdict.GIVE_UP, Verdict.IN_DOUBT}
            else:
                accepted += 1
                assert all(len(one) <= 128 for one in read_message(answer, api=api).log_ids)
            with contextlib.suppress(TransferError):
                assert upload(answer, api).startswith("https://")
        for operation in Operation:
            error = judge(operation, answer, said=explain(answer))
            assert (error is None) == (200 <= status <= 299)
    assert accepted > 100


@pytest.mark.parametrize(
    "body",
    [
        {"Meta": {"Errors": [{"ID": 1, "Text": "marla"}]}},
        {"Meta": {"Errors": {"ID": 1}}},
        {"resourceType": "OperationOutcome", "issue": [{"severity": "error", "diagnostics": "marla"}]},
        {"resourceType": "OperationOutcome", "issue": [{"severity": "fatal"}]},
        {"resourceType": "OperationOutcome", "issue": [{"severity": "Error"}]},
        {"resourceType": "OperationOutcome", "issue": {"severity": "error"}},
        {
            "resourceType": "Bundle",
            "entry": [{}, {"response": {"outcome": {"issue": [{"severity": "error"}]}}}],
        },
        {
            "resourceType": "Bundle",
            "entry": [{"resource": {"issue": [{"severity": "information"}, {"severity": "error"}]}}],
        },
        {
            "resourceType": "Bundle",
            "entry": [{"response": {"status": "201"}}, {"response": {"status": "400 Bad Request"}}],
        },
        {"resourceType": "Bundle", "entry": [{"response": {"status": "500"}}]},
        {"resourceType": "Bundle", "entry": [{"response": {"status": 422}}]},
        {"errors": [{"ID": 1, "Text": "marla", "Type": "transmission"}]},
        {"Errors": [{"ID": 1, "Text": "marla"}]},
    ],
)
@pytest.mark.parametrize(
    "kind", ["application/json", "application/fhir+json; charset=utf-8", "text/plain", ""]
)
def test_a_success_that_carries_errors_is_none(body, kind):
    for api in ("fhir", "data-model"):
        with pytest.raises(TransferError) as caught:
            read_message(reply(orjson.dumps(body), content_type=kind), api=api)
        assert caught.value.verdict is not Verdict.RETRY
        assert "marla" not in caught.value.message
        if api == "fhir":
            assert caught.value.code == "application"


@pytest.mark.parametrize("warning", ["information", "warning", "success"])
def test_an_outcome_that_only_informs_is_a_success(warning):
    body = {"resourceType": "OperationOutcome", "issue": [{"severity": warning}]}
    assert isinstance(read_message(reply(orjson.dumps(body)), api="fhir"), Accepted)


@pytest.mark.parametrize("body", [b"", b" \r\n", b"OK", b"{}", b'{"resourceType":"Bundle"}'])
def test_a_fhir_answer_that_says_nothing_is_a_success_and_a_data_model_one_is_not(body):
    assert isinstance(read_message(reply(body), api="fhir"), Accepted)
    with pytest.raises(TransferError) as caught:
        read_message(reply(body), api="data-model")
    assert caught.value.code == "outcome_unknown"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"<html>welcome to the hospital wifi</html>", "text/html"),
        (b"<!DOCTYPE html><p>x", ""),
        (b"  <HTML>", "application/json"),
        (b"{", "application/fhir+json"),
        (b'{"resourceType":"OperationOutcome","issue":[{"sev', ""),
        (b'{"resourceType":"OperationOutcome","issue":[{"sev', "text/plain"),
        (b"not json", "application/json"),
        (b"<OperationOutcome xmlns='http://hl7.org/fhir'>", "application/fhir+xml"),
        (b"\xef\xbb\xbf<html>", "text/plain"),
    ],
)
def test_an_answer_that_may_be_anybodys_leaves_it_in_doubt(body, kind):
    for api in ("fhir", "data-model"):
        with pytest.raises(TransferError) as caught:
            read_message(reply(body, content_type=kind), api=api)
        assert caught.value.verdict is Verdict.IN_DOUBT


UNSAFE = [
    "http://blob.redoxengine.com/f",
    "https://evil.example/f",
    "https://blob.redoxengine.com.evil.example/f",
    "https://evil.example@blob.redoxengine.com/f",
    "https://blob.redoxengine.com@evil.example/f",
    "https://blob.redoxengine.com:444/f",
    "https://blob.redoxengine.com\\@evil.example/f",
    "https://169.254.169.254/latest",
    "https://127.0.0.1/f",
    "https://[::1]/f",
    "https://localhost/f",
    "file:///etc/passwd",
    "ftp://blob.redoxengine.com/f",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example/f",
    "https:evil.example/f",
    "https:///f",
    "https://",
    "",
    "   ",
    "https://blob.redoxengine.com/f#x",
    "https://blob.redoxengine.com/f\r\nX: y",
    "https://blob.redoxengine.com/f\0",
    "https://blob.redoxengine.com/" + "a" * 20_000,
    "https://blob.redoxengine.com/../../f",
    "https://blob.redoxengine.com/%2e%2e/f",
    "https://blob.redoxengine.com/a b",
    "https://blob.redoxengine.com/ä",
    "https://bl\u00f6b.redoxengine.com/f",
    "https://blob.redoxengine.com./f",
    "HTTPS://EVIL.EXAMPLE/f",
    "https://blob.redoxengine.com/%0d%0aX",
    "https://blob.redoxengine.com/%zz",
    "https://[blob.redoxengine.com]/f",
    "https://blob.redoxengine.com:0/f",
    "https://blob.redoxengine.com:99999999/f",
    "https://blob%2eredoxengine.com/f",
    "/../../secret",
    "/a/%2E%2e/b",
    "https://xn--blob-redoxengine.com/f",
]


@pytest.mark.parametrize("where", UNSAFE, ids=range(len(UNSAFE)))
@pytest.mark.parametrize("api", ["fhir", "data-model"])
def test_an_unsafe_reference_is_refused_and_not_shown(where, api):
    answer = reply(b"{}", location=where) if api == "fhir" else reply(orjson.dumps({"URI": where}))
    with pytest.raises(TransferError) as caught:
        upload(answer, api)
    assert caught.value.code in {"unsafe_location", "protocol"}
    assert "evil" not in caught.value.message


@pytest.mark.parametrize("api", ["fhir", "data-model"])
def test_a_safe_reference_is_taken_verbatim(api):
    answer = reply(b"{}", location=GOOD) if api == "fhir" else reply(orjson.dumps({"URI": GOOD}))
    assert upload(answer, api) == GOOD


def test_a_relative_reference_is_joined():
    assert upload(reply(location="/files/1")) == "https://api.redoxengine.com/files/1"
