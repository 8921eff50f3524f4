"""A send cancelled at any of its suspension points leaves nothing open, and never a silent message.

The driver runs the coroutine step by step inside a real task and cancels it at its k-th suspension,
for every k until the send ends before that: with `task.cancel()`, and with an anyio scope. The body
of a request runs in a task of aiohttp's, so a second driver counts *its* suspensions and cancels the
send at each of them.
"""

from __future__ import annotations

import asyncio
import os

import anyio
import pytest

from chartsend import Document, Engine
from chartsend.transport.body import StreamingBody

CHUNKS_BYTES = 400_000  # five chunks: enough to be cancelled before, within and after the body


class Trigger:
    """Calls `act` when it is told for the `at`-th time."""

    def __init__(self, at, act):
        self.left, self.act = at, act

    def step(self):
        self.left -= 1
        if self.left == 0:
            self.act()


class Steps:
    """Awaits a coroutine and tells the trigger whenever it suspends."""

    def __init__(self, coroutine, trigger):
        self.coroutine, self.trigger = coroutine, trigger

    def __await__(self):
        steps = self.coroutine.__await__()
        value, error = None, None
        while True:
            try:
                waits_for = steps.send(value) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            self.trigger.step()
            value, error = None, None
            try:
                value = yield waits_for
            except BaseException as exc:  # noqa: BLE001
                error = exc


async def by_task(coroutine, at) -> bool:
    """Whether it was cancelled; False when it ended before its `at`-th suspension."""

    async def run():
        task = asyncio.current_task()
        return await Steps(coroutine, Trigger(at, task.cancel))

    task = asyncio.ensure_future(run())
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


async def by_scope(coroutine, at) -> bool:
    with anyio.CancelScope() as scope:
        await Steps(coroutine, Trigger(at, scope.cancel))
        return scope.cancel_called
    return True


class Journal:
    """Remembers what it was told."""

    def __init__(self):
        self.intents, self.results = [], {}

    async def intent(self, intent):
        await asyncio.sleep(0)
        self.intents.append(intent)

    async def uploaded(self, uploaded):
        await asyncio.sleep(0)

    async def result(self, row, receipt):
        await asyncio.sleep(0)
        self.results[receipt.document_id] = receipt.status


def from_path(path, **fields):
    return Document.from_path(path, **fields)


def from_cold_path(path, **fields):
    """The page cache is emptied, so that every read takes the way through a thread."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    return Document.from_path(path, **fields)


def from_stream(path, **fields):
    async def pieces():
        with open(path, "rb") as file:
            while piece := file.read(70_000):
                await asyncio.sleep(0)
                yield piece

    return Document.from_stream(pieces, size_bytes=CHUNKS_BYTES, title="stream.bin", **fields)


CASES = [
    (from_path, "fhir", "upload"),
    (from_path, "data-model", "upload"),
    (from_path, "fhir", "embed"),
    (from_cold_path, "fhir", "embed"),
    (from_stream, "data-model", "embed"),
    (from_stream, "fhir", "upload"),
]


async def check_all(cancelled_at, sandbox, settings, make, path, fields, route, baseline):
    """Send with a cancellation at 1, 2, 3, …; return how many there were until one came too late."""
    journal = Journal()
    for at in range(1, 1000):
        document = make(path, document_id=f"{at}", **fields)
        async with Engine(settings, journal=journal) as engine:
            send = engine.send(document, to=sandbox.info.destination, **route)
            was_cancelled = await cancelled_at(send, at)
            assert engine.statistics().sends_in_flight == 0
        await baseline.check()
        if not was_cancelled:
            break
    # The judge is the sandbox's own record: whatever it took although the send was cancelled is
    # known to the journal as in doubt (or as accepted, when only the return was cancelled).
    took = [e["document_id"] for e in sandbox.events() if e["kind"] == "message"]
    assert len(took) == len(set(took))
    for document_id in took:
        assert journal.results.get(document_id) in {"in_doubt", "accepted"}, document_id
    # And whatever is possibly applied had its intent told first.
    intended = {i.document_id for i in journal.intents if i.step == "message"}
    assert {d for d, status in journal.results.items() if status == "in_doubt"} <= intended
    assert set(took) <= intended
    assert f"{at}" in took  # the last one, which was not cancelled
    return at - 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cancel", [by_task, by_scope])
@pytest.mark.parametrize(("make", "api", "method"), CASES)
async def test_cancelled_at_every_suspension_point_of_the_send(
    sandbox, settings_of, make_file, described, baseline, cancel, make, api, method
):
    path, _ = make_file(CHUNKS_BYTES)
    settings = settings_of(sandbox, buffer_bytes=64 * 1024)  # small chunks: more suspension points
    route = {"api": api, "method": method}

    points = await check_all(cancel, sandbox, settings, make, path, described, route, baseline)

    assert points > 8


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("make", "api", "method"), CASES)
async def test_cancelled_at_every_suspension_point_of_its_bodies(
    sandbox, settings_of, make_file, described, baseline, monkeypatch, make, api, method
):
    path, _ = make_file(CHUNKS_BYTES)
    settings = settings_of(sandbox, buffer_bytes=64 * 1024)
    write = StreamingBody.write_with_length

    async def cancelled_at(send, at):
        task = asyncio.ensure_future(send)
        trigger = Trigger(at, task.cancel)
        with monkeypatch.context() as patch:  # counts the suspensions; changes nothing else
            patch.setattr(StreamingBody, "write_with_length", lambda *a: Steps(write(*a), trigger))
            try:
                await task
            except asyncio.CancelledError:
                return True
        return False

    points = await check_all(
        cancelled_at, sandbox, settings, make, path, described, {"api": api, "method": method}, baseline
    )

    assert points > 60


@pytest.mark.parametrize("cancel", ["task", "scope"])
@pytest.mark.parametrize("method", ["upload", "embed"])
async def test_cancelled_after_the_last_byte_the_journal_learns_that_the_outcome_is_unknown(
    sandbox, settings_of, make_file, described, baseline, cancel, method
):
    sandbox.fault(on="message", do="delay", seconds=60)
    path, _ = make_file(CHUNKS_BYTES)
    journal = Journal()
    async with Engine(settings_of(sandbox), journal=journal) as engine:
        document = Document.from_path(path, document_id="late", **described)

        async def run(scope):
            with scope:
                await engine.send(document, to=sandbox.info.destination, method=method)

        scope = anyio.CancelScope()
        task = asyncio.ensure_future(run(scope))
        while not any(e["kind"] == "message" for e in sandbox.events()):  # committed, not answered
            assert not task.done(), task
            await asyncio.sleep(0.01)
        if cancel == "task":
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        else:
            scope.cancel()
            await task
    await baseline.check()

    assert journal.results == {"late": "in_doubt"}
