"""Turns: when a request may go, so that the quota holds in every process of this user.

The one rule: without the record no request goes. What cannot be written down now is written down later,
and what is doubtful counts.

Nothing awaits between the moment when a turn is written down and the caller's having it, so whoever is
cancelled has taken nothing.
"""

from __future__ import annotations

import logging
import math
import random
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import anyio

from ...errors import DeadlineExceededError, Phase
from ...ports import Operation
from ...settings.shape import MOST_REQUESTS
from .clock import LONG_AGO_NS, SECOND_NS, boot_ns
from .line import Line, Waiter
from .page import DamagedError, OtherVersionError
from .record import AFTER_TROUBLE_S, Record
from .ring import Answers
from .state import QuotaState, state_of
from .terms import Terms
from .window import free_at_ns, is_full_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...aio import Deadline
    from ...ports import Priority
    from ...settings import Settings
    from .pace import Pace
    from .page import Page

LONGEST_SLEEP_S: Final = 5.0
"""A waiter looks again after this, whatever it saw: others may have learned a higher limit, or died."""
UNASKED_PAUSE_S: Final = 1.0
"""After a 429 without Retry-After, which Redox does not document."""
_NEVER_NS: Final = 1 << 62
_PASSED: Final = "the deadline had passed before this request could go; allow more time"
_USED_UP: Final = "the request quota is used up for longer than the deadline allows"

_log = logging.getLogger("chartsend")


class Turn(NamedTuple):
    """Permission for one request.

    Attributes:
        at_ns: When it was given.
        is_counted: Whether it holds a place in the window.
    """

    at_ns: int
    is_counted: bool


class _Look(NamedTuple):
    """What a look at the record gave: a turn; or when to look again; or that it is hopeless."""

    turn: Turn | None = None
    again_s: float = 0.0
    is_hopeless: bool = False


_HOPELESS: Final = _Look(is_hopeless=True)


