"""The service of docs/how-to/embed-in-a-service.md, in a process of its own, against the sandbox."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import anyio
import pytest

from chartsend.testing import SandboxProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SERVICE = Path(__file__).parents[2] / "docs" / "how-to" / "service_example.py"
PIECE_BYTES = 64 * 1024


class Service:
    """The running example."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdout is not None
        self.url = process.stdout.readline().decode().strip()

    @property
    def peak_rss_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(20)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess.start() as process:
        yield process


@pytest.fixture(scope="module")
def service(sandbox: SandboxProcess) -> Iterator[Service]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CHARTSEND_")},
        "CHARTSEND_PROFILE": str(sandbox.info.profile),
        "DESTINATION": sandbox.info.destination,
        "PORT": "0",
    }
    process = subprocess.Popen([sys.executable, str(SERVICE)], env=environment, stdout=subprocess.PIPE)
    with process:
        running = Service(process)
        try:
            yield running
            assert running.stop() == 0
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def no_faults(sandbox: SandboxProcess) -> Iterator[None]:
    yield
    sandbox.clear_faults()


def headers_of(document_id: str, **more: str) -> dict[str, str]:
    return {
        "Document-Id": document_id,
        "Document-Type": "Consent Form",
        "Document-Title": quote(f"Röntgen {document_id}.pdf"),
        "Content-Type": "application/pdf",
        "Patient-Id": "0000991234:MR",
        **more,
    }


async def pieces_of(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), PIECE_BYTES):
        yield content[start : start + PIECE_BYTES]


async def post(service: Service, document_id: str, content: bytes) -> tuple[int, dict[str, object]]:
    headers = headers_of(document_id, **{"Content-Length": str(len(content))})
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/documents", data=pieces_of(content), headers=headers) as answer,
    ):
        return answer.status, await answer.json()


def about(sandbox: SandboxProcess, document_id: str) -> dict[str, object]:
    found = [event for event in sandbox.events() if event["document_id"] == document_id]
    assert len(found) == 1
    return found[0]


async def test_an_upload_of_5_mb_arrives_byte_for_byte(
    service: Service, sandbox: SandboxProcess
) -> None:
    content = b"%PDF-1.7\n" + random.Random(5).randbytes(5_000_000)

    status, answer = await post(service, "five-megabytes", content)

    assert status == 201
    event = about(sandbox, "five-megabytes")
    assert event["bytes"] == len(content)
    assert event["sha256"] == answer["sha256"] == hashlib.sha256(content).hexdigest()
    assert answer["log_ids"] == [event["log_id"]] or answer["log_ids"] == []


async def test_a_small_file_is_embedded_and_arrives_byte_for_byte(
    service: Service, sandbox: SandboxProcess
) -> None:
    content = b"%PDF-1.7\n" + random.Random(6).randbytes(777)

    status, _ = await post(service, "small", content)

    assert status == 201
    event = about(sandbox, "small")
    assert (event["method"], event["sha256"]) == ("embed", hashlib.sha256(content).hexdigest())


async def test_64_callers_at_once_are_all_served_in_bounded_memory(
    service: Service, sandbox: SandboxProcess
) -> None:
    contents = {
        f"one-of-64-{number}": b"%PDF-1.7\n" + random.Random(number).randbytes(3_000_000 + number)
        for number in range(64)
    }
    statuses: Counter[int] = Counter()

    async def one(document_id: str, content: bytes) -> None:
        status, _ = await post(service, document_id, content)
        statuses[status] += 1

    async with anyio.create_task_group() as callers:
        for document_id, content in contents.items():
            callers.start_soon(one, document_id, content)

    assert statuses == {201: 64}
    received = {event["document_id"]: event for event in sandbox.events()}
    for document_id, content in contents.items():
        assert received[document_id]["sha256"] == hashlib.sha256(content).hexdigest()
    # 192 MB came in. Most of this is the interpreter and its libraries, the rest sockets' buffers.
    assert service.peak_rss_bytes < 150_000_000


def test_a_caller_who_hangs_up_in_the_middle_leaves_nothing(
    service: Service, sandbox: SandboxProcess
) -> None:
    before = len(sandbox.events())
    host, port = address_of(service)
    head = "".join(
        f"{name}: {value}\r\n"
        for name, value in headers_of("hung-up", **{"Content-Length": "5000000"}).items()
    )
    with socket.create_connection((host, port)) as caller:
        caller.sendall(f"POST /documents HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
        caller.sendall(b"%PDF-1.7\n" + bytes(2_000_000))
        wait_for_sends(service, 1)

    wait_for_sends(service, 0)

    assert [event for event in sandbox.events()[before:] if event["kind"] != "token"] == []


def wait_for_sends(service: Service, number: int) -> None:
    """Until so many sends are in flight; fails after 20 s."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with socket.create_connection(address_of(service)) as asking:
            asking.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: asking.recv(65536), b""))
        if json.loads(text.partition(b"\r\n\r\n")[2])["in_flight"] == number:
            return
        time.sleep(0.02)
    pytest.fail(f"there never were {number} sends in flight")


def address_of(service: Service) -> tuple[str, int]:
    host, _, port = service.url.removeprefix("http://").partition(":")
    return host, int(port)


async def test_a_refusal_by_redox_is_told_to_the_caller(
    service: Service, sandbox: SandboxProcess
) -> None:
    sandbox.fault(on="message", do="status", status=422)

    status, answer = await post(service, "refused", b"%PDF-1.7\nrefused")

    assert (status, answer["error"], answer["status"]) == (422, "invalid", "failed")


async def test_an_unknown_outcome_is_a_409_and_not_a_failure(
    service: Service, sandbox: SandboxProcess
) -> None:
    sandbox.fault(on="message", do="swallow")

    status, answer = await post(service, "unknown", b"%PDF-1.7\nunknown")

    assert (status, answer["status"], answer["error"]) == (409, "in_doubt", "outcome_unknown")
    assert about(sandbox, "unknown")["kind"] == "message"


async def test_an_outage_is_a_503_with_a_time_to_wait(service: Service, sandbox: SandboxProcess) -> None:
    sandbox.fault(on="blob", do="status", status=503, headers={"Retry-After": "1"}, times=None)
    content = b"%PDF-1.7\n" + bytes(300_000)
    headers = headers_of("outage", **{"Content-Length": str(len(content))})

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/documents", data=content, headers=headers) as answer,
    ):
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize(
    ("left_out", "status"),
    [("Document-Id", 400), ("Document-Type", 422), ("Patient-Id", 422)],
)
async def test_a_description_that_lacks_something_is_refused(
    service: Service, left_out: str, status: int
) -> None:
    headers = headers_of("lacking")
    del headers[left_out]

    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{service.url}/documents", data=b"%PDF-1.7\n", headers=headers) as answer,
    ):
        assert answer.status == status


async def test_a_body_of_unknown_length_is_refused(service: Service) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{service.url}/documents", data=pieces_of(b"%PDF-1.7\n"), headers=headers_of("chunked")
        ) as answer,
    ):
        assert answer.status == 411


async def test_a_body_over_the_limit_is_refused_before_it_is_read(service: Service) -> None:
    host, port = address_of(service)
    head = "".join(
        f"{name}: {value}\r\n"
        for name, value in headers_of("large", **{"Content-Length": "30000001"}).items()
    )
    async with await anyio.connect_tcp(host, port) as caller:
        await caller.send(f"POST /documents HTTP/1.1\r\nHost: {host}\r\n{head}\r\n".encode())
        answer = await caller.receive()

    assert answer.startswith(b"HTTP/1.1 413 ")
