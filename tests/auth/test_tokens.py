"""The keeper: one refresh for everybody, fresh tokens, and no way to hang or to storm."""

from __future__ import annotations

import asyncio
import math

import anyio
import pytest

from chartsend.aio import Deadline
from chartsend.auth import Token, TokenKeeper
from chartsend.errors import (
    AuthRejectedError,
    AuthUnavailableError,
    ClockSkewError,
    DeadlineExceededError,
    Verdict,
)

NEVER = Deadline(math.inf)


class Server:
    """Gives token-1, token-2 …; held back until `gate` is set, or failing as told."""

    def __init__(self, clock, *, lifetime_s: float = 300.0) -> None:
        self.clock = clock
        self.lifetime_s = lifetime_s
        self.calls = 0
        self.running = 0
        self.gate: anyio.Event | None = None
        self.failures: list[BaseException] = []
        self.steps = 1

    async def fetch(self, deadline: Deadline) -> Token:
        self.calls += 1
        number = self.calls
        self.running += 1
        try:
            with anyio.CancelScope(deadline=deadline.at) as scope:
                for _ in range(self.steps):
                    await anyio.lowlevel.checkpoint()
                if self.gate is not None:
                    await self.gate.wait()
            if scope.cancelled_caught:
                raise DeadlineExceededError("too late", verdict=Verdict.RETRY)
        finally:
            self.running -= 1
        if self.failures:
            raise self.failures.pop(0)
        return Token(f"token-{number}", self.clock() + self.lifetime_s)


@pytest.fixture
def server(clock) -> Server:
    return Server(clock)


@pytest.fixture
def keeper(server, clock) -> TokenKeeper:
    return TokenKeeper(server.fetch, refresh_margin_s=45.0, clock=clock)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_ten_thousand_callers_make_one_request(keeper, server):
    server.gate = anyio.Event()

    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(10_000)]
    await turns(5)
    server.gate.set()
    tokens = await asyncio.gather(*callers)

    assert set(tokens) == {"token-1"}
    assert server.calls == 1


