"""The sandbox under attack: nobody else gets in, and nothing takes it down."""

from __future__ import annotations

import random
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chartsend.testing import SandboxProcess

BINARY = "/fhir/R4/redox/Development/Binary"


def listening_addresses(pid):
    inodes = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(fd.readlink())
        except FileNotFoundError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                found.append(fields[1].split(":")[0])
    return found


def test_it_listens_on_loopback_only(sandbox):
    assert listening_addresses(sandbox.pid) == ["0100007F", "0100007F"]


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""]
)
@pytest.mark.parametrize("path", ["/v2/auth/token", "/_sandbox/events", "/_sandbox/log", BINARY])
def test_another_origin_is_refused(shared, client, origin, path):
    for method in ("OPTIONS", "GET", "POST"):
        answer = client.request(method, path, b"", client.bearer(Origin=origin))

        assert answer.status == 403
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


def test_the_own_origin_is_welcome(shared, client):
    assert client.binary(b"x", Origin=shared.info.api_url).status == 201


@pytest.mark.parametrize(
    "host", ["evil.example", "api.redoxengine.com", "127.0.0.1.evil.example", "", "[", "0.0.0.0", "a@b"]
)
def test_another_host_name_is_refused(client, host):
    answer = client.request("POST", BINARY, b"x", client.bearer(Host=host))

    assert answer.status == 403


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:80", "LOCALHOST"])
def test_names_of_this_machine_are_welcome(client, host):
    assert client.binary(b"x", Host=host).status == 201


@pytest.mark.parametrize("hosts", ["", "Host: localhost\r\nHost: localhost\r\n"])
def test_no_host_or_two_are_refused(wire, sandbox, hosts):
    one = wire()
    one.send(f"POST / HTTP/1.1\r\n{hosts}Content-Length: 0\r\n\r\n".encode())

    assert one.answer().status in {400, 403}


@pytest.mark.parametrize("path", ["events", "requests", "accounts", "faults", "files/x", "log", ""])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("token", [None, "", "wrong", "\xff"])
def test_the_sandbox_itself_answers_only_with_its_token(client, path, method, token):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    assert client.request(method, f"/_sandbox/{path}", b"[]", headers).status == 403


def test_an_access_token_is_no_admin_token(client):
    assert client.request("GET", "/_sandbox/events", headers=client.bearer()).status == 403


@pytest.mark.parametrize("face", ["api", "blob"])
@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x10\r\n\r\n",
        (
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ),
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    ],
    ids=range(15),
)
def test_what_is_not_http_is_a_400_or_403_and_never_a_500(wire, sandbox, client, face, garbage):
    one = wire(face)
    one.send(garbage)
    one.socket.shutdown(socket.SHUT_WR)

    try:
        content = one.everything()
    except ConnectionResetError:
        content = b""

    assert content == b"" or content.split()[1] in {b"400", b"403", b"404"}
    assert client.binary(b"x").status == 201


def test_pipelined_requests_are_answered_one_after_the_other(sandbox, client, wire):
    one = wire()
    head = f"POST {BINARY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\n"
    head += f"Authorization: Bearer {client.token}\r\nContent-Length: 1\r\n\r\n"
    sandbox.fault(on="blob", do="delay", seconds=0.3, times=1)

    one.send(b"".join(head.encode() + content for content in (b"1", b"2", b"3")))

    assert [one.answer().status for _ in range(3)] == [201, 201, 201]
    stored = [sandbox.file(e["sha256"]) for e in sandbox.events() if e["kind"] == "blob"]
    assert stored == [b"1", b"2", b"3"]


def test_left_over_bytes_do_not_become_a_request_of_somebody_else(sandbox, client, wire):
    one = wire()
    one.head("POST", BINARY, client.bearer() | {"Content-Type": "a/b"}, 1)
    one.send(b"1")
    assert one.answer().status == 201
    one.send(b"GARBAGE\r\n\r\n")
    assert one.everything().split()[1] == b"400"

    one = wire()
    one.head("POST", BINARY, client.bearer() | {"Content-Type": "a/b"}, 1)
    one.send(b"1GARBAGE\r\n\r\n")
    assert b" 400 Bad Request" in one.everything()
    assert sandbox.requests()["statuses"]["blob"].get("500") is None
    assert sandbox.requests()["seen"] == {"token": 1, "blob": len(sandbox.events()) - 1}


