"""One small loop over attempts, and how long to wait between them.

The one rule: only what was provably not applied is tried again, and one deadline covers every
attempt and every wait.
"""

from __future__ import annotations

import datetime as dt
import random
import re
import time
from email.utils import parsedate_tz
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from ..errors import (
    ProtocolError,
    RateLimitedError,
    ResponseTooLargeError,
    RetryBudgetExhaustedError,
    ServerUnavailableError,
    SourceChangedError,
    TransferError,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..aio import Deadline
    from ..settings import Retry

T = TypeVar("T")

_DATES: Final = (
    re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT", re.ASCII),
    re.compile(r"[A-Z][a-z]{5,8}, \d{2}-[A-Z][a-z]{2}-\d{2} \d{2}:\d{2}:\d{2} GMT", re.ASCII),
    re.compile(r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}", re.ASCII),
)
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)

BUDGET_TOKENS: Final = 500
COST_TRANSIENT: Final = 14
COST_THROTTLED: Final = 5
"""Sizes of the AWS SDKs' retry quota: at most 35 transient retries in a row, and in the long run
one in 14 of the successes."""

PAUSE_FLOOR_S: Final = 1.0
"""After a 429 without Retry-After, which Redox does not document, the first pause."""


def parse_http_date(text: str) -> float | None:
    """Seconds since the epoch for the three forms of RFC 9110 section 5.6.7; else None."""
    if not any(form.fullmatch(text) for form in _DATES):
        return None
    parts = parsedate_tz(text)
    if parts is None:
        return None
    try:
        return dt.datetime(*parts[:6], tzinfo=dt.UTC).timestamp()
    except (ValueError, OverflowError):
        return None


def parse_retry_after(value: str, *, date: str | None, cap_s: float) -> float | None:
    """How long the server asks to wait, in seconds, 0 to `cap_s`; None for garbage.

    Args:
        value: The header: ASCII digits, or a date.
        date: The answer's own `Date`, so that a wrong clock on either side does not matter.
        cap_s: The longest wait that is taken.
    """
    value = value.strip(" \t")
    if _SECONDS.fullmatch(value):
        return min(float(value), cap_s)
    when = parse_http_date(value)
    if when is None:
        return None
    server_now = parse_http_date(date) if date is not None else None
    return min(max(0.0, when - (time.time() if server_now is None else server_now)), cap_s)


class RetryBudget:
    """Keeps retries a small share of successes, so that an outage is not answered with a storm."""

    def __init__(self) -> None:
        self._tokens = BUDGET_TOKENS

    def spend(self, error: TransferError) -> int:
        """Take the cost of one retry.

        Raises:
            RetryBudgetExhaustedError: There is not enough left.
        """
        cost = COST_TRANSIENT if error.retry_after_s is None else COST_THROTTLED
        if cost > self._tokens:
            raise RetryBudgetExhaustedError(
                f"too many retries for this destination; the last failure was {error.code}:"
                f" {error.message}",
                phase=error.phase,
                status=error.status,
            ) from error
        self._tokens -= cost
        return cost

    def give_back(self, cost: int) -> None:
        """A success: the last cost, or 1, comes back."""
        self._tokens = min(BUDGET_TOKENS, self._tokens + max(1, cost))


class Retrier:
    """Runs one operation until it is done, in doubt, given up, or out of attempts or time.

    Args:
        policy: Attempts and waits.
        budget: Shared by all operations with one destination.
        random: Draws from [0, 1); replaced in tests.
        on_retry: Told of every retry, before its wait.
    """

    def __init__(
        self,
        policy: Retry,
        budget: RetryBudget,
        *,
        draw: Callable[[], float] = random.random,
        on_retry: Callable[[TransferError], None] | None = None,
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._draw = draw
        self._on_retry = on_retry

    async def run(self, once: Callable[[], Awaitable[T]], *, deadline: Deadline) -> T:
        """Call `once` until it returns, or until its failure may not be repeated.

        A 429 pauses and is no attempt. Cancellation passes through at once.

        Raises:
            TransferError: The last failure, its verdict unchanged.
        """
        failures = pauses = cost = 0
        while True:
            try:
                result = await once()
            except TransferError as error:
                is_pause = isinstance(error, RateLimitedError)
                pauses, failures = pauses + is_pause, failures + (not is_pause)
                wait_s = self._wait_s(error, failures, pauses)
                is_last = error.is_last or failures >= _attempts(error, self._policy)
                is_late = anyio.current_time() + wait_s >= deadline.at
                if error.verdict is not Verdict.RETRY or is_last or is_late:
                    raise
                cost = cost if is_pause else self._budget.spend(error)  # a pause adds no load
                if self._on_retry is not None:
                    self._on_retry(error)
            else:
                self._budget.give_back(cost)
                return result
            await anyio.sleep(wait_s)

    def _wait_s(self, error: TransferError, failures: int, pauses: int) -> float:
        """Full jitter; never less than the server asked for, plus up to a tenth."""
        policy = self._policy
        if isinstance(error, RateLimitedError):
            drawn = PAUSE_FLOOR_S + self._draw() * min(policy.cap_s, 2.0 ** min(pauses, 16))
        else:
            is_throttled = isinstance(error, ServerUnavailableError) and error.status == 503
            base = policy.throttled_base_s if is_throttled else policy.base_s
            drawn = self._draw() * min(policy.cap_s, base * 2.0 ** min(failures, 16))
        if error.retry_after_s is None:
            return drawn
        asked = error.retry_after_s
        return max(asked * (1 + 0.1 * self._draw()), drawn)


def _attempts(error: TransferError, policy: Retry) -> int:
    """A bad answer is worth fewer tries than a bad line; a changed source must be opened anew."""
    if isinstance(error, SourceChangedError):
        return 1
    if isinstance(error, ProtocolError):
        is_readable = error.status is not None and not isinstance(error, ResponseTooLargeError)
        return min(policy.attempts, 3 if is_readable else 2)
    return policy.attempts
