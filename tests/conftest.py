"""Shared by all tests: made-up documents, files of any size, and what must be gone afterwards."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import signal
import threading

import pytest

from chartsend import Order, Patient, Provider, Settings

pytest_plugins = ["chartsend.testing.fixtures"]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Started in the background of a script: what the tests start would ignore Ctrl-C as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def state_home(tmp_path_factory):
    """No test, and no process that a test starts, uses this user's record of the request quota."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="session")
def described() -> dict[str, object]:
    """Fields with which a document fits every model; nobody's data."""
    return {
        "type": "Consent Form",
        "patient": Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather"),
        "provider": Provider(id="9999999995", id_type="NPI", last_name="Oduya"),
        "order": Order(id="ORD-1", code="PDF_REPORT", description="Report"),
    }


@pytest.fixture(scope="session")
def make_file(tmp_path_factory):
    """A function: size in bytes to (path, sha256) of a file with that many unguessable bytes."""
    folder = tmp_path_factory.mktemp("files")
    made: dict[int, tuple[str, str]] = {}

    def make(size_bytes: int) -> tuple[str, str]:
        if size_bytes not in made:
            content = os.urandom(size_bytes)
            path = folder / f"{size_bytes}.bin"
            path.write_bytes(content)
            made[size_bytes] = (str(path), hashlib.sha256(content).hexdigest())
        return made[size_bytes]

    return make


@pytest.fixture
def settings_of():
    """A function: a sandbox, and changes, to settings that speak to it."""

    def load(process, **changes) -> Settings:
        return Settings.load(profile=process.info.profile, **changes)

    return load


class Baseline:
    """Descriptors, threads and tasks at one moment; `check` proves that they are back."""

    def __init__(self) -> None:
        gc.collect()
        self.descriptors = self._descriptors()
        self.threads = set(threading.enumerate())

    @staticmethod
    def _descriptors() -> dict[int, str]:
        found = {}
        for name in os.listdir("/proc/self/fd"):
            try:
                found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # the descriptor of listdir itself
                continue
        return {fd: what for fd, what in found.items() if not what.endswith("/fd")}

    async def check(self) -> None:
        for _ in range(20):  # transports close in callbacks of the next turns of the loop
            await asyncio.sleep(0)
        gc.collect()
        assert asyncio.all_tasks() <= {asyncio.current_task()}
        assert set(threading.enumerate()) <= self.threads
        assert set(self._descriptors()) <= set(self.descriptors), self._descriptors()


@pytest.fixture
async def baseline() -> Baseline:
    return Baseline()
