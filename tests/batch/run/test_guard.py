"""A failure that is everybody's stops the intake; a failure of one document does not."""

import anyio
import pytest

from chartsend.batch.guard import Canaries, Guard
from chartsend.errors import (
    AuthRejectedError,
    ConfigError,
    ForbiddenError,
    InvalidError,
    ServerUnavailableError,
    TlsError,
    UnsupportedMediaError,
)


def invalid():
    return InvalidError("the server answered 422")


@pytest.mark.parametrize("error", [AuthRejectedError("401"), TlsError("x"), ConfigError("x")])
def test_what_every_row_would_meet_stops_at_once(error):
    guard = Guard()
    assert guard.concerns_all(error)
    assert guard.fatal is error
    assert guard.reason == error.message


def test_the_first_reason_stays():
    guard = Guard()
    guard.stop("first")
    guard.concerns_all(TlsError("second"))
    assert guard.reason == "first"
    assert guard.fatal is None


def test_one_bad_row_in_five_is_no_accident_but_fewer_are():
    guard = Guard()
    for number in range(1000):
        guard.ended(invalid() if number % 5 == 0 else None)
    assert guard.reason is None
    for number in range(200):
        guard.ended(invalid() if number % 4 == 0 else None)
        if guard.reason:
            break
    assert "41 of the last 200 rows failed with invalid" in guard.reason
    assert guard.fatal is None


def test_different_failures_are_counted_apart():
    guard = Guard()
    for number in range(400):
        bad = invalid() if number % 6 == 0 else UnsupportedMediaError("415")
        guard.ended(bad if number % 3 == 0 else None)
    assert guard.reason is None


def test_old_failures_leave_the_window():
    guard = Guard()
    for _ in range(30):
        guard.ended(None)
    for _ in range(10):
        for _ in range(35):
            guard.ended(invalid())
        for _ in range(200):
            guard.ended(None)
    assert guard.reason is None


def test_twenty_rows_that_all_fail_alike_are_enough():
    guard = Guard()
    for _ in range(19):
        guard.ended(invalid())
    assert guard.reason is None
    guard.ended(invalid())
    assert "the first 20 rows all failed with invalid" in guard.reason


def test_five_403_in_a_row_concern_the_account_a_firewalls_page_one_file():
    guard = Guard()
    for _ in range(4):
        guard.ended(ForbiddenError("403"))
    guard.ended(None)
    for _ in range(4):
        guard.ended(ForbiddenError("403"))
    page = ForbiddenError("403")
    page.by_firewall = True
    guard.ended(page)
    assert guard.reason is None
    for _ in range(5):
        guard.ended(ForbiddenError("403"))
    assert isinstance(guard.fatal, ForbiddenError)


def test_rows_that_all_wait_mean_trouble_until_one_ends():
    guard = Guard()
    for _ in range(10):
        assert not guard.is_troubled
        guard.scheduled()
    assert guard.is_troubled
    guard.ended(ServerUnavailableError("500"))
    assert not guard.is_troubled


async def _turn(canaries, ends, at, most, accepted, kind="Consent"):
    async with canaries.turn("ehr", kind) as turn:
        at.append(1)
        most.append(len(at))
        await ends.wait()
        at.pop()
        turn.was_accepted = accepted
        turn.was_refused = not accepted


async def test_only_so_many_go_until_so_many_were_accepted():
    canaries, ends, at, most = Canaries(3, Guard()), anyio.Event(), [], []
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(_turn, canaries, ends, at, most, True)
        await anyio.wait_all_tasks_blocked()
        assert max(most) == 3
        tasks.start_soon(_turn, canaries, ends, at, most, True, "Another kind")
        await anyio.wait_all_tasks_blocked()
        assert max(most) == 4
        ends.set()
    most.clear()
    again = anyio.Event()
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(_turn, canaries, again, at, most, True)
        await anyio.wait_all_tasks_blocked()
        assert max(most) == 10
        again.set()


async def test_when_all_of_the_first_are_refused_the_intake_stops():
    guard = Guard()
    canaries, ends = Canaries(3, guard), anyio.Event()
    ends.set()
    for _ in range(2):
        await _turn(canaries, ends, [], [], False)
    assert guard.reason is None
    await _turn(canaries, ends, [], [], False)
    assert "first 3 rows for one destination and type" in guard.reason


async def test_one_canary_is_one_row_in_words_too():
    guard = Guard()
    canaries, ends = Canaries(1, guard), anyio.Event()
    ends.set()
    await _turn(canaries, ends, [], [], False)
    assert guard.reason.startswith("the first row for one destination and type was refused;")


async def test_one_accepted_row_keeps_refused_ones_from_stopping_the_intake():
    guard = Guard()
    canaries, ends = Canaries(3, guard), anyio.Event()
    ends.set()
    await _turn(canaries, ends, [], [], True)
    for _ in range(10):
        await _turn(canaries, ends, [], [], False)
    assert guard.reason is None


async def test_a_cancelled_canary_leaves_its_place_to_another():
    canaries, never, at, most = Canaries(1, Guard()), anyio.Event(), [], []
    for _ in range(5):
        with anyio.move_on_after(0):
            await _turn(canaries, never, [], [], True)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_turn, canaries, never, [], [], True)
            tasks.start_soon(_turn, canaries, never, [], [], True)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    done = anyio.Event()
    done.set()
    await _turn(canaries, done, at, most, True)
    assert most == [1]


async def test_no_canaries_hold_nobody_up():
    canaries, ends, at, most = Canaries(0, Guard()), anyio.Event(), [], []
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(_turn, canaries, ends, at, most, False)
        await anyio.wait_all_tasks_blocked()
        ends.set()
    assert max(most) == 10
