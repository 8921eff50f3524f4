"""Who gets a turn, when, and what becomes of those who go away or have no time."""

from __future__ import annotations

import asyncio
import fcntl
import math
import os
import time
from typing import TYPE_CHECKING

import anyio
import pytest

from chartsend.aio import Deadline
from chartsend.errors import DeadlineExceededError, Phase
from chartsend.ports import Operation
from chartsend.transport.quota.clock import SECOND_NS, boot_ns

if TYPE_CHECKING:
    from chartsend.transport.quota import Quota, Turn
    from chartsend.transport.quota.line import Waiter

NEVER = Deadline(math.inf)
MESSAGE = Operation.MESSAGE


async def fill(quota: Quota, count: int) -> list[Turn]:
    return [await quota.take(MESSAGE, NEVER) for _ in range(count)]


async def until(condition) -> None:
    """Wait for what other tasks do."""
    with anyio.fail_after(30):
        while not condition():
            await anyio.sleep(0.001)


def waiting(quota: Quota) -> list[Waiter]:
    return [waiter for waiter, _ in quota._line.everybody()]


async def test_what_was_answered_counts_for_a_whole_window_and_no_longer(terms, opened, clock, has_room):
    quota = opened(terms(3), clock=clock)
    for turn in await fill(quota, 3):
        quota.answered(turn)
    clock.pass_s(299.999_999)
    assert not await has_room(quota)
    clock.pass_s(0.000_001)
    assert await has_room(quota)


async def test_what_is_in_flight_counts_until_a_window_after_its_answer(terms, opened, clock, has_room):
    quota = opened(terms(2), clock=clock)
    first, second = await fill(quota, 2)
    clock.pass_s(1000)
    assert not await has_room(quota)
    quota.answered(first)
    clock.pass_s(299)
    assert not await has_room(quota)
    clock.pass_s(1)
    assert await has_room(quota)
    quota.answered(second)


async def test_a_batch_leaves_a_tenth_free_for_real_time(terms, opened, clock, has_room):
    batch = opened(terms(100), priority="backfill", clock=clock)
    live = opened(terms(100), clock=clock)
    count = 0
    while await has_room(batch):
        count += 1
    assert count == 90
    assert batch.state().reserved == 10
    while await has_room(live):
        count += 1
    assert count == 100
    assert live.state().backfill_free_in_s > 0


async def test_the_share_of_a_batch_is_a_setting(terms, opened, clock, has_room):
    batch = opened(terms(100, backfill_share=0.25), priority="backfill", clock=clock)
    count = 0
    while await has_room(batch):
        count += 1
    assert count == 25


async def test_what_does_not_count_by_setting_takes_no_place_and_needs_none(
    terms, opened, clock, has_room
):
    quota = opened(terms(2, counts=frozenset({MESSAGE})), clock=clock)
    for _ in range(5):
        assert await has_room(quota, operation=Operation.TOKEN)
    turns = await fill(quota, 2)
    assert not await has_room(quota)
    assert await has_room(quota, operation=Operation.UPLOAD)
    assert quota.state().used == quota.state().in_flight == 2
    for turn in turns:
        quota.answered(turn)
    quota.pause(30)
    assert not await has_room(quota, operation=Operation.TOKEN)  # a pause is for everything


async def test_everything_counts_by_default(terms, opened, clock, has_room):
    quota = opened(terms(5, counts=frozenset(Operation)), clock=clock)
    for operation in Operation:
        assert await has_room(quota, operation=operation)
    assert not await has_room(quota)  # the last place is for a token
    assert await has_room(quota, operation=Operation.TOKEN)
    assert not await has_room(quota, operation=Operation.TOKEN)
    assert quota.state().used == quota.state().limit == 5


async def test_requests_that_wait_for_a_token_never_hold_the_place_that_it_needs(terms, opened):
    """Also when as many as there may be hold a place, and others are in line before it."""
    quota = opened(terms(3, 600.0, counts=frozenset(Operation)))
    order = []

    async def take(operation):
        order.append(await quota.take(operation, NEVER))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(take, MESSAGE)
            await until(lambda: len(order) == 2 and len(waiting(quota)) == 3)
            tasks.start_soon(take, Operation.TOKEN)
            await until(lambda: len(order) == 3)
            tasks.cancel_scope.cancel()
    assert quota.state().in_flight == 3
    for turn in order:
        quota.answered(turn)


