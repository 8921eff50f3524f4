"""Files that change under our hands: sent anew as they are now, or not at all."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import time

import anyio
import pytest
from rig import SHORT, described, outcome, pattern, until

from chartsend import Document
from chartsend.errors import (
    SourceChangedError,
    TooLargeError,
)

PATIENTLY = dataclasses.replace(SHORT, stall_s=20.0, reply_s=20.0, reply_body_s=5.0)
BIG_BYTES = 12_000_000
"""More than the kernel takes on both sides (about 4 MB), so that a stopped server stops the reading."""


def at(path, **fields) -> Document:
    return Document.from_path(str(path), **described(**{"document_id": "doc-1", **fields}))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def stopped_in_the_middle(sandbox, engine, path, method, change, **options):
    """Send a file, change it while the server does not read, and let the server go on."""
    kind = "blob" if method == "upload" else "message"
    number = sandbox.fault(do="stop_reading", on=kind, after_bytes=256 * 1024)
    results = []

    async def send():
        results.append(await outcome(engine, at(path), method=method, deadline_s=30, **options))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        await until(lambda: sandbox.fault_counts()[number]["fired"])
        await asyncio.sleep(0.1)  # the kernel's buffers are full by now, or will be with old bytes
        change()
        sandbox.clear_faults()
        await asyncio.sleep(0)
    return results[0]


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def shrink(path):
    os.truncate(path, BIG_BYTES - 5)


def shrink_to_nearly_nothing(path):
    os.truncate(path, 70_000)


def rewrite(path):
    with open(path, "r+b") as file:
        file.seek(BIG_BYTES - 1000)
        file.write(b"other bytes, the same size")


def rewrite_what_was_sent(path):
    with open(path, "r+b") as file:
        file.seek(10)
        file.write(b"other bytes, the same size")


@pytest.mark.parametrize("method", ["upload", "embed"])
@pytest.mark.parametrize(
    "change", [grow, shrink, shrink_to_nearly_nothing, rewrite, rewrite_what_was_sent]
)
async def test_a_file_that_changes_while_it_is_sent_is_sent_anew_or_not_at_all(
    engine_for, sandbox, tmp_path, method, change
):
    path = tmp_path / "a.pdf"
    path.write_bytes(old := pattern(BIG_BYTES))
    async with engine_for(sandbox, timeouts=PATIENTLY) as engine:
        began = time.monotonic()
        receipt = await stopped_in_the_middle(sandbox, engine, path, method, lambda: change(path))
        assert time.monotonic() - began < 6  # never until some timeout
    now = path.read_bytes()
    assert receipt.status == "accepted", receipt
    commits = sandbox.events("message") + sandbox.events("blob")
    assert {e["sha256"] for e in commits} == {sha256(now)} == {receipt.sha256}
    assert sha256(old) not in {e["sha256"] for e in commits}
    assert len(commits) == (2 if method == "upload" else 1)
    assert receipt.bytes == len(now)


@pytest.mark.parametrize("method", ["upload", "embed"])
async def test_a_file_that_goes_on_growing_is_given_up_and_nothing_was_committed(
    engine_for, sandbox, tmp_path, monkeypatch, method
):
    path = tmp_path / "a.pdf"
    path.write_bytes(pattern(2_000_000))
    monkeypatch.setattr("chartsend.send.exchange.PROGRESS_EVERY_S", 0.0)  # told of every chunk
    growths = 0

    def a_line_more(progress) -> None:
        nonlocal growths
        if progress.sent_bytes < progress.declared_bytes:
            growths += 1
            with open(path, "ab") as file:
                file.write(b"a line\n")

    async with engine_for(sandbox) as engine:
        error = await outcome(engine, at(path), method=method, on_progress=a_line_more)
    assert isinstance(error, SourceChangedError)
    assert error.receipt.status == "failed"
    assert error.receipt.attempts == 3
    assert growths > 3
    assert sandbox.events("message") == sandbox.events("blob") == []


@pytest.mark.parametrize("method", ["upload", "embed"])
async def test_a_file_deleted_while_it_is_sent_arrives(engine_for, sandbox, tmp_path, method):
    path = tmp_path / "a.pdf"
    path.write_bytes(data := pattern(BIG_BYTES))
    async with engine_for(sandbox, timeouts=PATIENTLY) as engine:
        receipt = await stopped_in_the_middle(sandbox, engine, path, method, path.unlink)
    assert receipt.status == "accepted", receipt
    assert sandbox.events("message")[0]["sha256"] == sha256(data)


async def test_a_file_replaced_by_rename_arrives_as_it_was_opened(engine_for, sandbox, tmp_path):
    path, other = tmp_path / "a.pdf", tmp_path / "b.pdf"
    path.write_bytes(data := pattern(BIG_BYTES))
    other.write_bytes(pattern(BIG_BYTES, seed=1))
    async with engine_for(sandbox, timeouts=PATIENTLY) as engine:
        receipt = await stopped_in_the_middle(
            sandbox, engine, path, "upload", lambda: os.replace(other, path)
        )
    assert receipt.status == "accepted", receipt
    assert sandbox.events("message")[0]["sha256"] == sha256(data) == receipt.sha256


async def test_a_file_that_grows_over_the_limit_between_tries_is_refused(engine_for, sandbox, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(pattern(BIG_BYTES))
    async with engine_for(sandbox, timeouts=PATIENTLY) as engine:
        error = await stopped_in_the_middle(
            sandbox, engine, path, "upload", lambda: os.truncate(path, 30_000_001)
        )
    assert isinstance(error, TooLargeError)
    assert sandbox.events("message") == sandbox.events("blob") == []
