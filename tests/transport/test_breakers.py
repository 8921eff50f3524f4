"""The two breakers that each request passes, on a clock that jumps, and token requests at them."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import anyio
import pytest
from jumping import on_a_jumping_clock

from chartsend.aio import Deadline
from chartsend.errors import ConnectFailedError, DeadlineExceededError, NetworkInterruptedError, Phase
from chartsend.ports import Operation, Reply, SmallRequest
from chartsend.transport.breaker import FAILURES
from chartsend.transport.breakers import FRESH_S, Breakers, Target, TokenExchange

NEVER = Deadline(float("inf"))
REFUSED = ConnectFailedError("refused", phase=Phase.NOT_SENT)


@pytest.fixture
def nothing_is_left():
    """These tests bring their own loop."""


async def attempt(breakers, target, ends, *, deadline=NEVER, takes_s=0.0, status=200):
    """One request; what happened to it goes into `ends` with its time."""
    try:
        async with breakers.attempt(target, deadline) as passage:
            await anyio.sleep(takes_s)
            if isinstance(status, Exception):
                raise status
            passage.answered(status)
    except (ConnectFailedError, NetworkInterruptedError):
        ends.append(("failed", anyio.current_time()))
    else:
        ends.append((status, anyio.current_time()))


A, B = (Target("api:443", name, f"destination {name}") for name in "AB")
ELSEWHERE = Target("blob:443", "u", "the upload address")


@on_a_jumping_clock
async def test_a_connection_that_fails_concerns_every_service_of_its_host():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=REFUSED)
    assert breakers.is_open(A)
    assert breakers.is_open(B)
    assert not breakers.is_open(ELSEWHERE)
    assert breakers.waiting_for == ("the server",)
    await attempt(breakers, B, ends)
    assert ends[-1][1] >= 5
    assert breakers.waiting_for == ()


@on_a_jumping_clock
async def test_a_503_concerns_one_service_and_shows_that_the_host_is_there():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES - 1):
        await attempt(breakers, A, ends, status=REFUSED)
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=503)
    assert breakers.is_open(A)
    assert not breakers.is_open(B)
    assert breakers.waiting_for == ("destination A",)


@pytest.mark.parametrize("status", [401, 429])
def test_what_redox_itself_answers_says_nothing_of_a_destination(status):
    async def main():
        breakers, ends = Breakers(), []
        for _ in range(FAILURES):
            await attempt(breakers, A, ends, status=503)
            await attempt(breakers, A, ends, status=status)
        assert breakers.is_open(A)

    on_a_jumping_clock(main)()


@on_a_jumping_clock
async def test_with_host_and_destination_down_a_probe_asks_both_and_everybody_comes_through():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=503)
    await anyio.sleep(3)
    for _ in range(FAILURES):
        await attempt(breakers, B, ends, status=REFUSED)
    ends.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(attempt, breakers, A, ends, status=REFUSED))
        tasks.start_soon(partial(attempt, breakers, A, ends, status=503))
        for target in [A, B] * 10:
            tasks.start_soon(partial(attempt, breakers, target, ends, takes_s=0.1))
    assert len(ends) == 22
    assert breakers.waiting_for == ()


@on_a_jumping_clock
async def test_who_waits_for_a_destination_also_waits_for_a_host_that_goes_down_meanwhile():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=503)
    ends.clear()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(attempt, breakers, A, ends))
        await anyio.sleep(4)
        for _ in range(FAILURES):
            await attempt(breakers, B, [], status=REFUSED)
    assert ends[0][1] >= 9


@on_a_jumping_clock
async def test_a_probe_that_waits_for_the_quota_keeps_its_place_and_gives_it_back_when_cancelled():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=REFUSED)
    ends.clear()
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            scope.deadline = 100
            async with anyio.create_task_group() as waiting:
                waiting.start_soon(partial(attempt, breakers, A, ends, takes_s=300))
                await anyio.sleep(6.5)
                tasks.start_soon(partial(attempt, breakers, B, ends, takes_s=1))
    assert ends == [(200, 101.0)]


@on_a_jumping_clock
async def test_a_reset_or_a_stall_of_a_probe_does_not_let_the_next_one_ask_at_once():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=REFUSED)
    ends.clear()
    lost = NetworkInterruptedError("lost", phase=Phase.PARTLY_SENT)
    for _ in range(3):
        await attempt(breakers, A, ends, status=lost)
    gaps = [b[1] - a[1] for a, b in pairwise(ends)]
    assert all(gap >= 5 for gap in gaps)
    assert breakers.is_open(A)


class Line:
    """What a token server answers, and when it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def exchange_small(self, request, *, deadline):
        self.asked.append(anyio.current_time())
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Reply(answer, {}, b"")


TOKEN = SmallRequest(Operation.TOKEN, "https://api:443/token", {}, b"signed")


async def ask(exchange, times):
    for _ in range(times):
        try:
            await exchange.exchange_small(TOKEN, deadline=NEVER)
        except ConnectFailedError:
            continue


@on_a_jumping_clock
async def test_token_requests_that_cannot_connect_open_the_hosts_breaker_and_wait_at_it():
    breakers = Breakers()
    line = Line(*[REFUSED] * 7, 200)
    await ask(TokenExchange(line, breakers), 8)
    assert line.asked[:FAILURES] == [0.0] * FAILURES
    gaps = [b - a for a, b in pairwise(line.asked[4:])]
    assert all(5 <= gap <= 6 for gap in gaps)
    assert breakers.waiting_for == ()


@on_a_jumping_clock
async def test_a_token_server_that_answers_5xx_is_left_in_peace_and_nobody_else_is():
    breakers = Breakers()
    line = Line(503, 500, 502, 504, 503, 503)
    await ask(TokenExchange(line, breakers), FAILURES)
    assert breakers.waiting_for == ("the token server",)
    assert not breakers.is_open(A)
    await ask(TokenExchange(line, breakers), 1)
    assert line.asked[-1] >= 5


@on_a_jumping_clock
async def test_a_signed_request_does_not_grow_old_at_a_breaker():
    breakers, ends = Breakers(), []
    for _ in range(FAILURES):
        await attempt(breakers, A, ends, status=REFUSED)
    exchange = TokenExchange(line := Line(200), breakers)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(attempt, breakers, B, ends, takes_s=300))
        await anyio.sleep(6.5)  # it probes now, and takes long
        began_s = anyio.current_time()
        with pytest.raises(ConnectFailedError):
            await exchange.exchange_small(TOKEN, deadline=NEVER)
        assert anyio.current_time() == pytest.approx(began_s + FRESH_S)
        with pytest.raises(DeadlineExceededError):
            await exchange.exchange_small(TOKEN, deadline=Deadline(anyio.current_time() + 1))
    assert line.asked == []
    assert not breakers.is_open(A)
