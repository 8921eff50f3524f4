"""Nothing in aio may hang its caller, and nothing is closed while it is used."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import weakref

import anyio
import pytest

from chartsend.aio import Deadline, Lane, Shared, close_within, finish


class Resource:
    def __init__(self):
        self.closed = 0
        self.shared = Shared(self.close)

    def close(self):
        self.closed += 1


async def test_a_call_that_hangs_is_left_behind_and_keeps_what_it_uses():
    lane, resource, go = Lane(threads=1), Resource(), threading.Event()
    loop, started = asyncio.get_running_loop(), asyncio.Event()

    def hang():
        loop.call_soon_threadsafe(started.set)
        go.wait()

    call = asyncio.ensure_future(lane.run(resource.shared, hang))
    await started.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    resource.shared.let_go()  # the owner has gone
    assert resource.closed == 0
    assert lane.running == 1

    go.set()
    await lane.aclose()
    assert resource.closed == 1
    assert lane.running == 0


async def test_calls_that_were_cancelled_before_they_started_do_not_pile_up():
    lane, go = Lane(threads=2), threading.Event()
    hanging = [Resource() for _ in range(2)]
    loop, begun = asyncio.get_running_loop(), threading.Semaphore(0)

    def begin():
        begun.release()
        go.wait()

    async with anyio.create_task_group() as tasks:
        for resource in hanging:
            tasks.start_soon(lane.run, resource.shared, begin)
        for _ in hanging:
            await loop.run_in_executor(None, begun.acquire)
        for _ in range(50):
            resource = Resource()
            with anyio.move_on_after(0):
                await lane.run(resource.shared, go.wait)
            resource.shared.let_go()
            assert resource.closed == 1
        assert lane.running == 2
        go.set()
    await lane.aclose()


async def test_threads_are_bounded_reused_and_gone_after_closing():
    lane = Lane(threads=3, name="bounded")
    seen = set()

    def work():
        seen.add(threading.get_ident())

    async with anyio.create_task_group() as tasks:
        for _ in range(100):
            tasks.start_soon(lane.run, Resource().shared, work)
    assert 1 <= len(seen) <= 3
    await lane.aclose()
    assert not [t for t in threading.enumerate() if t.name == "bounded"]


async def test_an_exception_of_the_call_is_raised_where_it_was_awaited():
    lane = Lane(threads=1)

    def work():
        raise OSError(5, "EIO")

    with pytest.raises(OSError, match="EIO"):
        await lane.run(Resource().shared, work)
    await lane.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await lane.run(Resource().shared, work)


def test_a_parked_call_does_not_keep_the_interpreter_from_ending():
    program = """
import asyncio, time, threading
from chartsend.aio import Lane, Shared
import anyio
async def main():
    lane = Lane(threads=1)
    with anyio.move_on_after(0.05):
        await lane.run(Shared(lambda: None), time.sleep, 3600)
    await lane.aclose()
asyncio.run(main())
print("ended")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=True)
    assert done.stdout == b"ended\n"


@pytest.mark.parametrize("how", ["task", "scope"])
async def test_a_fact_is_noted_although_the_caller_is_cancelled(how):
    noted, started = [], asyncio.Event()

    async def note():
        started.set()
        await asyncio.sleep(0.01)
        noted.append(1)

    async def caller(scope):
        with scope:
            await finish(5, note)
            raise AssertionError("the cancellation is passed on")

    scope = anyio.CancelScope()
    task = asyncio.ensure_future(caller(scope))
    await started.wait()
    if how == "task":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        scope.cancel()
        await task
    assert noted == [1]


@pytest.mark.parametrize("turns", [0, 1, 2, 5])
async def test_a_fact_is_noted_however_often_the_caller_is_cancelled(turns):
    noted, started, go = [], asyncio.Event(), asyncio.Event()

    async def note():
        started.set()
        await go.wait()
        noted.append(1)

    task = asyncio.ensure_future(finish(30, note))
    await started.wait()
    for _ in range(6):
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert noted == [1]


@pytest.mark.parametrize("times", [1, 4])
async def test_a_fact_is_noted_although_every_task_is_cancelled_before_it_begins(times):
    noted, before = [], asyncio.all_tasks()

    async def note():
        noted.append(1)

    task = asyncio.ensure_future(finish(30, note))
    await asyncio.sleep(0)  # it has made its own task, which has not begun
    for _ in range(times):
        for each in asyncio.all_tasks() - before:
            each.cancel()
        if times > 1:
            await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert noted == [1]


async def test_what_noting_raises_is_logged_when_the_caller_has_gone(caplog):
    started, go = asyncio.Event(), asyncio.Event()

    async def note():
        started.set()
        await go.wait()
        raise TimeoutError

    task = asyncio.ensure_future(finish(30, note))
    await started.wait()
    task.cancel()
    await asyncio.sleep(0)
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert "TimeoutError" in caplog.text


