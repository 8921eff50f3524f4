"""Watches one attempt: progress while the body goes out, then the wait for the answer.

The one rule: it judges the network only. Time in which the body waits for its own source or
ledger, and time in which this process's event loop stood still, never count against the peer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Final

from ..errors import StallTimeoutError

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..settings import Timeouts
    from .body import StreamingBody

_TICK_S: Final = 1.0


class Watchdog:
    """Aborts an attempt that hangs, and remembers why. It runs on a timer, not in a task."""

    def __init__(self, body: StreamingBody, timeouts: Timeouts) -> None:
        self._body = body
        self._timeouts = timeouts
        self._tick_s = min(_TICK_S, timeouts.stall_s / 4, timeouts.reply_s / 4)
        self._idle_s = 0.0
        self._sending_s = 0.0
        self._waiting_s = 0.0
        self._window: deque[tuple[float, int]] = deque()
        self._last_sent = 0
        self._handle: asyncio.TimerHandle | None = None
        self.failure: StallTimeoutError | None = None

    @contextlib.contextmanager
    def watching(self) -> Generator[None]:
        """Watch while the block runs."""
        self._arm()
        try:
            yield
        finally:
            if self._handle is not None:
                self._handle.cancel()

    def _arm(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(self._tick_s, self._tick)

    def _tick(self) -> None:
        # One tick counts as one tick, however late it comes: a loop that stood still for a minute
        # says nothing about the peer.
        reason = self._waiting() if self._body.flushed else self._sending()
        if reason is None:
            self._arm()
            return
        self.failure = StallTimeoutError(reason, phase=self._body.phase)
        self._body.abort()

    def _waiting(self) -> str | None:
        self._waiting_s += self._tick_s
        if self._waiting_s <= self._timeouts.reply_s:
            return None
        return f"no answer came for {self._timeouts.reply_s:g} s after the last byte"

    def _sending(self) -> str | None:
        body, limits = self._body, self._timeouts
        sent = body.sent_bytes
        if not body.waiting_bytes:  # the peer has taken all it was given: not its turn
            self._idle_s = 0.0
            self._window.clear()
            self._last_sent = sent
            return None
        self._sending_s += self._tick_s
        self._idle_s = 0.0 if sent > self._last_sent else self._idle_s + self._tick_s
        self._last_sent = sent
        if self._idle_s >= limits.stall_s:
            return (
                f"the server took no byte for {limits.stall_s:g} s"
                f" ({sent} of {body.declared_bytes} bytes sent); is the line overloaded?"
                " fewer sends at once (concurrency) may help"
            )
        allowed_s = limits.attempt_base_s + body.declared_bytes / limits.attempt_bytes_per_s
        if self._sending_s > allowed_s:
            return f"the body did not leave within {allowed_s:.0f} s ({sent} bytes sent)"
        return self._too_slow(sent)

    def _too_slow(self, sent: int) -> str | None:
        limits = self._timeouts
        self._window.append((self._sending_s, sent))
        start_s, start_bytes = self._window[0]
        if self._sending_s - start_s < limits.slow_window_s:
            return None
        if sent - start_bytes < limits.slow_bytes_per_s * limits.slow_window_s:
            return (
                f"the server took {sent - start_bytes} bytes in {limits.slow_window_s:g} s, less than"
                f" {limits.slow_bytes_per_s} a second; fewer sends at once (concurrency) may help"
            )
        while self._window and self._sending_s - self._window[0][0] >= limits.slow_window_s:
            self._window.popleft()
        return None
