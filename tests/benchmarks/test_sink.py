"""The sink counts right, stalls, and dies with whoever started it."""

from __future__ import annotations

import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.sink import SinkError, SinkProcess
from benchmarks.sink.capacity import BODY_BYTES, capacity
from benchmarks.sink.chunks import Chunks
from benchmarks.sink.heads import BadHeadError, read_head

ROOT = Path(__file__).parents[2]
BINARY = "/fhir/R4/redox/Development/Binary"
MESSAGE = "/fhir/R4/x/Development/DocumentReference/$documentreference-create"
WITHIN_S = 60.0


def request(body: bytes, path: str = BINARY, *fields: str, kind: str = "application/pdf") -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: here", f"Content-Type: {kind}", *fields]
    if not any(field.startswith("Transfer") for field in fields):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x;q=1\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


def answer(connection: socket.socket) -> bytes:
    text = b""
    while b"\r\n\r\n" not in text:
        piece = connection.recv(65536)
        assert piece, "the sink has gone"
        text += piece
    head, _, rest = text.partition(b"\r\n\r\n")
    length = next(int(x.split(b":")[1]) for x in head.split(b"\r\n") if x.startswith(b"Content-Length"))
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest


def connect(sink: SinkProcess) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", sink.port), timeout=WITHIN_S)
    if sink.ca_file is None:
        return connection
    context = ssl.create_default_context(cafile=sink.ca_file)
    return context.wrap_socket(connection, server_hostname="127.0.0.1")


