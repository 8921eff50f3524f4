"""Reads that hang, and what is scarce: threads, descriptors, the end of the process."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import subprocess
import sys
import textwrap
import threading
import time

import anyio
import pytest
from rig import QUICK, SHORT, described, open_files, our_threads, outcome, pattern, until

from chartsend import Document
from chartsend.errors import (
    StallTimeoutError,
)
from chartsend.sources import descriptor as descriptor_module
from chartsend.sources.descriptor import Descriptor

PATIENTLY = dataclasses.replace(SHORT, stall_s=20.0, reply_s=20.0, reply_body_s=5.0)
BIG_BYTES = 12_000_000


def at(path, **fields) -> Document:
    return Document.from_path(str(path), **described(**{"document_id": "doc-1", **fields}))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def hanging(monkeypatch):
    """Reads that hang until released, as on a dead network disk.

    The seam is the blocking read of `Descriptor`: a kernel that hangs cannot be had without FUSE.
    """
    release = threading.Event()
    real = Descriptor.read

    def read(self, buffer, offset):
        release.wait(30)
        return real(self, buffer, offset)

    monkeypatch.setattr(Descriptor, "read", read)
    monkeypatch.setattr(descriptor_module, "_NOWAIT", 0)
    yield release
    release.set()


async def test_a_read_that_hangs_fails_the_send_at_once_and_parks_a_bounded_number_of_threads(
    engine_for, sandbox, tmp_path, hanging
):
    path = tmp_path / "a.pdf"
    path.write_bytes(pattern(1_000_000))
    timeouts = dataclasses.replace(SHORT, read_s=0.2)
    slowest = 0.0

    async def heart():
        nonlocal slowest
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.005)
            slowest = max(slowest, time.monotonic() - before - 0.005)

    retry = dataclasses.replace(QUICK, attempts=1)
    async with engine_for(sandbox, timeouts=timeouts, retry=retry, concurrency=3) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(heart)
            for _ in range(5):
                began = time.monotonic()
                error = await outcome(engine, at(path), method="upload")
                assert isinstance(error, StallTimeoutError), error
                assert time.monotonic() - began < 1.0
                assert len(our_threads()) <= 3
            tasks.cancel_scope.cancel()
        assert slowest < 0.05
        assert engine.statistics().parked_calls == 3
        # A descriptor under a parked read stays open: its number must not be reused.
        assert sum(name == str(path) for name in open_files().values()) == 3
        hanging.set()
        await until(lambda: engine.statistics().parked_calls == 0)
        await until(lambda: str(path) not in open_files().values())
        assert (await outcome(engine, at(path), method="upload")).status == "accepted"
    assert len(sandbox.events("message")) == 1


async def test_a_parked_read_never_lands_in_another_document(engine_for, sandbox, tmp_path, monkeypatch):
    # The first read hangs beyond its time and then comes back: its buffer must serve nobody else.
    first, release, real = threading.Event(), threading.Event(), Descriptor.read

    def read(self, buffer, offset):
        if not first.is_set():
            first.set()
            release.wait(10)
        return real(self, buffer, offset)

    monkeypatch.setattr(Descriptor, "read", read)
    monkeypatch.setattr(descriptor_module, "_NOWAIT", 0)
    a, b = tmp_path / "a.pdf", tmp_path / "b.pdf"
    a.write_bytes(pattern(400_000, seed=1))
    b.write_bytes(data := pattern(BIG_BYTES, seed=2))
    timeouts = dataclasses.replace(PATIENTLY, read_s=0.2)
    retry = dataclasses.replace(QUICK, attempts=1)
    async with engine_for(sandbox, timeouts=timeouts, retry=retry) as engine:
        assert isinstance(await outcome(engine, at(a), method="embed"), StallTimeoutError)
        threading.Timer(0.05, release.set).start()
        receipt = await outcome(engine, at(b, document_id="b"), method="embed")
    assert receipt.status == "accepted"
    (event,) = sandbox.events("message")
    assert event["sha256"] == sha256(data)


def test_a_process_ends_although_a_read_hangs(tmp_path):
    script = """
        import asyncio, time, anyio
        from chartsend.aio import Lane, Shared

        async def main():
            lane = Lane(threads=1)
            with anyio.move_on_after(0.1):
                await lane.run(Shared(lambda: None), time.sleep, 30)
            await lane.aclose()

        asyncio.run(main())
    """
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=40)
    assert time.monotonic() - began < 5


def test_a_thousand_files_with_64_descriptors(sandbox, tmp_path):
    script = """
        import asyncio, resource, sys
        from pathlib import Path
        from chartsend import Document, Engine, Patient, Provider, Settings

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        async def main(profile, to, folder):
            fields = dict(
                type="Consent Form",
                patient=Patient.identified("0000991234", "MR", first_name="M", last_name="Q"),
                provider=Provider(id="9999999995", id_type="NPI"),
            )
            documents = (Document.from_path(str(p), **fields) for p in sorted(Path(folder).iterdir()))
            done = 0
            async with Engine(Settings.load(profile)) as engine:
                async with engine.send_many(documents, to=to) as receipts:
                    async for receipt in receipts:
                        assert receipt.status == "accepted", receipt.error
                        done += 1
            print(done)

        asyncio.run(main(*sys.argv[1:]))
    """
    for n in range(1000):
        # Larger than what is read while opening, so that descriptors stay open during the send.
        (tmp_path / f"{n}.txt").write_bytes(b"%d " % n + b"x" * 70_000)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(sandbox.info.profile),
         sandbox.info.destination, str(tmp_path)],
        capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "1000", done.stderr[-2000:]
    events = sandbox.events("message")
    assert len(events) == len({e["sha256"] for e in events}) == 1000
