"""While the other side is down, one probe at a time asks whether it is back; everything else waits.

The one rule: an outage costs a handful of requests, not one per document that waits.

Theory of operation. Failures in a row are counted; five open it. While it is open, a request is let
pass only as the probe: one at a time, the next 5 s after the last one ended. A probe that succeeds
closes it, for everybody.

What opens and closes it are requests of the present period only: a period ends whenever it opens or
closes. A success of a request that began before the outage does not let everybody loose on a closed
port, and a connection that times out late does not shut out a server that is back.

Nothing is awaited between `lets_pass` and `begin`, so two cannot both become the probe. Whatever
ends a probe gives its place back, and wakes all who wait.
"""

from __future__ import annotations

import enum
import logging
import random
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

from ..errors import DeadlineExceededError, Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..aio import Deadline

FAILURES: Final = 5
"""So many failures in a row open it."""
PROBE_EVERY_S: Final = 5.0
"""While it is open; up to a fifth is added, so that several processes do not ask in step."""

_log = logging.getLogger("chartsend")


class Sign(enum.Enum):
    """What the end of a request says of the other side."""

    ALIVE = "alive"
    DOWN = "down"
    NONE = "none"
    """It was asked, and one cannot tell: a reset, a stall."""
    WITHDRAWN = "withdrawn"
    """Whoever asked has gone before the end; somebody else may ask at once."""


class Turn(NamedTuple):
    """One request that was let pass.

    Attributes:
        period: In which period of the breaker it began.
        is_probe: Whether the breaker was open then.
    """

    period: int
    is_probe: bool


class Breaker:
    """Lets requests pass while the other side works, and one probe per 5 s while it does not.

    Args:
        what: What it stands before, for people: no host name, no path.
        sharers: How many breakers of other processes probe for the same outage: each asks that much
            less often.
        on_change: Told when it opens (True) and closes by what it saw itself, for the others.
        draw: Draws from [0, 1); replaced in tests.
    """

    def __init__(
        self,
        what: str,
        *,
        sharers: int = 1,
        on_change: Callable[[bool], None] | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.what = what
        self._sharers = sharers
        self._on_change = on_change
        self._draw = draw
        self._failures = 0
        self._period = 0
        self._probe_at: float | None = None  # None: closed
        self._is_probing = False
        self._changed = anyio.Event()

    @property
    def is_open(self) -> bool:
        """Whether requests wait."""
        return self._probe_at is not None

    @property
    def lets_pass(self) -> bool:
        """Whether a request may be made at this moment."""
        if self._probe_at is None:
            return True
        return not self._is_probing and anyio.current_time() >= self._probe_at

    async def wait(self, deadline: Deadline) -> None:
        """Wait until a request may be made. Cancelled, it takes nothing.

        Raises:
            DeadlineExceededError: It stayed open until the deadline; verdict RETRY.
        """
        while (probe_at := self._probe_at) is not None and not self.lets_pass:
            if deadline.has_passed:
                raise DeadlineExceededError(
                    f"{self.what} did not come back before the deadline", phase=Phase.NOT_SENT
                )
            until = deadline.at if self._is_probing else min(probe_at, deadline.at)
            changed = self._changed
            with anyio.move_on_at(until):
                await changed.wait()

    def begin(self) -> Turn:
        """Let one request pass; call it while `lets_pass`, and pair it with `end`."""
        is_probe = self._probe_at is not None
        self._is_probing = self._is_probing or is_probe
        return Turn(self._period, is_probe)

    def end(self, turn: Turn, sign: Sign, *, asked_s: float = 0.0) -> None:
        """The request has ended, however it ended.

        Args:
            turn: What `begin` gave.
            sign: What its end says.
            asked_s: How long the answer asks to leave it alone.
        """
        if turn.is_probe:
            self._is_probing = False
        if turn.period == self._period:
            self._judge(turn, sign, asked_s)
        if turn.is_probe:
            self._tell()

    def _judge(self, turn: Turn, sign: Sign, asked_s: float) -> None:
        if sign is Sign.ALIVE:
            self._failures = 0
            if turn.is_probe:
                self._close()
        elif sign is Sign.DOWN and not turn.is_probe:
            self._failures += 1
            if self._failures >= FAILURES:
                self._open(asked_s)
        elif turn.is_probe and sign is not Sign.WITHDRAWN:
            self._put_off(asked_s)

    def told(self, *, is_open: bool) -> None:
        """Another process's breaker before the same service has opened, or closed."""
        if is_open and self._probe_at is None:
            self._begin_outage(0.0)
        elif not is_open and self._probe_at is not None:
            self._end_outage()
            self._tell()

    def _open(self, asked_s: float) -> None:
        self._begin_outage(asked_s)
        if self._on_change is not None:
            self._on_change(True)  # a callback
        _log.warning(
            "%s is down: what is meant for it waits, and one request every %.0f s asks whether it"
            " is back",
            self.what,
            PROBE_EVERY_S,
        )

    def _begin_outage(self, asked_s: float) -> None:
        self._period += 1
        self._put_off(asked_s)

    def _close(self) -> None:
        self._end_outage()
        if self._on_change is not None:
            self._on_change(False)  # a callback
        _log.warning("%s is back", self.what)

    def _end_outage(self) -> None:
        self._period += 1
        self._failures = 0
        self._probe_at = None

    def _put_off(self, asked_s: float) -> None:
        drawn = self._draw()
        every_s = PROBE_EVERY_S * (1 + 0.2 * drawn)
        if self._sharers > 1:  # out of step with the others, and all together one in five seconds
            every_s = PROBE_EVERY_S * self._sharers * (0.5 + drawn)
        wait_s = max(every_s, asked_s * (1 + 0.1 * drawn))
        self._probe_at = anyio.current_time() + wait_s

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
