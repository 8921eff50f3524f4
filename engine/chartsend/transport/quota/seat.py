"""One engine's place at the quota's file: taking part, leaving, and clearing up after those who died.

The one rule: whatever is found there, doubt is resolved against us: what the server may still count is
counted here.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ...errors import ConfigError
from .clock import SECOND_NS, boot_id
from .page import MOST_SLOTS, DamagedError, OtherVersionError, Page, Slot
from .process import own_slot
from .ring import begun_anew

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ring import Ring

CHECK_EVERY_NS: Final = SECOND_NS
"""How often it is looked whether the file was deleted, and whether somebody has died: both cost system
calls, and neither lets a request too many through when it is noticed late."""
_SPINS: Final = 20
"""Tries for the lock before the event loop gets its turn: who has it needs some 10 microseconds."""

_ANEW: Final = (
    "the record of the request quota %s: it is begun anew, as if the whole quota had just been used, so"
    " requests wait for up to one window"
)

_log = logging.getLogger("chartsend")


class Alone:
    """The place of an engine whose quota is off: what is noted here, nobody else sees."""

    def __init__(self) -> None:
        self.page = Page(boot_id())

    def change(self, work: Callable[[Page], int | None]) -> bool:
        """Do the work."""
        work(self.page)
        return True


class Seat:
    """A place at the file of one API origin. Close it.

    Args:
        open_ring: Opens the file; again when it was deleted.
        clock: Nanoseconds on the clock that all processes share.

    Attributes:
        ring: The file.
        in_flight: This engine's requests that the file counts as in flight.

    Raises:
        ConfigError: The file cannot be opened, or belongs to somebody else.
    """

    def __init__(self, open_ring: Callable[[], Ring], clock: Callable[[], int]) -> None:
        self._open_ring = open_ring
        self._clock = clock
        self.ring = open_ring()
        self.in_flight = 0
        self._me = own_slot()
        self._index = 0
        self._is_known = False  # whether this engine has seen the file in order
        self._was_deleted = False
        self._checked_ns = clock()
        self._swept_ns = self._checked_ns - CHECK_EVERY_NS

    def change(self, work: Callable[[Page], int | None]) -> bool:
        """Do some work on the page under the lock; False if that was not possible now.

        Args:
            work: Changes the page and returns how many requests this engine then has in flight; or
                changes nothing and returns None. It must not await, and may raise `DamagedError`:
                then the file is begun anew, and the work is to be tried again.

        Raises:
            ConfigError: The file cannot be shared: another machine or version writes it too, or
                too many engines do.
            OSError: The file could not be read or written; then nothing has changed.
        """
        self._follow_name()
        if not self._lock():
            return False
        try:
            page = self._entered()
            try:
                in_flight = work(page)
            except DamagedError:
                self._begin_anew("was damaged")
                return False
            if in_flight is not None:
                page.slots[self._index].in_flight = in_flight
                self.ring.save(page)
                self.in_flight = in_flight
        except BaseException:
            self.ring.forget()
            raise
        finally:
            self.ring.unlock()
        return True

    def sweep(self, page: Page) -> None:
        """Count what died in flight as answered now; within `change`, at most once a second.

        Raises:
            OSError: It could not be written.
        """
        now_ns = self._clock()
        if now_ns - self._swept_ns >= CHECK_EVERY_NS:
            self._swept_ns = now_ns
            if self._clear(page):
                self.ring.save(page)

    def close(self) -> None:
        """Leave the table. What is still in flight counts as answered now."""

        def leave(page: Page) -> int:
            self.ring.push(page, self._clock(), self.in_flight)
            return 0

        try:
            if self.change(leave) and self._lock():
                page = self.ring.load()
                page.slots[self._index] = Slot()
                self.ring.save(page)
        except (ConfigError, OSError, DamagedError, OtherVersionError) as exc:
            _log.debug("the record of the request quota was left as it is: %s", type(exc).__name__)
        finally:
            self.ring.close()  # and with it the locks: others see that the slot is free

    def _lock(self) -> bool:
        return self.ring.try_lock() or any(self.ring.try_lock() for _ in range(_SPINS))

    def _entered(self) -> Page:
        """The page, with a slot of ours in it."""
        page = self._loaded()
        self._is_known = True
        if self._was_deleted:  # what it held is lost, and who takes part in the new one is known
            self._was_deleted = False
            page.written, page.floor_ns = 0, self._clock()
            _log.warning(_ANEW, "was deleted")
            self.ring.save(page)
        if self._index >= len(page.slots) or page.slots[self._index].token != self._me.token:
            self._sit_down(page)
            self.ring.save(page)
        return page

    def _loaded(self) -> Page:
        try:
            page = self.ring.load()
        except DamagedError:
            return self._begin_anew("was damaged")
        except OtherVersionError:
            if self._is_known:
                raise ConfigError(
                    "another version of chartsend writes the quota's file at the same time; end it, or"
                    " set XDG_STATE_HOME for one of them"
                ) from None
            return self._begin_anew("is of another version")
        return page if page.boot == boot_id() else self._after_boot(page)

    def _begin_anew(self, why: str) -> Page:
        _log.warning(_ANEW, why)
        page = begun_anew(self._clock())
        self._sit_down(page)
        self.ring.save(page)
        return page

    def _after_boot(self, old: Page) -> Page:
        """What is known of an earlier boot: its requests came before this one, or died with it."""
        if self._is_known:  # we live, so it was not this machine that was started again
            raise ConfigError(
                "another machine writes the quota's file at the same time; set XDG_STATE_HOME to a"
                " folder on a disk of this machine"
            )
        now_ns = self._clock()
        page = replace(begun_anew(0), pace=old.pace.after_boot(now_ns))
        self.ring.push(page, now_ns, old.in_flight)
        return page

    def _follow_name(self) -> None:
        """Go over to the new file when ours was deleted: other processes would not see us."""
        now_ns = self._clock()
        if now_ns - self._checked_ns < CHECK_EVERY_NS:
            return
        self._checked_ns = now_ns
        if not self.ring.is_deleted:
            return
        fresh = self._open_ring()
        self.ring.close()
        self.ring, self._is_known, self._was_deleted = fresh, False, True

    def _sit_down(self, page: Page) -> None:
        """Take a free slot, and hold its lock for as long as this engine is open."""
        self.ring.let_go(self._index)
        self._clear(page)
        for index in range(MOST_SLOTS):
            if index == len(page.slots):
                page.slots.append(Slot())
            if page.slots[index].token:
                continue
            try:
                self.ring.hold(index)
            except BlockingIOError:  # of somebody who sat here before the file was begun anew
                continue
            self._index = index
            page.slots[index] = replace(self._me, in_flight=self.in_flight)
            return
        raise ConfigError(f"more than {MOST_SLOTS} engines share one quota; end some of them")

    def _clear(self, page: Page) -> bool:
        """Free the slots of those who have gone; whether there were any."""
        has_changed = False
        for index, slot in enumerate(page.slots):
            if slot.token in {0, self._me.token} or not self.ring.is_abandoned(index, slot):
                continue
            if slot.in_flight:
                _log.info("counted %d requests of a process that has ended", slot.in_flight)
            # A time from before it was seen to be gone might be one from before it went.
            self.ring.push(page, self._clock(), slot.in_flight)
            page.slots[index] = Slot()
            has_changed = True
        return has_changed