async def test_noting_is_given_up_after_a_bound_when_the_caller_has_gone():
    started = asyncio.Event()

    async def note():
        started.set()
        await asyncio.sleep(3600)

    task = asyncio.ensure_future(finish(0.05, note))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_the_error_of_noting_is_the_callers_error():
    async def note():
        raise TimeoutError("the ledger's own")

    with pytest.raises(TimeoutError, match="the ledger's own"):
        await finish(5, note)


async def test_closing_is_shielded_bounded_and_keeps_the_first_failure(caplog):
    closed = []

    async def close():
        await asyncio.sleep(0)
        closed.append(1)

    async def hang():
        await asyncio.sleep(3600)

    async def fail():
        raise OSError

    with anyio.CancelScope() as scope:
        scope.cancel()
        await close_within(1, close)
    assert closed == [1]
    await close_within(0.01, hang)
    await close_within(1, fail)
    assert "longer than" in caplog.text
    assert "OSError" in caplog.text


async def test_deadlines():
    assert Deadline.after(None).remaining_s == float("inf")
    assert Deadline.after(0).has_passed
    assert 0 < Deadline.after(60).remaining_s <= 60
    assert Deadline.after(60).sooner_of(5).remaining_s <= 5
    for bad in (-1, float("nan")):
        with pytest.raises(ValueError, match="deadline"):
            Deadline.after(bad)


@pytest.mark.parametrize("closing", [None, OSError(5, "EIO")])
async def test_a_thread_lives_on_whatever_a_call_or_its_closing_raises(caplog, closing):
    lane = Lane(threads=1)

    def close():
        if closing is not None:
            raise closing

    def exits():
        raise SystemExit(3)

    for _ in range(3):
        shared = Shared(close)
        call = asyncio.ensure_future(lane.run(shared, threading.get_ident))
        await asyncio.sleep(0)  # submitted
        shared.let_go()  # the owner goes first, so the thread is the one that closes
        assert await call != threading.get_ident()
    with pytest.raises(SystemExit):
        await lane.run(Resource().shared, exits)
    assert await lane.run(Resource().shared, len, "abc") == 3
    await lane.aclose()
    assert lane.running == 0
    assert caplog.text.count("closing failed: OSError") in ({0} if closing is None else {1, 2, 3})


async def test_a_call_that_was_withdrawn_never_runs():
    lane, go, ran = Lane(threads=1), threading.Event(), []
    loop, begun = asyncio.get_running_loop(), asyncio.Event()

    def hang():
        loop.call_soon_threadsafe(begun.set)
        go.wait()

    first, second = Resource(), Resource()
    hanging = asyncio.ensure_future(lane.run(first.shared, hang))
    await begun.wait()
    waiting = asyncio.ensure_future(lane.run(second.shared, ran.append, 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    second.shared.let_go()
    assert second.closed == 1
    assert lane.running == 1
    go.set()
    await hanging
    assert await lane.run(Resource().shared, len, "abc") == 3
    assert ran == []
    await lane.aclose()


def test_a_call_outlives_its_event_loop_in_silence():
    lane, go, resource = Lane(threads=1), threading.Event(), Resource()

    async def leave():
        with anyio.move_on_after(0.01):
            await lane.run(resource.shared, go.wait)

    asyncio.run(leave())
    resource.shared.let_go()
    go.set()

    async def close():
        await lane.aclose()

    asyncio.run(close())
    assert resource.closed == 1


async def test_what_a_call_raised_is_freed_with_it():
    lane = Lane(threads=1)

    class Buffer:
        pass

    async def fails():
        buffer = Buffer()
        gone = weakref.ref(buffer)

        def work(_):
            raise OSError(5, "EIO")

        try:
            await lane.run(Resource().shared, work, buffer)
        except OSError:
            return gone
        raise AssertionError("the call has failed")

    gc.collect()
    gc.disable()
    try:
        gone = await fails()
        await lane.run(Resource().shared, int)  # the thread has let go of the call before
        assert gone() is None
    finally:
        gc.enable()
        await lane.aclose()


async def test_a_call_whose_thread_cannot_be_started_is_not_made_later(monkeypatch):
    lane, ran, first = Lane(threads=2), [], Resource()
    start = threading.Thread.start

    def no_thread(_):
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(RuntimeError, match="can't start"):
        await lane.run(first.shared, ran.append, "first")
    first.shared.let_go()
    assert first.closed == 1
    assert lane.running == 0
    await lane.run(Resource().shared, ran.append, "second")
    await lane.aclose()
    assert ran == ["second"]
