"""When a row that was provably not applied comes back."""

from chartsend.batch.schedule import STEPS_S, is_over, wait_s
from chartsend.errors import RateLimitedError, RetryBudgetExhaustedError, ServerUnavailableError

down = ServerUnavailableError("503")


def test_the_steps_are_1_2_4_8_15_30_60_and_then_60_minutes():
    minutes = [wait_s(down, tries, draw=lambda: 0.5) / 60 for tries in range(10)]
    assert minutes == [1, 2, 4, 8, 15, 30, 60, 60, 60, 60]


def test_each_wait_is_spread_by_a_fifth():
    for tries, step in enumerate(STEPS_S):
        assert wait_s(down, tries, draw=lambda: 0.0) == step * 0.8
        assert abs(wait_s(down, tries, draw=lambda: 1.0) - step * 1.2) < 1e-6


def test_what_the_server_asked_for_is_never_undercut():
    error = RateLimitedError("429", retry_after_s=900.0)
    assert wait_s(error, 0, draw=lambda: 0.0) == 900


def test_an_empty_retry_budget_is_not_the_rows_doing():
    assert wait_s(RetryBudgetExhaustedError("x"), 6, draw=lambda: 0.5) == 60


def test_a_row_is_given_up_when_its_next_try_would_come_too_late():
    assert not is_over(0, 1000, 59, 60)
    assert is_over(0, 1000, 60, 60)