async def test_ten_thousand_callers_that_find_it_expired_make_one_request(keeper, server, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 300

    tokens = await asyncio.gather(*(keeper.token(min_life_s=0, deadline=NEVER) for _ in range(10_000)))

    assert set(tokens) == {"token-2"}
    assert server.calls == 2


async def test_a_good_token_is_given_without_a_request(keeper, server, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 254  # 46 s of life left, 45 s is the margin

    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-1"
    assert server.calls == 1


async def test_a_token_within_the_margin_is_refreshed(keeper, server, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 256

    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_a_caller_that_needs_more_life_gets_a_younger_token(keeper, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 150

    assert await keeper.token(min_life_s=149, deadline=NEVER) == "token-1"
    assert await keeper.token(min_life_s=151, deadline=NEVER) == "token-2"


async def test_a_wish_beyond_every_lifetime_does_not_make_a_request_per_call(keeper, server, clock):
    for _ in range(1000):
        await keeper.token(min_life_s=3600, deadline=NEVER)
        clock.now += 0.01

    assert server.calls == 1


async def test_a_lifetime_below_the_margin_does_not_make_a_request_per_call(clock):
    server = Server(clock, lifetime_s=2.0)
    keeper = TokenKeeper(server.fetch, refresh_margin_s=45.0, clock=clock)

    for _ in range(100):
        token = await keeper.token(min_life_s=60, deadline=NEVER)
        assert token == f"token-{server.calls}"
        clock.now += 0.1

    assert server.calls == 10  # a second each: half the lifetime


async def test_a_token_that_is_dead_on_arrival_is_given_to_those_that_wait_and_not_kept(clock):
    server = Server(clock, lifetime_s=-1.0)
    keeper = TokenKeeper(server.fetch, refresh_margin_s=45.0, clock=clock)

    tokens = await asyncio.gather(*(keeper.token(min_life_s=0, deadline=NEVER) for _ in range(5)))

    assert tokens == ["token-1"] * 5
    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_callers_that_can_use_the_old_token_do_not_wait_for_the_new_one(keeper, server, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 270
    server.gate = anyio.Event()
    leader = asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER))
    await turns(3)

    assert await keeper.token(min_life_s=20, deadline=NEVER) == "token-1"

    in_need = asyncio.create_task(keeper.token(min_life_s=28, deadline=NEVER))
    await turns(3)
    assert not in_need.done()
    server.gate.set()
    assert await asyncio.gather(leader, in_need) == ["token-2", "token-2"]


async def test_a_rejected_token_is_not_given_out_again(keeper, server):
    token = await keeper.token(min_life_s=0, deadline=NEVER)

    keeper.reject(token)

    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_a_hundred_sends_refused_with_the_same_token_cause_one_refresh(keeper, server):
    token = await keeper.token(min_life_s=0, deadline=NEVER)

    async def refused_and_again() -> str:
        keeper.reject(token)
        return await keeper.token(min_life_s=0, deadline=NEVER)

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(refused_and_again)
    keeper.reject(token)  # a straggler

    assert await refused_and_again() == "token-2"
    assert server.calls == 2


async def test_a_failure_is_given_to_all_that_wait_and_the_next_call_tries_anew(keeper, server):
    server.failures = [AuthUnavailableError("the server is down", status=503)]

    results = await asyncio.gather(
        *(keeper.token(min_life_s=0, deadline=NEVER) for _ in range(100)), return_exceptions=True
    )

    assert {type(result) for result in results} == {AuthUnavailableError}
    assert {result.status for result in results} == {503}
    assert server.calls == 1
    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_each_caller_gets_a_failure_of_its_own(keeper, server):
    """A send writes its document's id into the error; it must not stand in another's."""
    cause = ValueError("why")
    failure = AuthUnavailableError("the server is down")
    failure.__cause__ = cause
    server.failures = [failure]

    results = await asyncio.gather(
        *(keeper.token(min_life_s=0, deadline=NEVER) for _ in range(3)), return_exceptions=True
    )
    for number, result in enumerate(results):
        result.document_id = f"document-{number}"

    assert [result.document_id for result in results] == ["document-0", "document-1", "document-2"]
    assert all(result.__cause__ is cause for result in results)


@pytest.mark.parametrize("kind", [AuthRejectedError, ClockSkewError])
async def test_a_refusal_is_remembered_for_a_while(keeper, server, clock, kind):
    server.failures = [kind("refused", status=400)]
    seen = []

    for _ in range(1000):
        with pytest.raises(kind, match="refused") as caught:
            await keeper.token(min_life_s=0, deadline=NEVER)
        caught.value.document_id = "mine"
        seen.append(caught.value)
        clock.now += 0.02

    assert server.calls == 1
    assert len({id(error) for error in seen}) == 1000
    clock.now += 11
    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_a_remembered_refusal_names_no_other_callers_document(keeper, server):
    server.failures = [AuthRejectedError("refused")]
    with pytest.raises(AuthRejectedError) as first:
        await keeper.token(min_life_s=0, deadline=NEVER)
    first.value.document_id = "the first one's"

    with pytest.raises(AuthRejectedError) as second:
        await keeper.token(min_life_s=0, deadline=NEVER)

    assert second.value.document_id is None


async def test_a_refused_refresh_leaves_a_good_token_usable(keeper, server, clock):
    await keeper.token(min_life_s=0, deadline=NEVER)
    clock.now += 150
    server.failures = [AuthRejectedError("refused")]

    with pytest.raises(AuthRejectedError):
        await keeper.token(min_life_s=200, deadline=NEVER)

    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-1"


async def test_a_defect_in_fetch_reaches_everybody(keeper, server):
    server.failures = [KeyError("bug")]

    results = await asyncio.gather(
        *(keeper.token(min_life_s=0, deadline=NEVER) for _ in range(3)), return_exceptions=True
    )

    assert [type(result) for result in results] == [
        KeyError,
        AuthUnavailableError,
        AuthUnavailableError,
    ]
    assert results[1].__cause__ is results[0]
    assert server.calls == 1


async def test_a_follower_whose_deadline_passes_leaves_at_once(keeper, server):
    server.gate = anyio.Event()
    leader = asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER))
    await turns(3)

    with pytest.raises(DeadlineExceededError) as caught:
        await keeper.token(min_life_s=0, deadline=Deadline.after(0.01))

    assert caught.value.verdict is Verdict.RETRY
    server.gate.set()
    assert await leader == "token-1"


async def test_a_deadline_that_has_passed_makes_no_request(keeper, server):
    with pytest.raises(DeadlineExceededError):
        await keeper.token(min_life_s=0, deadline=Deadline.after(0))

    assert server.calls == 0


async def test_a_leader_whose_deadline_passes_hands_over_to_one_who_can_wait(keeper, server):
    server.gate = anyio.Event()
    hasty = asyncio.create_task(keeper.token(min_life_s=0, deadline=Deadline.after(0.01)))
    await turns(3)
    patient = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(10)]

    with pytest.raises(DeadlineExceededError):
        await hasty
    server.gate.set()

    assert await asyncio.gather(*patient) == ["token-2"] * 10
    assert server.calls == 2


