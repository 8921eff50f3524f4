"""Many documents through a bounded pool: nothing piles up, nothing stays behind."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from chartsend import Document, Engine, Settings, TransferError
from chartsend.aio import Deadline
from chartsend.errors import DeadlineExceededError, InvalidDocumentError
from chartsend.pool import LARGEST_CHUNK_BYTES, SMALLEST_CHUNK_BYTES, Pool, buffers_of, chunk_for


@pytest.mark.parametrize("slots", [1, 2, 16, 64, 256, 1000, 4096])
@pytest.mark.parametrize("budget", [64 * 1024, 1 << 20, 64 << 20, 1 << 30])
def test_all_slots_together_stay_within_the_budget_and_one_may_always_run(slots, budget):
    pool = Pool(concurrency=slots, buffer_bytes=budget)

    assert 1 <= pool.slots <= slots
    assert pool.slots == 1 or pool.slots * buffers_of(pool.chunk_bytes) <= budget
    assert pool.chunk_bytes % 3 == 0
    assert SMALLEST_CHUNK_BYTES <= pool.chunk_bytes <= LARGEST_CHUNK_BYTES


def test_chunks_shrink_as_slots_grow():
    chunks = [chunk_for(64 << 20, slots) for slots in (16, 128, 256, 512)]

    assert chunks == sorted(chunks, reverse=True)
    assert chunks[0] == LARGEST_CHUNK_BYTES
    assert chunks[-1] < LARGEST_CHUNK_BYTES


async def test_a_slow_consumer_slows_the_producer():
    pool = Pool(concurrency=4, buffer_bytes=1 << 20)
    produced = 0

    def endless():
        nonlocal produced
        while True:
            produced += 1
            yield produced

    async def work(item):
        return item

    async with pool.many(endless(), work) as results:
        for taken in range(1, 51):
            await anext(results)
            await anyio.wait_all_tasks_blocked()
            # In hand: one offered by the feeder, one result with each of the four workers.
            assert produced <= taken + pool.slots + 2


async def test_never_more_than_the_slots_run_at_once_and_all_of_them_do():
    pool = Pool(concurrency=3, buffer_bytes=1 << 20)
    running, most = 0, 0
    together = asyncio.Barrier(3)  # passed only when three of them run at once

    async def work(item):
        nonlocal running, most
        async with pool.slot(Deadline.after(None)):
            running += 1
            most = max(most, running)
            await together.wait()
            running -= 1
        return item

    async with pool.many(range(99), work) as results:
        assert sorted([r async for r in results]) == list(range(99))
    assert most == 3
    assert pool.in_flight == 0


async def test_a_slot_that_does_not_come_in_time_is_an_error_and_takes_nothing():
    pool = Pool(concurrency=1, buffer_bytes=1 << 20)

    async with pool.slot(Deadline.after(None)):
        with pytest.raises(DeadlineExceededError):
            async with pool.slot(Deadline.after(0.01)):
                pass
    assert pool.in_flight == 0


@pytest.mark.parametrize("slots", [1, 3])
async def test_what_was_taken_is_not_begun_once_it_is_over(slots):
    pool = Pool(concurrency=slots, buffer_bytes=1 << 20)
    begun, is_over = [], False

    async def work(item):
        nonlocal is_over
        begun.append(item)
        await anyio.wait_all_tasks_blocked()  # the next item has been taken, and waits for a worker
        is_over = True
        return item

    async with pool.many(range(99), work, is_over=lambda: is_over) as results:
        found = [each async for each in results]

    assert sorted(found) == begun == list(range(slots))


async def test_an_exception_of_the_producer_is_raised_as_it_is(baseline):
    pool = Pool(concurrency=2, buffer_bytes=1 << 20)

    async def broken():
        yield 1
        raise LookupError("the list ended badly")

    async def work(item):
        return item

    with pytest.raises(LookupError, match="ended badly"):
        async with pool.many(broken(), work) as results:
            async for _ in results:
                pass
    await baseline.check()


async def test_an_exception_in_the_block_is_raised_as_it_is_and_the_producer_is_closed(baseline):
    pool = Pool(concurrency=2, buffer_bytes=1 << 20)
    closed = False

    async def endless():
        nonlocal closed
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            closed = True

    async def work(item):
        return item

    with pytest.raises(ValueError, match="mine"):
        async with pool.many(endless(), work) as results:
            async for _ in results:
                raise ValueError("mine")
    assert closed
    await baseline.check()


async def test_failures_are_receipts_and_the_others_go_on(sandbox, settings_of, make_file, described):
    path, _ = make_file(57)
    documents = [
        Document.from_path(path, document_id="a", **described),
        Document.from_path("/nowhere/b.pdf", document_id="b", **described),
        Document.from_bytes(b"no identity", title="c.txt", **described),
        Document.from_path(path, document_id="d"),
        Document.from_path(path, document_id="e", **described),
    ]
    async with Engine(settings_of(sandbox)) as engine:
        async with engine.send_many(documents, to=sandbox.info.destination, model="notes") as receipts:
            found = {r.document_id: r async for r in receipts}

    assert {k: (r.status, r.error and r.error.code) for k, r in found.items()} == {
        "a": ("accepted", None),
        "b": ("failed", "source_missing"),
        "": ("failed", "invalid_document"),
        "d": ("failed", "invalid_document"),
        "e": ("accepted", None),
    }


async def test_fail_fast_raises_the_first_failure(sandbox, settings_of, described, baseline):
    documents = (Document.from_bytes(b"no identity", title="x.txt", **described) for _ in range(9))
    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(InvalidDocumentError, match="document_id"):
            async with engine.send_many(
                documents, to=sandbox.info.destination, fail_fast=True
            ) as receipts:
                async for _ in receipts:
                    pass
    await baseline.check()


@pytest.mark.parametrize("how", ["break", "raise", "cancel"])
async def test_leaving_early_leaves_nothing_behind(
    sandbox, settings_of, make_file, described, baseline, how
):
    path, _ = make_file(5_000_000)
    sandbox.fault(on="blob", do="stop_reading", after_bytes=100_000, skip=4, times=None)

    def endless():
        for number in range(1_000_000):
            yield Document.from_path(path, document_id=str(number), **described)

    async def run(scope):
        async with Engine(settings_of(sandbox)) as engine:
            async with engine.send_many(endless(), to=sandbox.info.destination) as receipts:
                async for receipt in receipts:
                    assert receipt.status == "accepted"
                    if how == "break":
                        break
                    if how == "raise":
                        raise ZeroDivisionError
                    scope.cancel()
            assert engine.statistics().sends_in_flight == 0

    with anyio.CancelScope() as scope:
        if how == "raise":
            with pytest.raises(ZeroDivisionError):
                await run(scope)
        else:
            await run(scope)
    await baseline.check()


async def test_progress_is_told_up_to_the_last_byte(sandbox, settings_of, make_file, described):
    told = []
    async with Engine(settings_of(sandbox)) as engine:
        await engine.send(
            Document.from_path(make_file(5_000_000)[0], **described),
            to=sandbox.info.destination,
            on_progress=told.append,
        )

    assert told[-1].sent_bytes == told[-1].declared_bytes
    assert any(p.declared_bytes == 5_000_000 == p.sent_bytes for p in told)


async def test_a_progress_callback_that_raises_decides_nothing(
    sandbox, settings_of, make_file, described, caplog
):
    def broken(progress):
        raise ZeroDivisionError

    async with Engine(settings_of(sandbox)) as engine:
        for size, attempts in ((1, 1), (5_000_000, 2)):
            receipt = await engine.send(
                Document.from_path(make_file(size)[0], **described),
                to=sandbox.info.destination,
                on_progress=broken,
            )
            assert (receipt.status, receipt.attempts) == ("accepted", attempts)

    assert "on_progress raised ZeroDivisionError" in caplog.text


async def test_fail_fast_lets_sends_under_way_end_and_then_raises(
    sandbox, settings_of, make_file, described, baseline
):
    path, _ = make_file(5_000_000)
    sandbox.fault(on="message", do="delay", seconds=0.3, times=None)
    taken = 0

    def documents():
        nonlocal taken
        for number in range(1000):
            taken += 1
            source = "/nowhere/x.pdf" if number == 4 else path
            yield Document.from_path(source, document_id=str(number), **described)

    statuses = []
    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(TransferError) as caught:
            async with engine.send_many(
                documents(), to=sandbox.info.destination, fail_fast=True
            ) as receipts:
                async for receipt in receipts:  # the list is wanted although the loop ends in an error
                    statuses.append(receipt.status)  # noqa: PERF401
    await baseline.check()

    assert caught.value.code == "source_missing"
    assert taken < 100
    assert statuses.count("failed") == 1
    assert set(statuses) == {"failed", "accepted"}
    arrived = [e for e in sandbox.events() if e["kind"] == "message"]
    assert len(arrived) == statuses.count("accepted")


@pytest.mark.parametrize(
    ("deadline_s", "change"),
    [(0, {}), (600, {"document_id": None}), (600, {"type": None})],
    ids=["no slot in time", "no identity", "a field is missing"],
)
async def test_every_failure_of_a_send_has_a_receipt(
    sandbox, settings_of, described, deadline_s, change
):
    fields = {"document_id": "1", **described, **change}
    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(TransferError) as caught:
            await engine.send(
                Document.from_bytes(b"x", title="x.txt", **fields),
                to=sandbox.info.destination,
                deadline_s=deadline_s,
            )

    assert caught.value.receipt.status == "failed"
    assert caught.value.receipt.error.code == caught.value.code


async def test_an_engine_that_is_not_open_says_so(make_file, described):
    engine = Engine(Settings(environment="Development"))

    with pytest.raises(RuntimeError, match="not open"):
        await engine.send(Document.from_path(make_file(1)[0], **described), to="x")


async def test_an_engine_in_another_event_loop_says_so(sandbox, settings_of, make_file, described):
    async with Engine(settings_of(sandbox)) as engine:
        document = Document.from_path(make_file(1)[0], **described)

        def elsewhere():
            return asyncio.run(engine.send(document, to=sandbox.info.destination))

        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="another event loop"):
            await loop.run_in_executor(None, elsewhere)
