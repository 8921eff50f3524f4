"""Many documents that are stopped on the way: what was not under way by then is never sent."""

from __future__ import annotations

import anyio
import pytest

from chartsend import Document, Engine
from chartsend.errors import SourceMissingError


@pytest.fixture
def documents(make_file, described):
    """A function: a word for each document to documents; those called `missing` are not there."""
    path, _ = make_file(57)

    def make(*words):
        for number, word in enumerate(words):
            source = "/nowhere/x.pdf" if word == "missing" else path
            yield Document.from_path(source, document_id=str(number), **described)

    return make


@pytest.fixture
def stalled(sandbox):
    """The sandbox reads no message until its faults are cleared."""
    sandbox.fault(on="message", do="stop_reading", times=None)
    return sandbox


def messages(sandbox):
    return sorted(e["document_id"] for e in sandbox.events() if e["kind"] == "message")


class Left:
    """Knows when so many bodies have left whole."""

    def __init__(self, count):
        self._missing = count
        self.all = anyio.Event()

    def note(self, progress):
        self._missing -= progress.sent_bytes == progress.declared_bytes
        if not self._missing:
            self.all.set()


@pytest.mark.parametrize("failing", [0, 1, 4])
async def test_after_the_first_failure_no_further_document_is_sent(
    sandbox, settings_of, documents, failing
):
    many = documents(*["there"] * failing, "missing", *["there"] * 5)
    statuses = []
    async with Engine(settings_of(sandbox, concurrency=1)) as engine:
        with pytest.raises(SourceMissingError):
            async with engine.send_many(many, to=sandbox.info.destination, fail_fast=True) as receipts:
                async for receipt in receipts:  # the list is wanted although the loop ends in an error
                    statuses.append(receipt.status)  # noqa: PERF401

    assert statuses == ["accepted"] * failing + ["failed"]
    assert messages(sandbox) == [str(number) for number in range(failing)]


@pytest.mark.parametrize("workers", [1, 2])
async def test_once_it_is_over_only_what_is_under_way_ends(stalled, settings_of, documents, workers):
    is_over = False
    left = Left(3)
    found = []

    async def send(engine):
        async with engine.send_many(
            documents(*["there"] * 20),
            to=stalled.info.destination,
            is_over=lambda: is_over,
            on_progress=left.note,
        ) as receipts:
            found.extend([(each.document_id, each.status) async for each in receipts])

    async with Engine(settings_of(stalled, concurrency=3), workers=workers) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, engine)
            await left.all.wait()
            is_over = True
            stalled.clear_faults()

    assert sorted(found) == [("0", "accepted"), ("1", "accepted"), ("2", "accepted")]
    assert messages(stalled) == ["0", "1", "2"]


async def test_a_document_that_waited_for_its_slot_is_not_sent_once_it_is_over(
    stalled, settings_of, documents, make_file, described
):
    other = Document.from_path(make_file(58)[0], document_id="other", **described)
    left, handed, is_over = Left(1), anyio.Event(), False
    asked = 0
    found = []

    def ask():
        nonlocal asked
        asked += 1
        if asked == 2:  # when it was taken, and when a worker had it
            handed.set()
        return is_over

    async def send_other(engine):
        await engine.send(other, to=stalled.info.destination, on_progress=left.note)

    async def send_one(engine):
        async with engine.send_many(
            documents("there"), to=stalled.info.destination, is_over=ask
        ) as receipts:
            found.extend([each async for each in receipts])

    async with Engine(settings_of(stalled, concurrency=1)) as engine:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send_other, engine)
            await left.all.wait()
            tasks.start_soon(send_one, engine)
            await handed.wait()
            is_over = True
            stalled.clear_faults()

    assert found == []
    assert messages(stalled) == ["other"]