async def test_a_cancelled_follower_leaves_the_refresh_running(keeper, server):
    server.gate = anyio.Event()
    leader, follower, other = [
        asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(3)
    ]
    await turns(3)

    follower.cancel()
    with pytest.raises(asyncio.CancelledError):
        await follower
    server.gate.set()

    assert await asyncio.gather(leader, other) == ["token-1", "token-1"]
    assert server.calls == 1


async def cancel_task(keeper: TokenKeeper, after: int) -> None:
    task = asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER))
    await turns(after)
    task.cancel()
    await asyncio.wait([task])


async def cancel_scope(keeper: TokenKeeper, after: int) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def ask() -> None:
                await keeper.token(min_life_s=0, deadline=NEVER)

            group.start_soon(ask)
            await turns(after)
            scope.cancel()


@pytest.mark.parametrize("position", ["leads", "follows"])
@pytest.mark.parametrize("cancel", [cancel_task, cancel_scope])
@pytest.mark.parametrize("after", range(12))
async def test_cancelled_at_any_await_the_others_get_their_token(
    keeper, server, cancel, after, position
):
    server.steps = 6
    ask = [keeper.token(min_life_s=0, deadline=NEVER) for _ in range(5)]

    if position == "follows":
        others = [asyncio.create_task(one) for one in ask]
        await turns(1)
        await cancel(keeper, after)
    else:
        victim = asyncio.create_task(cancel(keeper, after))
        await turns(2)  # the victim's own task has begun
        others = [asyncio.create_task(one) for one in ask]
        await victim
    with anyio.fail_after(5):
        tokens = await asyncio.gather(*others)

    assert len(set(tokens)) == 1
    assert server.running == 0
    assert server.calls <= 2
    assert await keeper.token(min_life_s=0, deadline=NEVER) == tokens[0]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_one_leader_after_another_may_be_cancelled(keeper, server):
    server.gate = anyio.Event()
    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(50)]
    await turns(3)

    for caller in callers[:-1]:
        caller.cancel()
        await turns(4)
    server.gate.set()

    with anyio.fail_after(5):
        assert await callers[-1] == "token-50"
    assert server.running == 0


async def test_all_cancelled_together_leave_nothing_behind(keeper, server):
    server.gate = anyio.Event()
    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(1000)]
    await turns(3)

    for caller in callers:
        caller.cancel()
    results = await asyncio.gather(*callers, return_exceptions=True)

    assert {type(result) for result in results} == {asyncio.CancelledError}
    assert server.running == 0
    assert server.calls == 1
    server.gate.set()
    assert await keeper.token(min_life_s=0, deadline=NEVER) == "token-2"


async def test_cancelled_in_the_very_turn_in_which_the_token_comes(keeper, server):
    server.gate = anyio.Event()
    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(20)]
    await turns(3)

    server.gate.set()
    for caller in callers[:10]:
        caller.cancel()
    with anyio.fail_after(5):
        results = await asyncio.gather(*callers, return_exceptions=True)

    assert len(set(results[10:])) == 1
    assert server.running == 0


async def test_closing_ends_a_running_refresh_and_tells_those_that_wait(keeper, server):
    server.gate = anyio.Event()
    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(5)]
    await turns(3)

    with anyio.fail_after(5):
        await keeper.aclose()

    assert server.running == 0
    results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(result) for result in results} == {AuthUnavailableError}
    with pytest.raises(AuthUnavailableError, match="closed"):
        await keeper.token(min_life_s=0, deadline=NEVER)
    await keeper.aclose()


async def test_closed_in_the_very_turn_in_which_the_token_comes(keeper, server):
    server.gate = anyio.Event()
    callers = [asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER)) for _ in range(5)]
    await turns(3)

    server.gate.set()
    with anyio.fail_after(5):
        await keeper.aclose()

    results = await asyncio.gather(*callers, return_exceptions=True)
    assert {type(result) for result in results} == {AuthUnavailableError}
    assert keeper._held is None


async def test_closing_and_cancelling_the_leader_at_once_is_a_cancellation(keeper, server):
    server.gate = anyio.Event()
    leader = asyncio.create_task(keeper.token(min_life_s=0, deadline=NEVER))
    await turns(3)

    leader.cancel()
    with anyio.fail_after(5):
        await keeper.aclose()

    with pytest.raises(asyncio.CancelledError):
        await leader


def test_a_token_hides_its_value():
    assert "s3cret" not in repr(Token("s3cret", 1.0))