async def test_a_turn_that_surely_comes_too_late_is_refused_at_once(terms, opened, clock):
    quota = opened(terms(2), clock=clock)
    turns = await fill(quota, 2)
    with pytest.raises(DeadlineExceededError) as caught:
        await quota.take(MESSAGE, Deadline.after(299))
    assert caught.value.phase is Phase.NOT_SENT
    for turn in turns:
        quota.answered(turn)
    with pytest.raises(DeadlineExceededError):
        await quota.take(MESSAGE, Deadline.after(299))
    clock.pass_s(290)
    with pytest.raises(DeadlineExceededError):
        await quota.take(MESSAGE, Deadline.after(9))
    assert quota.state().waited_s == 0


async def test_those_who_wait_ahead_are_reckoned_with(terms, opened, clock):
    quota = opened(terms(2), clock=clock)
    first, second = await fill(quota, 2)
    quota.answered(first)
    clock.pass_s(200)
    quota.answered(second)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quota.take, MESSAGE, NEVER)  # its turn comes in 100 s
        await until(lambda: waiting(quota))
        with pytest.raises(DeadlineExceededError):
            await quota.take(MESSAGE, Deadline.after(250))  # and the next one's in 300 s
        assert len(waiting(quota)) == 1
        tasks.cancel_scope.cancel()


async def test_a_wait_that_may_be_worth_it_ends_when_it_no_longer_is(terms, opened):
    quota = opened(terms(1, 0.2))
    (turn,) = await fill(quota, 1)
    began = time.monotonic()
    with pytest.raises(DeadlineExceededError):  # answered in the first 0.3 s, it would leave in time
        await quota.take(MESSAGE, Deadline.after(0.5))
    assert time.monotonic() - began >= 0.3
    assert quota.state().held_s >= 0.29
    quota.answered(turn)


async def test_a_deadline_that_has_passed_gets_nothing_although_there_is_room(terms, opened):
    quota = opened(terms(5))
    with pytest.raises(DeadlineExceededError):
        await quota.take(MESSAGE, Deadline(anyio.current_time() - 1))
    assert quota.state().used == 0


async def test_a_pause_tells_those_who_would_wait_in_vain(terms, opened):
    quota = opened(terms(1, 5.0))
    (turn,) = await fill(quota, 1)
    failed = []

    async def wait():
        try:
            await quota.take(MESSAGE, Deadline.after(120))
        except DeadlineExceededError as error:
            failed.append(error)

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(wait)
            await until(lambda: len(waiting(quota)) == 3)
            quota.pause(900)
    assert len(failed) == 3
    quota.answered(turn)


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_who_is_cancelled_while_waiting_has_taken_nothing(terms, opened, how):
    quota = opened(terms(2, 1.0))
    turns = await fill(quota, 2)
    quota.answered(turns[0])
    if how == "scope":
        for _ in range(20):
            with anyio.move_on_after(0.002):
                await quota.take(MESSAGE, NEVER)
                raise AssertionError("there was room")
    else:
        tasks = [asyncio.ensure_future(quota.take(MESSAGE, NEVER)) for _ in range(5)]
        await until(lambda: len(waiting(quota)) == 5)
        for task in reversed(tasks):
            task.cancel()
        assert all(isinstance(each, asyncio.CancelledError)
                   for each in await asyncio.gather(*tasks, return_exceptions=True))  # fmt: skip
    assert waiting(quota) == []
    assert quota.state().used == 2
    assert quota.state().in_flight == 1
    quota.answered(turns[1])
    with anyio.fail_after(30):
        turn = await quota.take(MESSAGE, NEVER)
    quota.answered(turn)


async def test_a_cancellation_at_the_moment_of_the_turn_loses_no_place(terms, opened):
    """Whoever got the turn has it, and whoever was cancelled has none: never neither, never both."""
    quota = opened(terms(4, 0.02))
    for n in range(60):
        taken = []

        async def take(taken=taken):
            turn = await quota.take(MESSAGE, NEVER)
            taken.append(turn)
            quota.answered(turn)

        tasks = [asyncio.ensure_future(take()) for _ in range(8)]
        await anyio.sleep(0.0007 * (n % 40))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert quota.state().in_flight == 0
        assert quota._record.in_flight == 0
        assert len(taken) == sum(not task.cancelled() for task in tasks)


