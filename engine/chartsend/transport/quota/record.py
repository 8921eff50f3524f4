"""What one engine has to write into the quota's file, until it is written.

The one rule: what cannot be written down at this moment is kept and written soon; until then it counts
as it did before, which is never too little.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...errors import ConfigError
from .clock import LONG_AGO_NS
from .ring import Ring
from .seat import Alone, Seat

if TYPE_CHECKING:
    from collections.abc import Callable

    from .pace import Pace
    from .page import Page
    from .terms import Terms

_BUSY_S: Final = 0.001
_LONGEST_BUSY_S: Final = 0.064
"""Others have the lock, for microseconds; or, stopped in the middle, for longer."""
AFTER_TROUBLE_S: Final = 1.0
"""The file could not be read or written."""
_CLOSING_TRIES: Final = 50

_log = logging.getLogger("chartsend")


class Record:
    """The file of a quota, seen from one engine. Close it.

    Args:
        terms: Whose file; None for no quota: then everything stays in this engine.
        clock: Nanoseconds on a clock that all processes share.
        on_open: Called when the server takes requests again that it refused before.

    Attributes:
        seat: Our place at the file; None without a quota.

    Raises:
        ConfigError: As `Seat`.
    """

    def __init__(
        self, terms: Terms | None, clock: Callable[[], int], on_open: Callable[[], None]
    ) -> None:
        self.seat = None if terms is None else Seat(lambda: Ring.open(terms.origin), clock)
        self._alone = Alone()
        self._clock = clock
        self._on_open = on_open
        self._answers = 0
        self._clean_ns = LONG_AGO_NS
        self._notes: list[Callable[[Pace], None]] = []
        self._later: asyncio.TimerHandle | None = None
        self._is_probing = False
        self._is_in_trouble = False
        self._is_closed = False
        self._failures = 0

    @property
    def again_s(self) -> float:
        """When to try again after `change` has given False: soon, and later if that goes on."""
        wait_s = min(_LONGEST_BUSY_S, _BUSY_S * 2.0 ** min(self._failures, 10))
        return wait_s * (0.5 + random.random())  # noqa: S311  # jitter

    @property
    def in_flight(self) -> int:
        """What the file counts as in flight for this engine."""
        return 0 if self.seat is None else self.seat.in_flight

    def peek(self) -> Page:
        """The page as it is now, without the lock; not to be changed.

        Raises:
            DamagedError, OtherVersionError, OSError: It cannot be had.
        """
        return self._alone.page if self.seat is None else self.seat.ring.peek()

    def answered(self, *, is_counted: bool, clean_ns: int = LONG_AGO_NS) -> None:
        """A request has ended.

        Args:
            is_counted: Whether it holds a place.
            clean_ns: When it was dispatched, if it got a complete answer that is no 429.
        """
        self._answers += is_counted
        self._clean_ns = max(self._clean_ns, clean_ns)
        self._write()

    def note(self, note: Callable[[Pace], None]) -> None:
        """Change the pace, for all."""
        self._notes.append(note)
        self._write()

    def close(self) -> None:
        """Write what is left, and take part no longer. Safe to call twice."""
        if self._is_closed:
            return
        self._is_closed = True
        for _ in range(_CLOSING_TRIES):
            self._write()
            if self._later is None:
                break
            time.sleep(_BUSY_S)
        if self._later is not None:
            self._later.cancel()
        if self.seat is not None:
            self.seat.close()

    def change(self, work: Callable[[Page, int], int | None]) -> bool:
        """Write down what is not written yet, and do `work` on the page; False if not possible now.

        Args:
            work: Of the page and our requests in flight; it gives what these are then, or None when
                it changed nothing.

        Raises:
            OSError, ConfigError: As `Seat.change`; then nothing has changed.
        """
        answers, notes, clean_ns = self._answers, len(self._notes), self._clean_ns
        was_probing = is_probing = False

        def all_of_it(page: Page) -> int | None:
            nonlocal was_probing, is_probing
            in_flight = 0
            if self.seat is not None:
                in_flight = self.seat.in_flight - answers
                self.seat.ring.push(page, self._clock(), answers)
            for note in self._notes[:notes]:
                note(page.pace)
            was_probing = page.pace.answered_cleanly(clean_ns)
            is_probing = page.pace.streak > 0
            after = work(page, in_flight)
            if after is None and (answers or notes or was_probing):
                return in_flight
            return after

        is_done = (self.seat or self._alone).change(all_of_it)
        self._failures = 0 if is_done else self._failures + 1
        if is_done:
            self._answers -= answers
            del self._notes[:notes]
            self._is_probing = is_probing
            if was_probing:
                _log.info("the server takes requests again")
                self._on_open()
        return is_done

    def tell_of(self, trouble: Exception | None) -> None:
        """Say once that the record cannot be written, and once that it can again."""
        if trouble is not None and not self._is_in_trouble:
            why = trouble.strerror if isinstance(trouble, OSError) else str(trouble)
            _log.warning("the record of the request quota cannot be used (%s): requests wait", why)
        if trouble is None and self._is_in_trouble:
            _log.warning("the record of the request quota can be used again")
        self._is_in_trouble = trouble is not None

    def _write(self) -> None:
        """Write down what is not written yet; where that is impossible now, soon."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if not (self._answers or self._notes or self._is_probing):
            return
        again_s, trouble = 0.0, None
        try:
            if not self.change(lambda _, in_flight: in_flight):
                again_s = self.again_s
        except (OSError, ConfigError) as exc:
            again_s, trouble = AFTER_TROUBLE_S, exc
        self.tell_of(trouble)
        if again_s:
            with suppress(RuntimeError):  # no event loop: then `close` tries on
                self._later = asyncio.get_running_loop().call_later(again_s, self._write)
