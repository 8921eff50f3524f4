"""What the tests of sources, transport and send share: servers, settings, documents, a leak check.

The one rule: servers run in processes of their own; nothing in here stands in for the engine.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import pytest_asyncio
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chartsend import Document, Engine, Order, Patient, Provider, Settings
from chartsend.errors import TransferError
from chartsend.settings import Auth, Destination, Retry, Timeouts
from chartsend.testing import SandboxProcess

if TYPE_CHECKING:
    from chartsend.ports import Intent, Uploaded

HERE = Path(__file__).parent
SHORT = Timeouts(
    connect_s=0.5,
    tls_handshake_s=0.5,
    stall_s=0.6,
    slow_window_s=1.0,
    slow_bytes_per_s=1024,
    read_s=2.0,
    attempt_base_s=20.0,
    reply_s=0.6,
    reply_body_s=0.6,
)
QUICK = Retry(attempts=3, base_s=0.0, throttled_base_s=0.0, cap_s=0.0)
TO = "receiver"
PATIENT = Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather")


def described(**fields: Any) -> dict[str, Any]:
    """Everything that any model wants to know."""
    return {
        "type": "Consent Form",
        "patient": PATIENT,
        "provider": Provider(id="9999999995", id_type="NPI"),
        "order": Order(id="O1", code="PDF_REPORT"),
        **fields,
    }


def pattern(size: int, seed: int = 0) -> bytes:
    """Bytes of which no two stretches are alike, so that a shifted copy is noticed."""
    return b"%PDF-1.7\n"[:size] + hashlib.shake_128(bytes([seed])).digest(max(0, size - 9))


def document(data: bytes, **fields: Any) -> Document:
    return Document.from_bytes(data, title="scan.pdf", **described(**{"document_id": "doc-1", **fields}))


class Raw:
    """The bare socket server, driven from a test."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "raw_server.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._process.stdout.readline())
        self.url = f"http{'s' if arguments else ''}://127.0.0.1:{self.port}"

    def _do(self, **command: Any) -> Any:
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def plan(self, kind: str, *plans: list[list[Any]]) -> None:
        self._do(do="plan", kind=kind, plans=plans)

    def log(self) -> dict[str, Any]:
        return self._do(do="log")

    def requests(self, kind: str) -> list[dict[str, Any]]:
        return [one for one in self.log()["requests"] if one["kind"] == kind]

    def commits(self, kind: str = "message") -> int:
        return sum(one["committed"] for one in self.requests(kind))

    def bodies(self) -> list[bytes]:
        count = len(self.log()["requests"])
        return [self._do(do="body", number=n).encode("latin-1") for n in range(count)]

    def clear(self) -> None:
        self._do(do="clear")
        self._do(do="arm")

    def stop(self) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.kill()
        self._process.wait()


