"""Retry-After and dates, waits and budgets: pure, and hostile."""

from __future__ import annotations

import contextlib
import math
import random
import time

import anyio
import pytest
from hypothesis import given, strategies as st

from chartsend.aio import Deadline
from chartsend.errors import (
    ConnectFailedError,
    InvalidError,
    ProtocolError,
    RateLimitedError,
    RetryBudgetExhaustedError,
    ServerUnavailableError,
    SourceChangedError,
    TransferError,
    Verdict,
)
from chartsend.settings import Retry
from chartsend.transport.retry import Retrier, RetryBudget, parse_http_date, parse_retry_after

NEVER = Deadline(math.inf)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0), ("1", 1), ("120", 120), (" 7 ", 7), ("\t7", 7), ("007", 7),
        ("86400", 900), ("999999999", 900),
        # RFC 9110 section 5.6.7: the three forms, against the answer's own Date.
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10),
        ("Sun Nov  6 08:49:47 1994", 10),
        ("Sun, 06 Nov 1994 08:49:27 GMT", 0),
        ("Mon, 07 Nov 1994 08:49:37 GMT", 900),
    ],
)  # fmt: skip
def test_a_valid_retry_after(value, seconds):
    date = "Sun, 06 Nov 1994 08:49:37 GMT"
    assert parse_retry_after(value, date=date, cap_s=900) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "", " ", "-1", "+1", "1.5", "1,2", "1 2", "1e3", "0x10", "12²0", "\u0661\u0662", "\uff11\uff12",
        "NaN", "inf", "1000000000", "1" * 10, "9" * 400, "1\0", "1\n", "1\r\n2", "soon", "null", "1s",
        "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 EST", "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37 +0100", "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT x", "Sun Nov 66 08:49:37 1994",
        "Sun, \uff10\uff16 Nov 1994 08:49:37 GMT",
    ],
)  # fmt: skip
def test_garbage_is_no_retry_after(value):
    assert parse_retry_after(value, date=None, cap_s=900) is None


def test_a_date_without_the_servers_clock_is_taken_against_ours():
    when = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 100))
    assert 97 <= parse_retry_after(when, date=None, cap_s=900) <= 101
    assert 97 <= parse_retry_after(when, date="garbage", cap_s=900) <= 101


@given(st.text() | st.text(alphabet="0123456789 ,:-+GMTSunNov²\u0661\0\r\n", max_size=40))
def test_no_retry_after_raises_or_leaves_its_bounds(value):
    seconds = parse_retry_after(value, date=value, cap_s=900)
    assert seconds is None or 0 <= seconds <= 900


@given(
    st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(0, 9999)
)
def test_no_date_raises(day, hour, minute, second, year):
    for text in (
        f"Sun, {day:02} Feb {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        f"Sunday, {day:02}-Feb-{year % 100:02} {hour:02}:{minute:02}:{second:02} GMT",
        f"Sun Feb {day:2} {hour:02}:{minute:02}:{second:02} {year:04}",
    ):
        assert isinstance(parse_http_date(text), float | None)


class Failing:
    """Fails as told, then succeeds; notes when it was called."""

    def __init__(self, *errors: TransferError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


class Naps:
    def __init__(self, monkeypatch) -> None:
        self.taken: list[float] = []
        monkeypatch.setattr("chartsend.transport.retry.anyio.sleep", self)

    async def __call__(self, seconds: float) -> None:
        self.taken.append(seconds)
        await anyio.lowlevel.checkpoint()


@pytest.fixture
def naps(monkeypatch):
    return Naps(monkeypatch)


def retrier(draw=0.5, budget=None, **policy) -> Retrier:
    draws = draw if callable(draw) else lambda: draw
    return Retrier(Retry(**policy), budget or RetryBudget(), draw=draws)


def lost(**fields) -> TransferError:
    return ConnectFailedError("no connection", **fields)


@pytest.mark.parametrize("attempts", [1, 2, 3, 5])
async def test_attempts_are_counted(naps, attempts):
    once = Failing(*[lost() for _ in range(20)])
    with pytest.raises(ConnectFailedError):
        await retrier(attempts=attempts).run(once, deadline=NEVER)
    assert once.calls == attempts
    assert len(naps.taken) == attempts - 1


@pytest.mark.parametrize("verdict", [Verdict.GIVE_UP, Verdict.IN_DOUBT])
async def test_nothing_but_retry_is_repeated(naps, verdict):
    once = Failing(lost(verdict=verdict))
    with pytest.raises(ConnectFailedError):
        await retrier().run(once, deadline=NEVER)
    assert once.calls == 1


@pytest.mark.parametrize("error", [InvalidError("no"), SourceChangedError("changed")])
async def test_what_another_attempt_cannot_mend_is_not_repeated(naps, error):
    once = Failing(error)
    with pytest.raises(type(error)):
        await retrier().run(once, deadline=NEVER)
    assert once.calls == 1


@pytest.mark.parametrize(("status", "tries"), [(None, 2), (201, 3)])
async def test_a_bad_answer_is_worth_fewer_tries(naps, status, tries):
    once = Failing(*[ProtocolError("bad", verdict=Verdict.RETRY, status=status) for _ in range(9)])
    with pytest.raises(ProtocolError):
        await retrier(attempts=9).run(once, deadline=NEVER)
    assert once.calls == tries


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.999_999])
async def test_waits_are_full_jitter_within_their_bounds(naps, draw):
    with pytest.raises(ConnectFailedError):
        await retrier(draw, attempts=10, base_s=0.25, cap_s=20).run(
            Failing(*[lost() for _ in range(10)]), deadline=NEVER
        )
    for n, wait in enumerate(naps.taken):
        assert wait == pytest.approx(draw * min(20, 0.25 * 2 ** (n + 1)))


