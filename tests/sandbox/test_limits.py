"""The quota, the size limits, and bodies that are not what they say."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import time

import pytest

FHIR = {"Content-Type": "application/fhir+json"}
PDF = {"Content-Type": "application/pdf"}
BINARY = "/fhir/R4/redox/Development/Binary"
CREATE = "/fhir/R4/memorial-ehr/Development/DocumentReference/$documentreference-create"


@pytest.mark.parametrize("sandbox", [("--quota", "3/1.5")], indirect=True)
def test_one_request_too_many_is_a_429_until_the_window_has_moved(sandbox, client):
    statuses = [client.binary(b"x").status for _ in range(3)]  # the token was the first

    assert statuses == [201, 201, 429]
    refused = client.endpoint({})
    assert refused.status == 429
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert sandbox.requests()["over_quota"] == 2  # asking the sandbox itself is free
    deadline = time.monotonic() + 10
    while client.binary(b"x").status == 429:
        assert time.monotonic() < deadline
    assert sandbox.events()[-1]["kind"] == "blob"


@pytest.mark.parametrize("sandbox", [("--quota", "off")], indirect=True)
def test_the_quota_can_be_off(sandbox, client):
    assert {client.request("POST", "/").status for _ in range(50)} == {404}


def test_a_request_above_40_mb_is_refused_before_it_is_read(client, wire):
    one = wire()
    one.head("POST", CREATE, client.bearer() | FHIR, 40_000_001)

    assert one.answer().status == 413


def test_a_length_of_a_terabyte_is_refused_before_it_is_read(client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF, 10**12)

    assert one.answer().status == 413


def test_a_request_of_exactly_40_mb_passes(client):
    start, end = b'{"Meta":{},"x":"', b'"}'
    body = start + b"A" * (40_000_000 - len(start) - len(end)) + end

    assert client.endpoint(body).status == 400  # it was read, and says nothing
    assert client.endpoint(body + b" ").status == 413


def chunked(one, pieces):
    for piece in pieces:
        one.send(b"%x\r\n%s\r\n" % (len(piece), piece))


def test_a_chunked_body_is_taken(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF | {"Transfer-Encoding": "chunked"})

    chunked(one, [b"a" * 70_000, b"b", b""])

    assert one.answer().status == 201
    assert sandbox.events()[-1]["bytes"] == 70_001


def test_an_endless_chunked_body_is_refused_at_the_limit(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF | {"Transfer-Encoding": "chunked"})
    with contextlib.suppress(OSError):
        chunked(one, [bytes(1_000_000)] * 60)

    assert one.answer().status == 413
    assert [e["kind"] for e in sandbox.events()] == ["token"]


@pytest.mark.parametrize("cut", ["FIN", "RST"])
@pytest.mark.parametrize("missing", [1, 50_000, 99_999])
def test_a_body_that_ends_early_is_never_committed(sandbox, client, wire, cut, missing):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF, 100_000)
    one.send(bytes(100_000 - missing))
    if cut == "RST":
        one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    one.close()

    deadline = time.monotonic() + 10
    while not sandbox.requests()["statuses"].get("blob"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sandbox.requests()["statuses"]["blob"] == {"none": 1}
    assert [e["kind"] for e in sandbox.events()] == ["token"]
    folder = sandbox.info.profile.parent / "files"
    assert list(folder.iterdir()) == []


def test_an_embedded_message_that_ends_early_is_never_committed(sandbox, client, wire):
    data = base64.b64encode(bytes(300_000)).decode()
    body = json.dumps(client.bundle(data=data)).encode()
    one = wire()
    one.head("POST", CREATE, client.bearer() | FHIR, len(body))
    one.send(body[:-1])
    one.close()

    deadline = time.monotonic() + 10
    while not sandbox.requests()["statuses"].get("message"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [e["kind"] for e in sandbox.events()] == ["token"]
    assert list((sandbox.info.profile.parent / "files").iterdir()) == []


def test_a_chunked_body_without_its_end_is_never_committed(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF | {"Transfer-Encoding": "chunked"})
    chunked(one, [b"abc"])
    one.close()

    deadline = time.monotonic() + 10
    while not sandbox.requests()["statuses"].get("blob"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert [e["kind"] for e in sandbox.events()] == ["token"]


def test_a_bad_chunk_is_refused(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF | {"Transfer-Encoding": "chunked"})
    one.send(b"3\r\nabc\r\nzz\r\n")

    assert one.answer().status == 400
    assert [e["kind"] for e in sandbox.events()] == ["token"]


def test_a_compressed_body_is_refused_not_inflated(client):
    answer = client.binary(b"\x1f\x8b", Content_Encoding="gzip")

    assert answer.status == 415


@pytest.mark.parametrize("sandbox", [("--latency", "300")], indirect=True)
def test_every_answer_can_be_late(sandbox, client):
    began_at = time.monotonic()

    client.binary(b"x")

    assert time.monotonic() - began_at >= 0.3


@pytest.mark.parametrize("sandbox", [("--patience", "0.5")], indirect=True)
@pytest.mark.parametrize("said", ["nothing", "half a head", "an answered request"])
def test_a_silent_connection_is_closed(sandbox, client, wire, said):
    one = wire()
    if said == "half a head":
        one.send(b"POST / HTTP/1.1\r\nHost: loc")
    if said == "an answered request":
        one.head("POST", BINARY, client.bearer() | PDF, 1)
        one.send(b"x")
        assert one.answer().status == 201
    began_at = time.monotonic()

    assert one.everything() == b""

    assert time.monotonic() - began_at < 5


@pytest.mark.parametrize("sandbox", [("--patience", "0.5")], indirect=True)
def test_a_body_that_stops_coming_is_refused(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF, 100)
    one.send(bytes(50))

    assert one.answer().status == 400
    assert [e["kind"] for e in sandbox.events()] == ["token"]


def test_expect_100_continue_is_answered(client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF | {"Expect": "100-continue"}, 1)

    assert one.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    one.send(b"x")
    assert one.answer().status == 201
