"""The life of the process: how it starts, what it says, what it leaves, how it ends."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from chartsend.testing import SandboxProcess
from chartsend.testing.sandbox import SandboxError

COMMAND = [sys.executable, "-m", "chartsend", "sandbox"]


def test_one_line_of_json_says_everything(sandbox):
    info = sandbox.info
    api, blob = urlsplit(info.api_url), urlsplit(info.blob_url)

    assert (api.path, blob.path, api.hostname, blob.hostname) == ("", "", "127.0.0.1", "127.0.0.1")
    assert api.port != blob.port
    assert info.token_url == info.api_url + "/v2/auth/token"
    assert info.dashboard_url.startswith(info.api_url + "/_sandbox/")
    assert info.destination == "redox-fhir-sandbox"
    assert info.destination_id == "af394f14-b34a-464f-8d24-895f370af4c9"


def test_stdout_has_one_line_and_nothing_more():
    with subprocess.Popen([*COMMAND, "--json"], stdout=subprocess.PIPE) as process:
        line = process.stdout.readline()
        info = json.loads(line)
        url = urlsplit(info["api_url"])
        connection = http.client.HTTPConnection(url.hostname, url.port)
        connection.request("POST", "/nothing")
        connection.getresponse().read()
        connection.close()
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    assert set(info) == {
        "api_url",
        "blob_url",
        "token_url",
        "dashboard_url",
        "admin_token",
        "destination",
        "destination_id",
        "source_id",
        "profile",
    }
    assert (rest, process.returncode) == (b"", 0)


def test_the_profile_is_what_the_settings_want(sandbox):
    info = sandbox.info
    profile = tomllib.loads(info.profile.read_text())
    auth = profile.pop("auth")
    destinations = profile.pop("destinations")

    assert profile == {
        "environment": "Development",
        "source_id": info.source_id,
        "account": "paid",
        "api_url": info.api_url,
        "blob_url": info.blob_url,
        "token_url": info.token_url,
        "quota": "off",
        "allowed_reference_hosts": [
            urlsplit(info.api_url).netloc,
            urlsplit(info.blob_url).netloc,
        ],
    }
    assert set(auth) == {"kind", "client_id", "key_id", "algorithm", "key_file"}
    assert (auth["kind"], auth["algorithm"]) == ("oauth", "ES384")
    assert destinations[info.destination] == {"slug": info.destination, "id": info.destination_id}
    assert len(destinations) == 3
    for path in (info.profile, Path(auth["key_file"])):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "sandbox", [("--destination", 'My "EHR" \\ é', "--destination", "b")], indirect=True
)
def test_any_destination_name_can_be_added(sandbox, client):
    names = ['My "EHR" \\ é', "b"]
    destinations = tomllib.loads(sandbox.info.profile.read_text())["destinations"]

    assert sandbox.info.destination == names[0]
    assert list(destinations)[:2] == names
    for name in names:
        assert (
            client.endpoint(client.note("QQ==", destinations=[destinations[name]["id"]])).status == 200
        )
    slug = "My%20%22EHR%22%20%5C%20%C3%A9"
    assert client.create(client.bundle(data="QQ=="), slug=slug).status == 200
    assert [e["destination"] for e in sandbox.events()[1:]] == [names[0], "b", names[0]]


def test_the_id_of_a_destination_depends_only_on_its_name():
    ids = []
    for _ in range(2):
        with SandboxProcess.start("--destination", "north") as process:
            ids.append(process.info.destination_id)

    assert ids[0] == ids[1]


def test_everything_is_deleted_at_the_end():
    with SandboxProcess.start() as process:
        folder = process.info.profile.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    assert not folder.exists()


def test_a_named_store_is_kept(tmp_path):
    store = tmp_path / "kept"
    with SandboxProcess.start("--store", str(store)) as process:
        assert process.info.profile.parent == store

    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    assert (store / "events.ndjson").exists()
    (store / "events.ndjson").write_text("earlier\n")
    with SandboxProcess.start("--store", str(store)) as process:  # and can be used again
        assert process.events() == []
    assert [path.read_text() for path in store.glob("events.ndjson.*")] == ["earlier\n"]


def test_a_port_can_be_chosen():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    with SandboxProcess.start("--port", str(port)) as process:
        assert urlsplit(process.info.api_url).port == port
        taken = subprocess.run(
            [*COMMAND, "--json", "--port", str(port)], capture_output=True, check=False
        )
        with pytest.raises(SandboxError, match="ended"):
            SandboxProcess.start("--port", str(port))

    assert (taken.returncode, taken.stdout) == (2, b"")
    assert b"cannot be used: Address already in use" in taken.stderr


def test_a_store_that_cannot_be_made_is_said():
    done = subprocess.run([*COMMAND, "--store", "/proc/x"], capture_output=True, check=False)

    assert done.returncode == 2
    assert b"--store cannot be used" in done.stderr


def test_a_folder_of_somebody_else_is_not_taken_as_a_store(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    mode = tmp_path.stat().st_mode

    done = subprocess.run([*COMMAND, "--store", str(tmp_path)], capture_output=True, check=False)

    assert done.returncode == 2
    assert b"not empty" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert tmp_path.stat().st_mode == mode


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_whatever_is_open(number):
    process = SandboxProcess.start()
    process.fault(on="any", do="stop_reading", times=None)
    process.fault(on="any", do="delay", seconds=600, when="before", times=None)
    url = urlsplit(process.info.api_url)
    wires = [socket.create_connection((url.hostname, url.port)) for _ in range(30)]
    for wire in wires[10:]:
        wire.sendall(b"POST /endpoint HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\nx")
    process.requests()
    began_at = time.monotonic()

    os.kill(process.pid, number)
    code = process._process.wait(10)

    assert time.monotonic() - began_at < 5
    assert code == 0
    process.stop()
    for wire in wires:
        wire.close()


def test_it_ends_with_its_standard_input():
    process = SandboxProcess.start()
    process._process.stdin.close()

    assert process._process.wait(5) == 0
    assert not process.info.profile.exists()
    process.stop()


def test_it_does_not_outlive_a_parent_that_was_killed():
    code = (
        "import os, time; from chartsend.testing import SandboxProcess; "
        "print(SandboxProcess.start().pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        pid = int(parent.stdout.readline())
        parent.kill()

    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and b"Z" not in Path(f"/proc/{pid}/stat").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_people_get_a_text_on_stderr():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        text = ""
        while "thrown away" not in text:
            line = process.stderr.readline()
            assert line
            text += line
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""

    assert process.returncode == 0
    for word in ("http://127.0.0.1:", "profile.toml", "/_sandbox/log?token=", "chartsend --profile"):
        assert word in text


@pytest.mark.parametrize(
    "arguments",
    [["--quota", "x"], ["--quota", "0/5"], ["--port", "70000"], ["--preset", "x"], ["--account", "x"]],
    ids=" ".join,
)
def test_wrong_options_end_with_2(arguments):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, check=False)

    assert done.returncode == 2
    assert done.stdout == b""


@pytest.mark.parametrize("sandbox", [("--tls",)], indirect=True)
def test_tls_is_spoken_on_both_ports_with_the_authority_of_the_profile(sandbox, client):
    profile = tomllib.loads(sandbox.info.profile.read_text())
    assert profile["ca_file"] == str(sandbox.ca_file)
    assert sandbox.info.api_url.startswith("https://")

    uri = client.upload(client.form(b"x")).json()["URI"]

    assert client.endpoint(client.note(uri)).status == 200
    assert sandbox.events()[-1]["reference"] == uri
    url = urlsplit(sandbox.info.blob_url)
    for name in ("127.0.0.1", "localhost"):
        context = ssl.create_default_context(cafile=profile["ca_file"])
        with (
            socket.create_connection((url.hostname, url.port)) as raw,
            context.wrap_socket(raw, server_hostname=name) as wrapped,
        ):
            assert wrapped.version() in {"TLSv1.2", "TLSv1.3"}


@pytest.mark.parametrize("sandbox", [("--tls",)], indirect=True)
def test_tls_is_refused_to_strangers_and_old_versions(sandbox):
    url = urlsplit(sandbox.info.api_url)
    old = ssl.create_default_context(cafile=str(sandbox.ca_file))
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1

    for context, error in (
        (ssl.create_default_context(), ssl.SSLCertVerificationError),
        (old, ssl.SSLError),
    ):
        with socket.create_connection((url.hostname, url.port)) as raw, pytest.raises(error):
            context.wrap_socket(raw, server_hostname="127.0.0.1")
    with socket.create_connection((url.hostname, url.port), timeout=5) as raw:
        raw.sendall(b"POST / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in raw.recv(100)


def test_the_fixture_for_tls_works(sandbox_tls):
    assert sandbox_tls.events() == []


def resident_peak_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


@pytest.mark.memory
def test_memory_does_not_grow_with_the_size_of_a_file(sandbox, client):
    import base64

    small, large = bytes(200_000), os.urandom(29_900_000)

    def send(content):
        text = base64.b64encode(content).decode()
        assert client.binary(content).status == 201
        assert client.upload(client.form(content)).status == 201
        assert client.create(client.bundle(data=text)).status == 200
        assert client.endpoint(client.note(text)).status == 200
        assert client.endpoint(client.note("é " + text, ContentType="Plain Text")).status == 200

    send(small)
    before = resident_peak_bytes(sandbox.pid)
    for _ in range(2):
        send(large)

    assert resident_peak_bytes(sandbox.pid) - before < 8_000_000
