"""Faults strike where, when and as often as their script says; a script that cannot be is refused."""

from __future__ import annotations

import json
import time

import pytest

from chartsend.testing.sandbox import SandboxError


def test_tokens_can_be_made_void_at_once(sandbox, client):
    assert sandbox.fault(do="expire_tokens") is None

    assert client.binary(b"x").status == 401
    assert client.log_in().binary(b"x").status == 201


@pytest.mark.parametrize(("when", "statuses"), [("before", [401, 401]), ("after", [201, 401])])
def test_tokens_can_be_made_void_by_a_request(sandbox, client, when, statuses):
    sandbox.fault(on="blob", do="expire_tokens", when=when)

    assert [client.binary(b"x").status, client.binary(b"x").status] == statuses


def test_the_lifetime_of_tokens_can_change(sandbox, client):
    sandbox.fault(do="token_lifetime", seconds=0)

    assert client.ask_token().json()["expires_in"] == 0
    assert client.log_in().binary(b"x").status == 401


def test_the_clock_can_be_wrong(sandbox, client):
    sandbox.fault(do="clock_skew", seconds=3600)

    answer = client.ask_token()

    assert answer.json()["error_description"] == "Unexpected iat claim value"
    date = time.mktime(time.strptime(answer.headers["Date"], "%a, %d %b %Y %H:%M:%S GMT"))
    assert 3500 < date - time.mktime(time.gmtime()) < 3700


def test_a_fault_strikes_only_where_it_is_meant(sandbox, client):
    sandbox.fault(
        on="message",
        do="status",
        status=503,
        where={"api": "data-model", "method": "embed", "model": "notes", "document_id": "d-2"},
    )
    uri = client.upload(client.form(b"x")).json()["URI"]

    statuses = [
        client.create(client.bundle("d-2", data="QQ==")).status,
        client.endpoint(client.note(uri, DocumentID="d-2")).status,
        client.endpoint(client.note("QQ==", DocumentID="d-1")).status,
        client.endpoint(client.note("QQ==", DocumentID="d-2")).status,
        client.endpoint(client.note("QQ==", DocumentID="d-2")).status,
    ]

    assert statuses == [200, 200, 200, 503, 200]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({}, "5......."),
        ({"times": 2}, "55......"),
        ({"skip": 2}, "..5....."),
        ({"times": None}, "55555555"),
        ({"times": None, "every": 3}, "..5..5.."),
        ({"times": None, "every": 2, "skip": 1}, "..5.5.5."),
        ({"times": 2, "every": 2, "skip": 1}, "..5.5..."),
        ({"times": 0}, "........"),
    ],
)
def test_how_often_a_fault_strikes(sandbox, client, counts, expected):
    number = sandbox.fault(on="blob", do="status", status=500, **counts)

    statuses = "".join("5" if client.binary(b"x").status == 500 else "." for _ in range(8))

    assert statuses == expected
    assert sandbox.fault_counts()[number] == {"seen": 8, "fired": expected.count("5")}


def test_faults_can_be_listed_and_cleared(sandbox, client):
    ids = sandbox.faults([{"on": "blob", "do": "reset"}, {"on": "any", "do": "status", "status": 500}])

    assert set(sandbox.fault_counts()) == set(ids)
    sandbox.clear_faults()
    assert sandbox.fault_counts() == {}
    assert client.binary(b"x").status == 201


def test_any_means_every_kind_of_request(sandbox, client):
    sandbox.fault(do="status", status=500, times=None, when="before", then="close")

    answers = [
        client.ask_token(),
        client.binary(b"x"),
        client.create(client.bundle(data="QQ==")),
        client.endpoint(client.note("QQ==")),
        client.upload(client.form(b"x")),
        client.post("/fhir/R4/memorial-ehr/Development/DocumentReference/_search", b"", "x/y"),
    ]

    assert {answer.status for answer in answers} == {500}


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"do": "nothing"},
        {"do": "status"},
        {"do": "status", "status": 500, "typo": 1},
        {"do": "status", "status": 500, "on": "nowhere"},
        {"do": "status", "status": 500, "on": "now"},
        {"do": "status", "status": 500, "on": "connect"},
        {"do": "status", "status": 500, "when": "before", "commit": True},
        {
            "do": "status",
            "status": 500,
            "on": "message",
            "when": "before",
            "where": {"document_id": "x"},
        },
        {"do": "reset", "on": "message", "where": {"model": "notes"}},
        {"do": "reset", "on": "message", "where": {"method": "embed"}},
        {"do": "silence", "on": "blob"},
        {"do": "expire_tokens", "on": "now", "where": {"api": "fhir"}},
        {"do": "reset", "every": 0},
        {"do": "reset", "skip": -1},
    ],
    ids=json.dumps,
)
def test_a_fault_that_cannot_be_is_refused(shared, fault):
    with pytest.raises(SandboxError, match="400"):
        shared.faults([fault])


@pytest.mark.parametrize("body", [b"", b"x", b"[", b"7", b'"x"', b"\xff"])
def test_a_script_that_is_no_json_is_refused(shared, body):
    with pytest.raises(SandboxError, match="400"):
        shared.ask("POST", "/_sandbox/faults", body)