@pytest.mark.parametrize(
    "path",
    [
        "/fhir/R4/../../../etc/passwd",
        "/fhir/R4/..%2f..%2f..%2fetc%2fpasswd/Development/Binary",
        "/_sandbox/files/..%2f..%2fprofile.toml",
        "/_sandbox/files/../profile.toml",
        "/_sandbox/log/uploads/..%2f..%2fprofile.toml",
        "/_sandbox/log/%00",
        "/%ff%fe",
        "//",
        "/?%",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_paths_lead_nowhere(shared, client, path, method):
    headers = {"Authorization": f"Bearer {shared.info.admin_token}"}

    answer = client.request(method, path, b"", headers)

    assert answer.status in {400, 403, 404}
    assert b"client_id" not in answer.body


def test_names_from_requests_never_become_files(sandbox, client):
    folder = sandbox.info.profile.parent
    for name in ("../../escape", "/tmp/escape", "a\\b", "x" * 5000):
        client.upload(client.form(b"x" + name.encode(), filename=name))
        client.create(client.bundle(name, data="QQ==", title=name))

    names = {path.name for path in folder.rglob("*")}
    assert not [name for name in names if "escape" in name or len(name) > 40]


@pytest.mark.slow
def test_thousands_of_idle_connections_leave_it_responsive(sandbox, client):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(2000, hard - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 200), hard))
    url = urlsplit(sandbox.info.api_url)
    idle = []
    try:
        for number in range(wanted):
            one = socket.create_connection((url.hostname, url.port), timeout=10)
            if number % 2:
                one.sendall(b"POST / HTTP/1.1\r\nHost: localh")
            idle.append(one)

        began_at = time.monotonic()
        assert client.binary(b"x").status == 201
        assert time.monotonic() - began_at < 5
        assert sandbox.requests()["connections_open"] >= wanted
    finally:
        for one in idle:
            one.close()


@pytest.mark.slow
def test_more_connections_than_files_push_out_the_idle_ones(tmp_path, monkeypatch):
    """With few file descriptors the longest idle connections make room, and accept never fails."""

    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 256\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(wrapper))
    with SandboxProcess.start() as process:
        url = urlsplit(process.info.api_url)
        idle = [socket.create_connection((url.hostname, url.port), timeout=10) for _ in range(500)]
        try:
            counts = process.requests()
            assert counts["connections_open"] <= 100
            assert counts["connections_opened"] >= 500
        finally:
            for one in idle:
                one.close()


def mutations(seeds, count):
    chance = random.Random(7)
    for _ in range(count):
        content = bytearray(chance.choice(seeds))
        for _ in range(chance.randint(1, 6)):
            position = chance.randrange(len(content))
            match chance.randrange(4):
                case 0:
                    content[position] = chance.randrange(256)
                case 1:
                    del content[position : position + chance.randrange(20)]
                case 2:
                    content[position:position] = chance.choice(
                        [b"\0", b"\r\n", b"\xff", b'"', b"{", b"[", b"--xyzzy", b"\\u", b"9" * 30]
                    )
                case _:
                    content[position:position] = content[: chance.randrange(60)]
            content = content or bytearray(b"x")
        yield bytes(content)


@pytest.mark.slow
def test_mutated_bodies_are_never_a_500(sandbox, client):
    import json

    note = json.dumps(client.note("QUJD")).encode()
    bundle = json.dumps(client.bundle(data="QUJD")).encode()
    form = client.form(b"content")
    for body in mutations([note], 250):
        assert client.endpoint(body).status in {200, 400, 413}
    for body in mutations([bundle], 250):
        assert client.create(body).status in {200, 400, 413}
    for body in mutations([form], 250):
        assert client.upload(body).status in {201, 400, 413}
    assert not {"500", "507"} & {s for kind in sandbox.requests()["statuses"].values() for s in kind}


@pytest.mark.slow
def test_mutated_heads_do_not_take_it_down(sandbox, client, wire):
    head = f"POST {BINARY} HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\n"
    head += f"Authorization: Bearer {client.token}\r\nContent-Length: 1\r\n\r\nx"
    for content in mutations([head.encode()], 300):
        one = wire()
        try:
            one.send(content)
            one.socket.shutdown(socket.SHUT_WR)
            answer = one.everything()
        except (ConnectionResetError, BrokenPipeError):
            continue
        finally:
            one.close()
        assert b" 500 " not in answer[:20]

    assert client.binary(b"x").status == 201


def test_it_imports_nothing_of_the_code_it_judges():
    code = (
        "import sys; from chartsend.sandbox import server; "
        "print(' '.join(sorted(n for n in sys.modules if n.startswith('chartsend.'))))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()

    assert [name for name in found if not name.startswith("chartsend.sandbox")] == []
    assert "pybase64" not in found