def ended(pids: list[int]) -> bool:
    """Whether processes end in time; they may be anybody's children."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(handle):
            if not select.select([handle], [], [], WITHIN_S)[0]:
                return False
    return True


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size_bytes", [1, 5_000, 3_000_001])
def test_a_body_of_known_length_is_counted_and_kept(keeping, tls, size_bytes):
    sink, folder = keeping(tls=tls)
    body = os.urandom(size_bytes)
    with connect(sink) as connection:
        for _ in range(2):
            connection.sendall(request(body))
            assert answer(connection).startswith(b"HTTP/1.1 201")
    found = sink.counts()
    assert (found.of("binary").requests, found.of("binary").body_bytes) == (2, 2 * size_bytes)
    assert [path.read_bytes() == body for path in folder.iterdir()] == [True, True]
    assert (found.odd, found.broken, found.stalled) == (0, 0, 0)


def test_chunks_are_taken_off(keeping):
    sink, folder = keeping()
    parts = [os.urandom(1), os.urandom(70_000), os.urandom(2_000_000)]
    with connect(sink) as connection:
        connection.sendall(request(chunked(*parts), BINARY, "Transfer-Encoding: chunked"))
        assert answer(connection).startswith(b"HTTP/1.1 201")
    assert sink.counts().of("binary").body_bytes == sum(map(len, parts))
    assert [path.read_bytes() for path in folder.iterdir()] == [b"".join(parts)]


def test_chunks_are_understood_wherever_they_are_cut():
    content, after = b"x" * 7 + b"\r\n" + b"y" * 20, b"next request"
    text = chunked(content[:5], content[5:]) + after
    for first in range(len(text)):
        for second in (first + 1, first + 3, first + 17):
            taken, found, rest = Chunks(), b"", b""
            for piece in (text[:first], text[first:second], text[second:]):
                if taken.is_over:
                    rest += piece
                    continue
                found += b"".join(taken.feed(memoryview(piece)))
                rest += piece[len(piece) - taken.rest :]
            assert taken.is_over
            assert (found, rest) == (content, after)


@pytest.mark.parametrize("text", [b"zz\r\n", b"3\r\nabcd\r\n", b"1" * 3000])
def test_what_are_no_chunks_is_refused(text):
    with pytest.raises(BadHeadError):
        list(Chunks().feed(memoryview(text)))


@pytest.mark.parametrize(
    "text", [b"", b"POST", b"POST / HTTP/1.1", b"A / HTTP/1.1\r\nContent-Length: x"]
)
def test_a_head_without_an_end_of_the_body_is_refused(text):
    with pytest.raises(BadHeadError):
        read_head(text)


def test_requests_in_one_segment_and_heads_in_many(keeping):
    sink, _ = keeping()
    text = request(b"a" * 10) + request(b"") + request(b"b" * 5)
    with connect(sink) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(text)
        for at in range(len(text)):
            connection.sendall(text[at : at + 1])
        found = b""
        while found.count(b"HTTP/1.1 201") < 6:
            found += connection.recv(65536)
    assert sink.counts().of("binary").requests == 6
    assert sink.counts().of("binary").body_bytes == 30


def test_who_waits_for_continue_hears_it(keeping):
    sink, _ = keeping()
    whole = request(b"abc", BINARY, "Expect: 100-continue")
    with connect(sink) as connection:
        connection.sendall(whole[:-3])
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(whole[-3:])
        assert answer(connection).startswith(b"HTTP/1.1 201")


def test_kinds_are_told_apart_and_answered_in_their_way(keeping):
    sink, _ = keeping()
    said = {}
    with connect(sink) as connection:
        for path in (
            BINARY,
            MESSAGE,
            MESSAGE.replace("$", "%24"),
            "/upload",
            "/endpoint",
            "/v2/auth/token",
        ):
            connection.sendall(request(b"{}", path))
            said[path] = answer(connection)
        connection.sendall(request(b"{}", "/somewhere"))
        assert answer(connection).startswith(b"HTTP/1.1 404")
    assert f"Location: {sink.url}/".encode() in said[BINARY]
    assert f'"URI":"{sink.url}/'.encode() in said["/upload"]
    assert b'"Meta"' in said["/endpoint"]
    assert b"access_token" in said["/v2/auth/token"]
    requests = {kind: tally.requests for kind, tally in sink.counts().kinds.items()}
    assert requests == {"binary": 1, "message": 2, "upload": 1, "endpoint": 1, "token": 1, "other": 1}


def test_what_ends_wrong_is_odd_and_what_does_not_end_is_broken(keeping):
    sink, folder = keeping()
    with connect(sink) as connection:
        connection.sendall(request(b'{"a": 1', MESSAGE, kind="application/fhir+json"))
        answer(connection)
        connection.sendall(
            request(b"--b\r\n\r\nx\r\n", "/upload", kind="multipart/form-data; boundary=b")
        )
        answer(connection)
        connection.sendall(request(b"x" * 100)[:-1])
    with connect(sink) as connection:
        connection.sendall(b"\0 nonsense\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 400")
        assert not connection.recv(1)
    while (found := sink.counts()).broken < 2:  # the sink hears of the end when it hears of it
        pass
    assert (found.odd, found.broken) == (2, 2)
    assert found.of("binary").requests == 0
    assert len(list(folder.iterdir())) == 2


def test_connections_go_to_the_processes_in_turn(keeping):
    sink, folder = keeping()
    with connect(sink) as a, connect(sink) as b, connect(sink) as c, connect(sink) as d:
        for connection in (a, b, c, d):
            connection.sendall(request(b"x"))
            answer(connection)
    of = [int(path.name.split("-")[1]) for path in folder.iterdir()]
    assert sorted(of) == sorted([*sink.pids, *sink.pids])
    assert len(sink.counts().cpu_s) == len(sink.pids) == 2


def test_a_stalled_sink_answers_small_bodies_and_reads_64_kib_of_others():
    with SinkProcess.start(stalled=True, processes=1) as sink, connect(sink) as connection:
        connection.sendall(request(b"x" * 1000))
        assert answer(connection).startswith(b"HTTP/1.1 201")
        assert sink.counts().stalled == 0
        connection.sendall(request(b"x" * 30_000_000)[:300])
        connection.setblocking(False)
        sent = 0
        while not sink.counts().stalled:
            if select.select([], [connection], [], 0.1)[1]:
                sent += connection.send(b"x" * 65536)
        while select.select([], [connection], [], 2.0)[1]:  # it is never emptied, so this ends
            sent += connection.send(b"x" * 65536)
        assert sent < 1_200_000, "a 1 MB file went out whole"
        found = sink.counts()
        assert (found.stalled, found.of("binary").requests) == (1, 1)


def test_a_reset_begins_anew_and_gives_what_was(keeping):
    sink, _ = keeping()
    with connect(sink) as connection:
        connection.sendall(request(b"abc"))
        answer(connection)
    assert sink.reset().of("binary").body_bytes == 3
    assert sink.counts().kinds == {}


def test_its_processes_end_when_the_harness_is_killed():
    program = (
        "from benchmarks.sink import SinkProcess\n"
        "import time\n"
        "print(*SinkProcess.start(processes=3).pids, flush=True)\n"
        "time.sleep(600)\n"
    )
    harness = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        pids = [int(each) for each in harness.stdout.readline().split()]
        assert len(pids) == 3
        for pid in pids:
            os.kill(pid, 0)  # they live
    finally:
        harness.send_signal(signal.SIGKILL)
        harness.communicate()
    assert ended(pids)


def test_a_sink_whose_process_died_says_so():
    with SinkProcess.start(processes=2) as sink:
        os.kill(sink.pids[1], signal.SIGKILL)
        assert ended([sink.pids[1]])
        with pytest.raises(SinkError):
            sink.counts()


def test_its_capacity_is_measured(keeping):
    with SinkProcess.start(processes=2) as sink:
        found = capacity(sink, senders=1, bodies=2)
        assert sink.counts().of("binary").body_bytes == 2 * BODY_BYTES
    assert found.mb_per_s > 0
    assert found.busiest == max(found.busy) > 0
