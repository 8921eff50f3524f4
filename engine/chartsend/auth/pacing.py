"""How often the token server is asked: tries until the deadline, at a pace kept between callers.

The one rule: however many callers come and go, the token server sees one series of requests with
growing pauses, never a fresh burst per caller.

A failure that says nothing about the credentials (no connection, 429, 5xx) is tried again until
the deadline, because a document waits for its token and does not fail for want of one. The pauses
are this room's retry budget: from the second minute of an outage on, one request in 10 s on
average. The number of failures, and when the next request may leave, outlive the caller that met
them: its successor goes on in the same series.
"""

from __future__ import annotations

import logging
import math
import random
from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from ..errors import (
    AuthUnavailableError,
    DeadlineExceededError,
    Phase,
    ProtocolError,
    RateLimitedError,
    ServerUnavailableError,
    TransferError,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..aio import Deadline
    from ..settings import Retry

T = TypeVar("T")

MALFORMED_TRIES: Final = 3
"""An answer that is no token answer seldom becomes one; a proxy's error page may."""

PATIENCE_S: Final = 3600.0
"""The longest outage that is sat out in one call, for callers without a deadline; a batch gives
each document an hour."""

PAUSE_FLOOR_S: Final = 1.0
"""After a 429, for which Redox documents no Retry-After."""

_log = logging.getLogger("chartsend")


class Pace:
    """The series of token requests of one process.

    Args:
        policy: The waits: full jitter from `base_s`, or `throttled_base_s`, up to `cap_s`.
        sleep: Waits so many seconds; replaced in tests.
        draw: Draws from [0, 1); replaced in tests.
    """

    def __init__(
        self,
        policy: Retry,
        *,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._sleep = sleep
        self._draw = draw
        self._failures = 0
        self._due_at = -math.inf
        self._trouble = "no answer yet"

    async def run(self, once: Callable[[Deadline], Awaitable[T]], *, deadline: Deadline) -> T:
        """Call `once` until it returns, until its failure may not be repeated, or the deadline.

        Cancellation passes through at once.

        Raises:
            AuthUnavailableError: Three answers in a row were no token answers, or there was no
                token for an hour.
            DeadlineExceededError: `deadline` passed; the text tells the last failure.
            TransferError: What `once` raised with another verdict than RETRY.
        """
        limit = deadline.sooner_of(PATIENCE_S)
        is_own_limit = limit.at < deadline.at
        try:
            with anyio.CancelScope(deadline=limit.at):
                return await self._tries(once, limit)
        except DeadlineExceededError:
            if not is_own_limit:
                raise
        if is_own_limit:
            raise AuthUnavailableError(
                f"no access token for {PATIENCE_S:.0f} s: {self._trouble}", phase=Phase.NOT_SENT
            )
        raise DeadlineExceededError(
            f"no access token came before the deadline: {self._trouble}",
            phase=Phase.NOT_SENT,
        )

    async def _tries(self, once: Callable[[Deadline], Awaitable[T]], limit: Deadline) -> T:
        malformed = 0
        while True:
            wait_s = self._due_at - anyio.current_time()
            if wait_s > 0:
                await self._sleep(wait_s)
            try:
                result = await once(limit)
            except TransferError as exc:
                malformed += isinstance(exc, ProtocolError)
                self._judge(exc, malformed)
            else:
                self._failures, self._due_at = 0, -math.inf
                return result

    def _judge(self, failure: TransferError, malformed: int) -> None:
        """Return when another try makes sense, and otherwise raise what the caller gets."""
        is_malformed = isinstance(failure, ProtocolError)
        may_repeat = is_malformed or failure.verdict is Verdict.RETRY
        if isinstance(failure, DeadlineExceededError) or not may_repeat:
            raise failure
        self._failed(failure)
        if isinstance(failure, AuthUnavailableError):
            raise failure
        if malformed >= MALFORMED_TRIES:
            raise AuthUnavailableError(
                f"{malformed} answers of the token server were unusable; the last: {failure.message}",
                phase=failure.phase,
                status=failure.status,
            ) from failure

    def _failed(self, failure: TransferError) -> None:
        wait_s = self._wait_s(failure)
        self._failures += 1
        self._due_at = anyio.current_time() + wait_s
        self._trouble = f"{failure.code}: {failure.message}"
        # Of one outage the 1st failure is told, the 2nd, the 4th, the 8th …: a night of it is 15 lines.
        level = logging.DEBUG if self._failures & (self._failures - 1) else logging.WARNING
        _log.log(
            level,
            "no token yet: code=%s status=%s failures=%d next_try_s=%.1f",
            failure.code, failure.status, self._failures, wait_s,
        )  # fmt: skip

    def _wait_s(self, failure: TransferError) -> float:
        policy = self._policy
        is_throttled = isinstance(failure, RateLimitedError) or (
            isinstance(failure, ServerUnavailableError) and failure.status == 503
        )
        base_s = policy.throttled_base_s if is_throttled else policy.base_s
        drawn = self._draw() * min(policy.cap_s, base_s * 2.0 ** min(self._failures, 16))
        if failure.retry_after_s is not None:
            return max(failure.retry_after_s * (1 + 0.1 * self._draw()), drawn)
        return drawn + (PAUSE_FLOOR_S if isinstance(failure, RateLimitedError) else 0.0)