class Notes:
    """A journal that keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    async def intent(self, intent: Intent) -> None:
        self.told.append((f"intent {intent.step}", intent))

    async def uploaded(self, uploaded: Uploaded) -> None:
        self.told.append(("uploaded", uploaded))

    async def result(self, row: str | None, receipt: Any) -> None:
        self.told.append((f"result {receipt.status}", receipt))

    @property
    def order(self) -> list[str]:
        return [name for name, _ in self.told]


@pytest.fixture(scope="session", autouse=True)
def fast_setup(certificates):
    """Every test opens engines and collects garbage; both are slow for other reasons than ours."""
    with pytest.MonkeyPatch.context() as patch:
        # The system's CA bundle takes 15 ms to read; no test speaks to a server that it knows.
        patch.setenv("SSL_CERT_FILE", str(certificates / "stranger.pem"))
        patch.setenv("SSL_CERT_DIR", str(certificates / "none"))
        gc.collect()
        gc.freeze()  # what was imported is not looked at again
        yield
        gc.unfreeze()


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A CA that we trust, and a server certificate for 127.0.0.1."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = authority.issue_cert("127.0.0.1", "localhost")
    server.private_key_pem.write_to_path(str(folder / "key.pem"))
    for n, blob in enumerate(server.cert_chain_pems):
        blob.write_to_path(str(folder / "cert.pem"), append=n > 0)
    elsewhere = authority.issue_cert("elsewhere.example")
    elsewhere.private_key_pem.write_to_path(str(folder / "other-key.pem"))
    elsewhere.cert_chain_pems[0].write_to_path(str(folder / "other-cert.pem"))
    for name in ("stranger.pem", "second.pem"):
        trustme.CA().cert_pem.write_to_path(str(folder / name))
    return folder


@pytest.fixture(scope="session")
def _raw_process():
    server = Raw()
    yield server
    server.stop()


@pytest.fixture
def raw(_raw_process):
    _raw_process.clear()
    yield _raw_process
    _raw_process.clear()


@pytest.fixture(scope="session")
def _raw_tls_process(certificates):
    server = Raw(str(certificates / "cert.pem"), str(certificates / "key.pem"))
    yield server
    server.stop()


@pytest.fixture
def raw_tls(_raw_tls_process):
    _raw_tls_process.clear()
    yield _raw_tls_process
    _raw_tls_process.clear()


@pytest.fixture(scope="session")
def _sandbox_process():
    with SandboxProcess.start() as process:
        yield process


class Sandbox:
    """The shared sandbox, seen from one test: only what came since it began."""

    def __init__(self, process: SandboxProcess) -> None:
        self.process = process
        self.info = process.info
        self.fault = process.fault
        self.faults = process.faults
        self.fault_counts = process.fault_counts
        self.clear_faults = process.clear_faults
        events = process.events()
        self._after = events[-1]["seq"] if events else 0

    def events(self, kind: str | None = None, document_id: str | None = None) -> list[dict[str, Any]]:
        return [
            e
            for e in self.process.events(self._after)
            if kind in {None, e["kind"]} and document_id in {None, e["document_id"]}
        ]


@pytest.fixture
def sandbox(_sandbox_process):
    _sandbox_process.clear_faults()
    yield Sandbox(_sandbox_process)
    _sandbox_process.clear_faults()


@pytest.fixture(scope="session")
def key_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("key") / "key.pem"
    path.touch(0o600)
    path.write_bytes(
        ec.generate_private_key(ec.SECP384R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def settings_for(request, key_file):
    """Settings that speak to a raw server or to the sandbox.

    A busy machine stands still for a second at times, and a message whose answer was not waited for
    is in doubt: so only tests of the limits themselves ask for `SHORT` ones.
    """
    usual = SHORT if request.node.get_closest_marker("short_waits") else Timeouts()

    def make(server: Raw | Sandbox, **overrides: Any) -> Settings:
        overrides = {"timeouts": usual, "retry": QUICK, **overrides}
        if not isinstance(server, Raw):
            profile = Settings.load(str(server.info.profile))
            destinations = {TO: dataclasses.replace(profile.destination(server.info.destination))}
            return dataclasses.replace(profile, destinations=destinations, **overrides)
        base = {
            "environment": "Development",
            "source_id": "source-1",
            "api_url": server.url,
            "blob_url": server.url,
            "quota": "off",
            "auth": Auth(client_id="c", key_id="k", algorithm="ES384", key_file=str(key_file)),
            "destinations": {TO: Destination(name=TO, slug="receiver", id="receiver-id")},
        }
        return Settings(**{**base, **overrides})

    return make


@pytest.fixture
def engine_for(settings_for):
    @asynccontextmanager
    async def opened(server, journal=None, **overrides: Any):
        async with Engine(settings_for(server, **overrides), journal=journal) as engine:
            yield engine

    return opened


async def outcome(engine: Engine, doc: Document, **options: Any) -> Any:
    """The receipt, or the error: whichever it was."""
    try:
        return await engine.send(doc, **{"to": TO, "deadline_s": 20, **options})
    except TransferError as error:
        return error


async def until(condition, within_s: float = 30.0) -> None:
    """Wait until something that another process or task does has happened."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def open_files() -> dict[str, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


def our_threads() -> list[str]:
    return sorted(t.name for t in threading.enumerate() if t.name.startswith("chartsend"))


@pytest_asyncio.fixture(autouse=True)
async def nothing_is_left(request):
    """After every test: no task, thread, descriptor or unhandled error of ours is left."""
    for name in ("raw", "raw_tls", "sandbox", "certificates"):
        if name in request.fixturenames:
            request.getfixturevalue(name)
    loop = asyncio.get_running_loop()
    unhandled: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: unhandled.append(context))
    tasks = asyncio.all_tasks()
    files, threads = open_files(), our_threads()
    yield

    def left() -> dict[str, Any]:
        now = open_files()
        found = {
            "tasks": [t for t in asyncio.all_tasks() - tasks if t is not asyncio.current_task()],
            "threads": [t for t in our_threads() if t not in threads],
            "files": [v for k, v in now.items() if files.get(k) != v],
        }
        return {k: v for k, v in found.items() if v}

    with anyio.move_on_after(3):
        while left():
            gc.collect()
            await asyncio.sleep(0.02)
    gc.collect()
    await asyncio.sleep(0)
    assert left() == {}
    assert unhandled == []