async def test_first_come_first_served(terms, opened):
    quota = opened(terms(3, 0.1))
    order = []

    async def take(number):
        turn = await quota.take(MESSAGE, NEVER)
        order.append(number)
        quota.answered(turn)

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(take, number)
            await until(lambda: len(order) + len(waiting(quota)) == number + 1)  # noqa: B023
    assert order == list(range(20))


async def test_real_time_goes_before_backfill_however_long_that_waits(terms, opened):
    quota = opened(terms(2, 0.2, backfill_share=1.0))
    turns = await fill(quota, 2)
    order = []

    async def take(priority):
        turn = await quota.take(MESSAGE, NEVER, priority=priority)
        order.append(priority)
        quota.answered(turn)

    async with anyio.create_task_group() as tasks:
        for priority in ("backfill", "backfill", "realtime", "backfill", "realtime"):
            tasks.start_soon(take, priority)
        await until(lambda: len(waiting(quota)) == 5)
        for turn in turns:
            quota.answered(turn)
    assert order == ["realtime", "realtime", "backfill", "backfill", "backfill"]


async def test_when_all_is_in_flight_an_answer_is_what_a_waiter_waits_for(terms, opened):
    quota = opened(terms(2, 0.1))
    turns = await fill(quota, 2)
    given = []

    async def take():
        given.append(await quota.take(MESSAGE, NEVER))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await anyio.sleep(0.3)
            assert not given
            answered_ns = boot_ns()
            quota.answered(turns[0])
    assert given[0].at_ns >= answered_ns + 0.1 * SECOND_NS
    quota.answered(turns[1])
    quota.answered(given[0])


async def test_a_lock_that_another_process_keeps_holds_up_the_request_and_not_the_event_loop(
    terms, opened, folder
):
    quota = opened(terms(5))
    (turn,) = await fill(quota, 1)
    (file,) = folder.iterdir()
    other = os.open(file, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    try:
        with anyio.move_on_after(0.2) as scope:
            await quota.take(MESSAGE, NEVER)
        assert scope.cancelled_caught
        with pytest.raises(DeadlineExceededError):
            await quota.take(MESSAGE, Deadline.after(0.05))
        began = time.process_time()
        quota.answered(turn)  # it cannot be written down now, and does not wait
        quota.pause(0.0)
        assert time.process_time() - began < 0.1
        assert quota.state().in_flight == 1
    finally:
        fcntl.flock(other, fcntl.LOCK_UN)
        os.close(other)
    await until(lambda: quota.state().in_flight == 0)
    assert quota.state().used == 1


async def test_waits_are_added_up(terms, opened):
    quota = opened(terms(1, 0.3))
    (turn,) = await fill(quota, 1)
    began = time.monotonic()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(quota.take, MESSAGE, NEVER)
        tasks.start_soon(quota.take, MESSAGE, NEVER)
        await until(lambda: len(waiting(quota)) == 2)
        await anyio.sleep(0.1)
        seen = quota.state()
        assert seen.held_s >= 0.1
        assert seen.waited_s >= 2 * 0.1  # while they wait, not afterwards
        assert seen.waited_s <= 2 * (time.monotonic() - began)
        tasks.cancel_scope.cancel()
    quota.answered(turn)
    settled = quota.state()
    assert (settled.waited_s, settled.held_s) == (quota.state().waited_s, quota.state().held_s)


async def test_the_time_for_what_is_left_can_be_told(terms, opened, clock, has_room):
    quota = opened(terms(100, 300.0), clock=clock)
    assert quota.state().seconds_for(100) == 0
    assert quota.state().seconds_for(1100) == 3000
    assert quota.state().seconds_for(190, backfill=True) == pytest.approx(100 * 300 / 90)
    for _ in range(100):
        await has_room(quota)
    clock.pass_s(100)
    assert quota.state().used == 100
    assert quota.state().free_in_s == pytest.approx(200)
    assert quota.state().seconds_for(100) == pytest.approx(500)
    assert opened(None).state().seconds_for(10**6) == 0
