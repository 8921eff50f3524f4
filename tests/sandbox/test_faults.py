"""Each scripted fault does on the wire exactly what it says, and commits only what it says."""

from __future__ import annotations

import socket
import time

import pytest

BINARY = "/fhir/R4/redox/Development/Binary"
PDF = {"Content-Type": "application/pdf"}
LENGTH = 20_000_000


@pytest.fixture
def upload(client, wire):
    """A function: open a wire and send the head of a Binary of so many bytes."""

    def begin(length=LENGTH, **options):
        one = wire(**options)
        one.head("POST", BINARY, client.bearer() | PDF, length)
        return one

    return begin


def committed(sandbox):
    return [event for event in sandbox.events() if event["kind"] != "token"]


def is_reset(one):
    try:
        while one.socket.recv(65536):
            pass
    except ConnectionResetError:
        return True
    return False


@pytest.mark.parametrize("then", ["keep-alive", "drain"])
@pytest.mark.parametrize("when", ["before", "during"])
def test_an_early_answer_comes_while_the_body_is_still_due(sandbox, upload, client, when, then):
    after = 1_000_000 if when == "during" else 0
    sandbox.fault(
        on="blob",
        do="status",
        status=503,
        headers={"Retry-After": "1"},
        body="busy",
        when=when,
        after_bytes=after,
        then=then,
    )
    one = upload()
    one.send(bytes(after))

    answer = one.answer()  # 19 MB have not been sent yet

    assert (answer.status, answer.headers["Retry-After"], answer.body) == (503, "1", b"busy")
    one.send(bytes(LENGTH - after))
    one.head("POST", BINARY, client.bearer() | PDF, 3)
    one.send(b"abc")
    assert one.answer().status == 201  # the same connection goes on
    assert [event["bytes"] for event in committed(sandbox)] == [3]


def test_an_early_answer_and_a_fin(sandbox, upload):
    sandbox.fault(on="blob", do="status", status=413, when="during", after_bytes=65_536, then="close")
    one = upload()
    one.send(bytes(65_536))

    answer = one.answer()

    assert (answer.status, answer.headers["Connection"]) == (413, "close")
    assert one.socket.recv(1) == b""
    assert one.send_until_it_fails(LENGTH - 65_536) == LENGTH - 65_536  # read and dropped, no RST
    assert committed(sandbox) == []


def test_an_early_answer_and_a_reset(sandbox, upload):
    sandbox.fault(on="blob", do="status", status=413, when="during", after_bytes=65_536, then="reset")
    one = upload()
    one.send(bytes(65_536))

    assert one.answer().status == 413
    assert one.send_until_it_fails(LENGTH, 0.001) < LENGTH
    assert committed(sandbox) == []


def test_an_early_answer_and_a_stall_that_a_test_ends(sandbox, upload):
    sandbox.fault(on="blob", do="status", status=413, when="before", then="stall")
    one = upload(timeout_s=0.5)
    assert one.answer().status == 413

    assert one.send_until_it_fails(LENGTH) < LENGTH  # times out: nobody reads
    sandbox.clear_faults()

    one.socket.settimeout(10)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        one.send(bytes(LENGTH))


@pytest.mark.parametrize("status", [200, 201, 204, 302, 401, 429, 500, 507, 600])
def test_any_status_after_the_body_commits_nothing(sandbox, client, status):
    sandbox.fault(on="blob", do="status", status=status, body="" if status == 204 else "b")

    answer = client.binary(b"x")

    assert answer.status == status
    assert committed(sandbox) == []
    assert client.binary(b"x").status == 201  # once is the default


def test_a_status_after_the_commit(sandbox, client):
    sandbox.fault(on="message", do="status", status=502, commit=True)

    assert client.create(client.bundle(data="QQ==")).status == 502

    assert [event["kind"] for event in committed(sandbox)] == ["message"]


def test_a_committed_upload_can_be_answered_with_any_reference(sandbox, client):
    sandbox.fault(
        on="blob",
        do="status",
        status=200,
        commit=True,
        body='{"URI":"{reference}"}',
        headers={"Location": "{reference}?x"},
    )

    answer = client.binary(b"x")

    reference = committed(sandbox)[0]["reference"]
    assert (answer.status, answer.json(), answer.headers["Location"]) == (
        200,
        {"URI": reference},
        reference + "?x",
    )


@pytest.mark.parametrize(
    "raw",
    [
        "garbage\r\n\r\n",
        "HTTP/1.1 201 Created\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        "HTTP/1.1 201 Created\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "ICY 200 OK\r\n\r\n",
        "\xff\xfe",
    ],
)
@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_raw_bytes_are_sent_as_they_are(sandbox, upload, raw, when):
    sandbox.fault(on="blob", do="raw", bytes=raw, when=when, after_bytes=10)
    one = upload(100)
    one.send(bytes(100))

    assert one.everything() == raw.encode("latin-1")
    assert committed(sandbox) == []


def test_raw_bytes_can_come_slowly_in_pieces(sandbox, upload):
    sandbox.fault(on="blob", do="raw", bytes="abc", piece_bytes=1, pause_s=0.1)
    one = upload(1)
    one.send(b"x")

    pieces = [one.socket.recv(10) for _ in range(3)]

    assert pieces == [b"a", b"b", b"c"]


def test_an_interim_answer_and_then_the_real_one(sandbox, upload):
    sandbox.fault(
        on="blob", do="raw", bytes="HTTP/1.1 100 Continue\r\n\r\n", when="before", then="go-on"
    )
    one = upload(1)
    one.send(b"x")

    answer = one.answer()  # http.client skips the 100

    assert answer.status == 201
    assert len(committed(sandbox)) == 1


