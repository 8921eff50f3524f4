"""One breaker on a clock that jumps: who may ask, when, and that nobody is forgotten."""

from __future__ import annotations

import random
from itertools import pairwise

import anyio
import pytest
from jumping import on_a_jumping_clock

from chartsend.aio import Deadline
from chartsend.errors import DeadlineExceededError
from chartsend.transport.breaker import FAILURES, Breaker, Sign

NEVER = Deadline(float("inf"))


@pytest.fixture
def nothing_is_left():
    """These tests bring their own loop."""


def opened(draw=lambda: 0.0) -> Breaker:
    breaker = Breaker("it", draw=draw)
    for _ in range(FAILURES):
        breaker.end(breaker.begin(), Sign.DOWN)
    return breaker


@on_a_jumping_clock
async def test_five_failures_in_a_row_open_it_and_fewer_do_not():
    breaker = Breaker("it")
    for sign in [*[Sign.DOWN] * 4, Sign.ALIVE, *[Sign.DOWN] * 4]:
        breaker.end(breaker.begin(), sign)
        assert not breaker.is_open
    breaker.end(breaker.begin(), Sign.DOWN)
    assert breaker.is_open
    assert not breaker.lets_pass


@on_a_jumping_clock
async def test_what_says_nothing_neither_counts_nor_starts_anew():
    breaker = Breaker("it")
    for sign in [Sign.DOWN, Sign.NONE, Sign.DOWN, Sign.WITHDRAWN, Sign.DOWN, Sign.DOWN]:
        breaker.end(breaker.begin(), sign)
    assert not breaker.is_open
    breaker.end(breaker.begin(), Sign.DOWN)
    assert breaker.is_open


@on_a_jumping_clock
async def test_of_many_that_wait_one_asks_every_five_to_six_seconds():
    breaker = opened(random.Random(1).random)
    asked = []

    async def one():
        while True:
            await breaker.wait(NEVER)
            turn = breaker.begin()
            asked.append(anyio.current_time())
            await anyio.sleep(0.3)
            breaker.end(turn, Sign.DOWN)

    with anyio.move_on_at(60):
        async with anyio.create_task_group() as tasks:
            for _ in range(50):
                tasks.start_soon(one)
    assert 9 <= len(asked) <= 12
    assert asked[0] >= 5
    gaps = [b - a for a, b in pairwise(asked)]
    assert all(5.3 <= gap <= 6.3 + 1e-6 for gap in gaps)


@on_a_jumping_clock
async def test_a_probe_that_succeeds_lets_everybody_go_at_once():
    breaker = opened()
    passed = []

    async def one():
        await breaker.wait(NEVER)
        turn = breaker.begin()
        await anyio.sleep(1)
        breaker.end(turn, Sign.ALIVE)
        passed.append(anyio.current_time())

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(one)
    assert passed == [6.0] + [7.0] * 19  # asked at 5, heard at 6, and then all the others together
    assert not breaker.is_open


@on_a_jumping_clock
async def test_a_probe_that_is_withdrawn_gives_its_place_to_the_next_at_once():
    breaker = opened()
    ended = []

    async def one(name, withdrawn):
        await breaker.wait(NEVER)
        turn = breaker.begin()
        sign = Sign.WITHDRAWN
        try:
            with anyio.CancelScope(deadline=anyio.current_time() + 2 if withdrawn else NEVER.at):
                await anyio.sleep(3)
                sign = Sign.ALIVE
        finally:
            breaker.end(turn, sign)
            ended.append((name, anyio.current_time()))

    async with anyio.create_task_group() as tasks:
        for name in range(3):
            tasks.start_soon(one, name, name < 2)
    assert ended == [(0, 7.0), (1, 9.0), (2, 12.0)]


@on_a_jumping_clock
async def test_a_probe_that_proves_nothing_puts_the_next_one_off():
    breaker = opened()
    await breaker.wait(NEVER)
    breaker.end(breaker.begin(), Sign.NONE)
    await breaker.wait(NEVER)
    assert anyio.current_time() == 10.0