async def test_a_throttled_wait_has_its_own_base(naps):
    errors = [ServerUnavailableError("busy", status=503) for _ in range(3)]
    await retrier(1.0, attempts=4, throttled_base_s=3, cap_s=100).run(Failing(*errors), deadline=NEVER)
    assert naps.taken == [6, 12, 24]


@pytest.mark.parametrize("draw", [0.0, 0.5, 1.0])
async def test_a_wait_is_never_shorter_than_was_asked_and_little_longer(naps, draw):
    error = ServerUnavailableError("busy", status=503, retry_after_s=10.0)
    await retrier(draw, throttled_base_s=1, cap_s=5).run(Failing(error), deadline=NEVER)
    assert naps.taken == [pytest.approx(10 * (1 + draw / 10))]


async def test_a_429_is_no_attempt(naps):
    once = Failing(*[RateLimitedError("slow", status=429, retry_after_s=0.0) for _ in range(20)], lost())
    assert await retrier(attempts=2).run(once, deadline=NEVER) == "done"
    assert once.calls == 22
    assert min(naps.taken[:20]) >= 1.0  # a server that says 0 is not asked in a loop


async def test_a_wait_beyond_the_deadline_is_not_begun(naps):
    once = Failing(lost())
    began = time.monotonic()
    with pytest.raises(ConnectFailedError):
        await retrier(1.0, base_s=30, cap_s=60).run(once, deadline=Deadline.after(0.5))
    assert time.monotonic() - began < 0.2
    assert naps.taken == []


async def test_the_budget_is_35_transient_retries_in_a_row(naps):
    budget = RetryBudget()
    done = 0
    with pytest.raises(RetryBudgetExhaustedError) as caught:
        for _ in range(100):
            with pytest.raises(ConnectFailedError):
                await retrier(budget=budget, attempts=2).run(Failing(lost(), lost()), deadline=NEVER)
            done += 1
    assert done == 35
    assert caught.value.verdict is Verdict.RETRY
    assert "connect_failed" in caught.value.message


async def test_successes_refill_the_budget_and_retries_stay_a_share_of_them(naps):
    budget, draw, retries = RetryBudget(), random.Random(5), 0
    for _ in range(20_000):
        errors = [lost()] if draw.random() < 0.5 else []
        once = Failing(*errors, *([lost()] if errors and draw.random() < 0.9 else []))
        with contextlib.suppress(TransferError):
            await retrier(budget=budget, attempts=2).run(once, deadline=NEVER)
        retries += once.calls - 1
    assert retries < 0.25 * 20_000


async def test_a_pause_costs_no_budget(naps):
    budget = RetryBudget()
    for _ in range(500):
        await retrier(budget=budget).run(Failing(RateLimitedError("slow", status=429)), deadline=NEVER)
    await retrier(budget=budget).run(Failing(lost()), deadline=NEVER)


async def test_cancellation_passes_through_at_once():
    async def once():
        raise lost()

    began = time.monotonic()
    with anyio.move_on_after(0.05):
        await retrier(1.0, base_s=10, cap_s=60, attempts=9).run(once, deadline=NEVER)
    assert time.monotonic() - began < 0.5