@pytest.mark.parametrize("at_byte", [0, 1, 65_536, 10_000_000, LENGTH - 1, None])
@pytest.mark.parametrize("do", ["close", "reset"])
def test_a_cut_at_a_byte_of_the_body(sandbox, upload, do, at_byte):
    sandbox.fault(on="blob", do=do, at_byte=at_byte)
    one = upload()
    one.send_until_it_fails(LENGTH if at_byte is None else at_byte)

    assert is_reset(one) == (do == "reset")
    assert committed(sandbox) == []
    assert sandbox.requests()["statuses"]["blob"] == {"none": 1}


@pytest.mark.parametrize("do", ["close", "reset"])
def test_a_cut_of_a_fresh_connection(sandbox, client, wire, do):
    number = sandbox.fault(on="connect", do=do)

    try:
        was_reset = is_reset(wire())
    except ConnectionResetError:  # it may come before connect() has returned
        was_reset = True

    assert was_reset == (do == "reset")
    assert sandbox.fault_counts()[number]["fired"] == 1
    assert client.binary(b"x").status == 201


def test_a_connection_that_is_never_read(sandbox, client, wire):
    sandbox.fault(on="connect", do="silence", seconds=0.5)
    one = wire()
    one.head("POST", BINARY, client.bearer() | PDF, 1)
    one.send(b"x")

    assert is_reset(one)
    assert committed(sandbox) == []


def test_a_server_that_stops_reading_for_a_time(sandbox, upload):
    sandbox.fault(on="blob", do="stop_reading", after_bytes=100_000, seconds=1.0)
    one = upload()
    began_at = time.monotonic()

    one.send(bytes(LENGTH))

    assert one.answer().status == 201
    assert time.monotonic() - began_at >= 1.0
    assert committed(sandbox)[0]["bytes"] == LENGTH


def test_a_server_that_stops_reading_takes_little_more(sandbox, upload):
    sandbox.fault(on="blob", do="stop_reading", after_bytes=0)
    one = upload(timeout_s=0.5)
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)

    assert one.send_until_it_fails(LENGTH) < 1_500_000

    one.socket.settimeout(20)
    sandbox.clear_faults()
    assert sandbox.requests()["seen"]["blob"] == 1


def test_a_stalled_connection_is_noticed_when_its_client_goes(sandbox, upload):
    sandbox.fault(on="blob", do="stop_reading", after_bytes=0)
    one = upload()
    one.send(b"x")
    one.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    one.close()

    deadline = time.monotonic() + 10
    while sandbox.requests()["statuses"].get("blob") != {"none": 1}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert sandbox.requests()["connections_open"] == 1  # the one that asks


def test_a_slow_reader(sandbox, upload):
    sandbox.fault(on="blob", do="slow_read", bytes_per_s=1_000_000)
    one = upload(1_000_000)
    began_at = time.monotonic()

    one.send(bytes(1_000_000))

    assert one.answer().status == 201
    assert 0.9 < time.monotonic() - began_at < 5


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_late_answer(sandbox, upload, when):
    sandbox.fault(on="blob", do="delay", seconds=1.5, when=when)
    one = upload(1)
    one.send(b"x")
    began_at = time.monotonic()

    deadline = time.monotonic() + 1.0
    while time.monotonic() < deadline and not committed(sandbox):
        pass
    assert bool(committed(sandbox)) == (when == "after")
    assert one.answer().status == 201
    assert time.monotonic() - began_at >= 1.4


@pytest.mark.parametrize("then", ["reset", "close", "silence"])
def test_an_answer_that_is_lost_after_the_commit(sandbox, upload, then):
    sandbox.fault(on="blob", do="swallow", then=then, seconds=0.5)
    one = upload(1)
    one.send(b"x")

    assert is_reset(one) == (then != "close")
    assert [event["bytes"] for event in committed(sandbox)] == [1]


def test_a_connection_that_ends_unannounced_after_a_good_answer(sandbox, upload):
    sandbox.fault(on="blob", do="hang_up")
    one = upload(1)
    one.send(b"x")

    answer = one.answer()

    assert (answer.status, answer.headers["Connection"]) == (201, None)
    assert one.everything() == b""
    assert len(committed(sandbox)) == 1


@pytest.mark.parametrize("drop", [False, True])
def test_the_ports_can_be_closed_for_a_time(sandbox, client, wire, drop):
    kept = wire()
    sandbox.requests()
    sandbox.fault(do="refuse", seconds=1.0, drop=drop)

    for face in ("api", "blob"):
        with pytest.raises(ConnectionRefusedError):
            wire(face)
    if drop:
        assert is_reset(kept)
    else:
        kept.head("POST", "/endpoint", {"Connection": "close"}, 0)
        assert kept.answer().status == 401
    deadline = time.monotonic() + 10
    while True:  # as fast as possible: a client must not be able to get the port for itself
        try:
            wire("blob")
            break
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
    assert client.binary(b"x").status == 201


@pytest.mark.parametrize("sandbox", [("--tls",)], indirect=True)
@pytest.mark.parametrize("then", ["close", "reset", "drain"])
def test_early_answers_are_heard_through_tls_as_well(sandbox, client, then):
    sandbox.fault(on="blob", do="status", status=413, when="during", after_bytes=1000, then=then)

    answer = client.binary(bytes(1000 if then == "reset" else 50_000))

    assert answer.status == 413
    assert committed(sandbox) == []