@on_a_jumping_clock
async def test_who_waits_may_go_away_in_every_state():
    breaker = opened()
    with anyio.move_on_after(2):  # before a probe is due
        await breaker.wait(NEVER)
    await breaker.wait(NEVER)
    turn = breaker.begin()
    with anyio.move_on_after(20):  # while another probes
        await breaker.wait(NEVER)
        pytest.fail("two at once")
    breaker.end(turn, Sign.ALIVE)
    assert breaker.lets_pass


@on_a_jumping_clock
async def test_at_the_deadline_the_wait_ends_and_takes_nothing():
    breaker = opened()
    with pytest.raises(DeadlineExceededError, match="it did not come back") as caught:
        await breaker.wait(Deadline(3.0))
    assert caught.value.verdict.value == "retry"
    assert anyio.current_time() == 3.0
    await breaker.wait(NEVER)
    turn = breaker.begin()
    with pytest.raises(DeadlineExceededError):
        await breaker.wait(Deadline(60.0))
    assert anyio.current_time() == 60.0
    breaker.end(turn, Sign.ALIVE)
    assert breaker.lets_pass


@on_a_jumping_clock
async def test_what_began_before_it_opened_neither_closes_it_nor_puts_probes_off():
    breaker = Breaker("it", draw=lambda: 0.0)
    old = [breaker.begin() for _ in range(16)]
    for turn in old[:FAILURES]:
        breaker.end(turn, Sign.DOWN)
    await anyio.sleep(4)
    breaker.end(old[5], Sign.ALIVE)  # answered on a connection that was made before
    for turn in old[6:12]:
        breaker.end(turn, Sign.DOWN)  # timed out late
    assert breaker.is_open
    await breaker.wait(NEVER)
    assert anyio.current_time() == 5.0
    breaker.end(breaker.begin(), Sign.ALIVE)
    for turn in old[12:]:
        breaker.end(turn, Sign.DOWN)  # later still: it is back already
    for _ in range(2):
        breaker.end(breaker.begin(), Sign.DOWN)
    assert not breaker.is_open


@on_a_jumping_clock
async def test_an_answer_that_asks_for_more_time_gets_it():
    breaker = Breaker("it", draw=lambda: 1.0)
    for _ in range(FAILURES):
        breaker.end(breaker.begin(), Sign.DOWN, asked_s=100)
    await breaker.wait(NEVER)
    assert anyio.current_time() == pytest.approx(110)
    breaker.end(breaker.begin(), Sign.DOWN, asked_s=0)
    await breaker.wait(NEVER)
    assert anyio.current_time() == pytest.approx(116)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nobody_is_forgotten_and_no_two_ask_at_once(seed):
    """Tasks that come, go, hang, fail and succeed at random, with one server that goes and returns."""
    draw = random.Random(seed)
    down = sorted(draw.uniform(0, 300) for _ in range(6))
    state = {"probes": 0, "asked": []}

    def is_down(at):
        return sum(at >= moment for moment in down) % 2 == 1

    async def one(breaker, patience_s, took):
        scope = anyio.CancelScope()
        scope.deadline = anyio.current_time() + patience_s
        with scope:
            while True:
                await breaker.wait(NEVER)
                turn = breaker.begin()
                if turn.is_probe:
                    state["probes"] += 1
                    assert state["probes"] == 1
                    state["asked"].append(anyio.current_time())
                sign = Sign.WITHDRAWN
                try:
                    await anyio.sleep(draw.choice([0, 0.1, 3, 30]))
                    sign = Sign.DOWN if is_down(anyio.current_time()) else Sign.ALIVE
                    sign = draw.choice([sign] * 8 + [Sign.NONE])
                finally:
                    state["probes"] -= turn.is_probe
                    breaker.end(turn, sign)
                if sign is Sign.ALIVE:
                    took.append(anyio.current_time())
                    return

    async def main():
        breaker, took = Breaker("it", draw=draw.random), []
        async with anyio.create_task_group() as tasks:
            for _ in range(150):
                await anyio.sleep(draw.expovariate(0.4))
                tasks.start_soon(one, breaker, draw.choice([1, 7, 1e6, 1e6]), took)
        assert len(took) >= 60  # all that were patient, since the server is up in the end
        assert breaker.lets_pass

    on_a_jumping_clock(main)()