class Quota:
    """Paces the requests of one engine, together with all other processes that share its file.

    Leave its `with` block, or close it.

    Args:
        terms: What is allowed; None for no limit: then only pauses hold, in this engine alone.
        priority: Of requests that name none.
        clock: Nanoseconds on a clock that all processes share; replaced in tests.

    Attributes:
        refusals: Answers 429 that this engine got.

    Raises:
        InsecureConfigError: The quota's file or folder belong to somebody else, or others may use them.
        ConfigError: They cannot be made or opened.
    """

    def __init__(
        self,
        terms: Terms | None,
        *,
        priority: Priority = "realtime",
        clock: Callable[[], int] = boot_ns,
    ) -> None:
        self._terms = terms
        self._priority: Priority = priority
        self._clock = clock
        self._line = Line()
        self._record = Record(terms, clock, self._line.tell_all)
        self.refusals = 0

    @classmethod
    def of(cls, settings: Settings, *, priority: Priority = "realtime") -> Self:
        """The quota that the settings name.

        Raises:
            ConfigError: As the class.
        """
        return cls(Terms.of(settings), priority=priority)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Take part no longer. Nobody may be waiting. Safe to call twice."""
        self._record.close()

    async def take(
        self, operation: Operation, deadline: Deadline, *, priority: Priority | None = None
    ) -> Turn:
        """Wait until one more request may be sent, and count it. Give the turn to `answered`.

        Within this engine tokens go first, then real time, then backfill, and among equals it is first
        come, first served. Cancelled while waiting, it takes nothing.

        Args:
            operation: What the request does; some may not count, by setting.
            deadline: When to stop waiting.
            priority: Default: the engine's.

        Raises:
            DeadlineExceededError: The deadline had passed already; or the turn would surely come after
                it, or did not come before it. Nothing was sent.
            ConfigError: The file cannot be shared with others that use it.
        """
        was_over = deadline.has_passed
        waiter = Waiter(
            priority or self._priority,
            is_token=operation is Operation.TOKEN,
            is_counted=self._terms is not None and operation in self._terms.counts,
            until_ns=self._on_our_clock(deadline),
        )
        ahead = self._line.ahead_of(waiter)
        look = self._look(waiter) if ahead == 0 else _Look(is_hopeless=self._is_hopeless(waiter, ahead))
        turn = look.turn
        if turn is None and not look.is_hopeless:
            turn = await self._wait(waiter, look, deadline)
        if turn is None:
            late = DeadlineExceededError(_PASSED if was_over else _USED_UP, phase=Phase.NOT_SENT)
            late.is_last = True
            raise late
        return turn

    def answered(self, turn: Turn, *, is_clean: bool = False) -> None:
        """The request has ended, however it ended: from now on its place ages.

        Args:
            turn: As `take` gave it.
            is_clean: Whether a complete answer came that was no 429.
        """
        clean_ns = turn.at_ns if is_clean else LONG_AGO_NS
        self._record.answered(is_counted=turn.is_counted, clean_ns=clean_ns)

    def refused(self, turn: Turn, *, limit: int | None, asked_s: float | None) -> None:
        """The server answered 429. Call it before `answered`, so that nothing slips out in between.

        Args:
            turn: Of the request that was refused.
            limit: Requests per window that the server named, if it did.
            asked_s: How long it asks to wait, if it does.
        """
        self.refusals += 1
        now_ns = self._clock()
        setting = 0 if self._terms is None else self._terms.requests
        until_ns = self._pause_end_ns(UNASKED_PAUSE_S if asked_s is None else asked_s)

        def note(pace: Pace) -> None:
            is_news = pace.refused(turn.at_ns, now_ns)
            pace.pause(until_ns)
            if limit is not None and limit > 0:
                pace.learn(min(limit, MOST_REQUESTS), setting, now_ns)
            if is_news:
                _log.warning(
                    "the server says that the request quota is used up (429): everything pauses for"
                    " %.1f s, and goes on with caution",
                    (pace.open_at_ns() - now_ns) / SECOND_NS,
                )

        self._record.note(note)
        self._reconsider()

    def pause(self, seconds: float) -> None:
        """Send nothing to this API origin for so long, and up to a tenth longer, in any process."""
        until_ns = self._pause_end_ns(seconds)
        self._record.note(lambda pace: pace.pause(until_ns))
        self._reconsider()

    def state(self) -> QuotaState:
        """How much is used, and how long it was waited for. It changes nothing and takes no lock."""
        if self._terms is None or self._record.seat is None:
            open_ns = self._record.peek().pace.open_at_ns() - self._clock()
            seen = QuotaState(paused_s=max(0, open_ns) / SECOND_NS, refusals=self.refusals)
        else:
            seen = state_of(self._terms, self._record.seat.ring, self._clock)
        return replace(seen, waited_s=self._line.waited_s, held_s=self._line.held_s)

    async def _wait(self, waiter: Waiter, look: _Look, deadline: Deadline) -> Turn | None:
        """Stand in line until it is our turn; None when it would come too late."""
        with self._line.joined(waiter), anyio.CancelScope(deadline=deadline.at):
            while not (look.is_hopeless or waiter.is_hopeless):
                waiter.news = news = anyio.Event()
                if self._line.is_first(waiter):
                    with anyio.move_on_after(min(look.again_s, LONGEST_SLEEP_S)):
                        await news.wait()
                else:
                    await news.wait()
                if self._line.is_first(waiter):
                    look = self._look(waiter)
                    if look.turn is not None:
                        return look.turn
        return None

    def _look(self, waiter: Waiter) -> _Look:
        """Take the turn if there is one."""
        look, trouble = _Look(), None

        def turn(page: Page, in_flight: int) -> int | None:
            nonlocal look
            now_ns = self._clock()
            open_ns = self._open_ns(page, waiter, in_flight, now_ns)
            if waiter.until_ns <= now_ns:
                look = _HOPELESS
                return None
            if open_ns > now_ns:
                is_late = self._is_late(page, waiter, 0, now_ns)
                look = _Look(again_s=(open_ns - now_ns) / SECOND_NS, is_hopeless=is_late)
                if self._record.seat is not None:  # the sooner the dead are found, the sooner they age
                    self._record.seat.sweep(page)
                return None
            page.pace.dispatched(now_ns)
            look = _Look(Turn(now_ns, waiter.is_counted))
            return in_flight + waiter.is_counted

        try:
            if not self._record.change(turn):
                look = _Look(again_s=self._record.again_s)
        except OSError as exc:
            trouble = exc
            look = _Look(again_s=AFTER_TROUBLE_S)
        self._record.tell_of(trouble)
        return look

    def _open_ns(self, page: Page, waiter: Waiter, in_flight: int, now_ns: int) -> int:
        """When a turn is possible as far as can be seen now; not after `now_ns`: now."""
        open_ns = page.pace.open_at_ns()
        if self._terms is None or self._record.seat is None or not waiter.is_counted:
            return open_ns
        limit = _limit(self._terms, page.pace, waiter, now_ns)
        of_all = page.in_flight - self._record.in_flight + in_flight
        answers = Answers(self._record.seat.ring, page, now_ns)
        return max(open_ns, free_at_ns(answers, limit, of_all, self._terms.window_ns, now_ns))

    def _is_late(self, page: Page, waiter: Waiter, ahead: int, now_ns: int) -> bool:
        """Whether a turn behind `ahead` others surely comes after the deadline."""
        until_ns = waiter.until_ns
        if until_ns <= now_ns or page.pace.paused_until_ns > until_ns:
            return True
        if self._terms is None or self._record.seat is None or not waiter.is_counted:
            return False
        return is_full_until(
            Answers(self._record.seat.ring, page, now_ns),
            _limit(self._terms, page.pace, waiter, until_ns) - ahead,
            page.in_flight,
            self._terms.window_ns,
            now_ns=now_ns,
            until_ns=until_ns,
        )

    def _is_hopeless(self, waiter: Waiter, ahead: int) -> bool:
        """As `_is_late`, at a glance."""
        with suppress(DamagedError, OtherVersionError, OSError):  # who looks next will find it, too
            page = self._record.peek()
            return self._is_late(page, waiter, ahead, self._clock())
        return False

    def _reconsider(self) -> None:
        """Something has changed for everybody: whoever waits in vain is told so."""
        for waiter, ahead in self._line.everybody():
            if self._is_hopeless(waiter, ahead):
                waiter.is_hopeless = True
                waiter.tell()

    def _pause_end_ns(self, seconds: float) -> int:
        """Up to a tenth longer than asked for, so that not everybody comes back at once."""
        return self._clock() + int(seconds * (1 + 0.1 * random.random()) * SECOND_NS)  # noqa: S311

    def _on_our_clock(self, deadline: Deadline) -> int:
        if deadline.at == math.inf:
            return _NEVER_NS
        return self._clock() + int((deadline.at - anyio.current_time()) * SECOND_NS)


def _limit(terms: Terms, pace: Pace, waiter: Waiter, at_ns: int) -> int:
    return terms.limit(pace, at_ns) if waiter.is_token else terms.limit_of(pace, at_ns, waiter.priority)
