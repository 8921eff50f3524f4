"""The event log is on the disk before its answer, and requests are counted."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from chartsend.sandbox.events import Event, EventLog
from chartsend.testing.sandbox import SandboxError


def test_events_have_all_their_fields_in_one_order(sandbox, client):
    client.binary(b"x")
    client.create(client.bundle(data="QQ=="))

    for event in sandbox.events():
        assert list(event) == [
            "seq", "at", "kind", "api", "method", "model", "event_type", "destination",
            "document_id", "reference", "bytes", "sha256", "log_id",
        ]  # fmt: skip
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["at"])
    assert [event["seq"] for event in sandbox.events()] == [1, 2, 3]


def test_events_after_a_sequence_number(sandbox, client):
    for _ in range(4):
        client.binary(b"x")

    assert [e["seq"] for e in sandbox.events(after=3)] == [4, 5]
    assert sandbox.events(after=5) == sandbox.events(after=99) == []
    assert sandbox.events(after=0) == sandbox.events()


@pytest.mark.parametrize("after", ["x", "-1", "1.5", "%C2%B2", "9" * 20])
def test_a_sequence_number_that_is_none_is_refused(shared, after):
    with pytest.raises(SandboxError, match="400"):
        shared.ask("GET", f"/_sandbox/events?after={after}")


def test_start_up_writes_no_event(sandbox):
    assert sandbox.events() == []
    assert sandbox.requests()["total"] == 0


def test_requests_are_counted_by_kind_and_status(sandbox, client):
    client.binary(b"x")
    client.binary(b"")
    client.request("POST", "/nothing")
    client.request("GET", "/_sandbox/events")

    counts = sandbox.requests()

    assert counts["seen"] == {"token": 1, "blob": 2, "other": 1}
    assert counts["statuses"] == {
        "token": {"200": 1},
        "blob": {"201": 1, "400": 1},
        "other": {"404": 1},
    }
    assert (counts["total"], counts["tokens_issued"], counts["over_quota"]) == (4, 1, 0)


def test_an_event_waits_for_the_sync(tmp_path, monkeypatch):
    """Nobody hears of an event before fdatasync has returned, and one sync serves all that wait."""
    import os
    import threading

    may_sync = threading.Event()
    synced_sizes = []
    real = os.fdatasync

    def slow(fd):
        may_sync.wait(10)
        real(fd)
        synced_sizes.append(os.fstat(fd).st_size)

    monkeypatch.setattr(os, "fdatasync", slow)

    async def main():
        log = EventLog(tmp_path / "events")
        heard = []

        async def append():
            heard.append(await log.append(Event(kind="token")))

        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(append)
            while not (tmp_path / "events").stat().st_size:  # a thread writes it
                await anyio.sleep(0.01)
            assert heard == []
            assert b"".join(log.read(0)) == b""
            may_sync.set()
        assert sorted(heard) == list(range(1, 51))
        assert len(b"".join(log.read(0)).splitlines()) == 50
        assert len(b"".join(log.read(48)).splitlines()) == 2
        log.close()

    anyio.run(main)
    assert len(synced_sizes) <= 3


def test_a_failed_sync_is_heard_and_leaves_no_event(tmp_path, monkeypatch):
    import os

    real = os.fdatasync

    def fail(fd):
        raise OSError(5, "Input/output error")

    async def main():
        log = EventLog(tmp_path / "events")
        await log.append(Event(kind="blob"))
        monkeypatch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="Input/output"):
            await log.append(Event(kind="message"))
        monkeypatch.setattr(os, "fdatasync", real)
        await log.append(Event(kind="token"))
        lines = b"".join(log.read(0)).splitlines()
        assert [b"blob" in lines[0], b"token" in lines[1], len(lines)] == [True, True, 2]
        assert len(b"".join(log.read(1)).splitlines()) == 1
        log.close()

    anyio.run(main)


def test_the_answer_of_the_process_comes_after_its_sync(sandbox, client, tmp_path):
    """Seen from outside: with every fdatasync 0.5 s late, so is the answer, and the line is there."""
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-p", str(sandbox.pid), "-o", str(trace)]
    command += ["-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=500000"]
    try:
        strace = subprocess.Popen(command, stderr=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    with strace:
        line = strace.stderr.readline()
        if b"attached" not in line:
            pytest.skip(f"strace may not attach here: {line!r}")
        try:
            began_at = time.monotonic()
            assert client.binary(b"x").status == 201
            took_s = time.monotonic() - began_at
        finally:
            strace.send_signal(signal.SIGINT)
            strace.stderr.read()
    assert took_s >= 0.5
    assert "fdatasync" in trace.read_text()


def test_many_events_at_once_are_all_written_in_order(sandbox, client):
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda n: client.binary(b"%d" % n).status, range(200)))

    events = sandbox.events()
    assert statuses == [201] * 200
    assert [event["seq"] for event in events] == list(range(1, 202))
    assert len({event["sha256"] for event in events}) == 201  # and None for the token
