"""What stops a batch before it fails a million rows for one reason: canaries, and the systemic guard.

The one rule: a failure that is everybody's stops the intake and leaves rows pending; a failure of
one document concerns that document.
"""

from __future__ import annotations

from collections import Counter, deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from ..errors import (
    AuthRejectedError,
    ClockSkewError,
    ConfigError,
    ForbiddenError,
    TlsError,
    TransferError,
)
from ..transport.verdicts import FORBIDDEN_IN_A_ROW

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

WINDOW_ROWS: Final = 200
SHARE: Final = 0.2
"""So much of the last 200 rows failing with one code is no accident."""
FIRST_ROWS: Final = 20
"""As is every single one of the first 20."""
SCHEDULED_IN_A_ROW: Final = 10
"""So many rows in a row that could not be sent for now: the server is in trouble, whatever it says."""
TROUBLE_S: Final = 15.0
"""Then one row after so long asks whether it still is."""
MOST_KINDS: Final = 10_000
"""Kinds of rows that are proven one by one; a batch with more of them is not held up further."""


class Guard:
    """Watches how rows end. `reason` is set once no more should be taken.

    Attributes:
        reason: Why the intake stops, for a person; None while all is well.
        fatal: The error that stopped it, when every other row would meet it too.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.fatal: TransferError | None = None
        self._last: deque[str | None] = deque(maxlen=WINDOW_ROWS)
        self._failures: Counter[str] = Counter()
        self._forbidden = 0
        self._scheduled = 0

    @property
    def is_troubled(self) -> bool:
        """Whether the last rows could all not be sent for now, so that the next ones go one by one."""
        return self._scheduled >= SCHEDULED_IN_A_ROW

    def scheduled(self) -> None:
        """One row could not be sent for now and waits for its next try."""
        self._scheduled += 1

    def concerns_all(self, error: TransferError) -> bool:
        """Whether every other row would be refused for the same reason; then it stops the intake."""
        if not isinstance(error, AuthRejectedError | ClockSkewError | ConfigError | TlsError):
            return False
        self.stop(error.message, fatal=error)
        return True

    def stop(self, reason: str, *, fatal: TransferError | None = None) -> None:
        """Take no more rows; the first reason stays."""
        if self.reason is None:
            self.reason, self.fatal = reason, fatal

    def ended(self, error: TransferError | None) -> None:
        """One row ended: accepted (None), or failed for good."""
        self._scheduled = 0
        code = None if error is None else error.code
        if len(self._last) == WINDOW_ROWS:
            oldest = self._last[0]
            if oldest is not None:
                self._failures[oldest] -= 1
        self._last.append(code)
        if error is None or code is None:
            self._forbidden = 0
            return
        self._failures[code] += 1
        is_account = isinstance(error, ForbiddenError) and not error.by_firewall
        self._forbidden = self._forbidden + 1 if is_account else 0
        if self._forbidden >= FORBIDDEN_IN_A_ROW:
            self.stop(f"{self._forbidden} rows in a row were refused: {error.message}", fatal=error)
        elif self._failures[code] > WINDOW_ROWS * SHARE:
            self.stop(
                f"{self._failures[code]} of the last {len(self._last)} rows failed with {code}:"
                f" {error.message}"
            )
        elif len(self._last) == FIRST_ROWS and self._failures[code] == FIRST_ROWS:
            self.stop(f"the first {FIRST_ROWS} rows all failed with {code}: {error.message}")


class _Kind:
    """One destination and type: how many of its rows were accepted, and who tries now."""

    def __init__(self, needed: int) -> None:
        self.needed = needed
        self.trying = 0
        self.refused = 0
        self.changed = anyio.Event()

    def tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Canaries:
    """Lets the first rows of each destination and type go alone, until so many were accepted.

    When as many were refused for good and none accepted, the intake stops.

    Args:
        needed: How many; 0 for none.
        guard: Told to stop.
    """

    def __init__(self, needed: int, guard: Guard) -> None:
        self._needed = needed
        self._guard = guard
        self._kinds: dict[tuple[str, str | None], _Kind] = {}

    @asynccontextmanager
    async def turn(self, to: str, kind: str | None) -> AsyncGenerator[Turn]:
        """Wait until a row of this kind may go; say in the block whether it was accepted.

        Cancelled while waiting, it takes nothing.
        """
        turn = Turn()
        proving = self._kinds.get((to, kind))
        if proving is None and self._needed and len(self._kinds) < MOST_KINDS:
            proving = self._kinds[to, kind] = _Kind(self._needed)
        if proving is None:
            yield turn
            return
        while 0 < proving.needed <= proving.trying:
            await proving.changed.wait()
        proving.trying += 1
        try:
            yield turn
        finally:
            proving.trying -= 1
            self._note(proving, turn)
            proving.tell()

    def _note(self, proving: _Kind, turn: Turn) -> None:
        if turn.was_accepted:
            proving.needed = max(0, proving.needed - 1)
            return
        proving.refused += turn.was_refused
        if proving.needed == self._needed <= proving.refused:
            count = proving.refused
            first = "row" if count == 1 else f"{count} rows"
            were = "was" if count == 1 else "were all"
            self._guard.stop(
                f"the first {first} for one destination and type {were} refused;"
                " see `batch list --state failed`"
            )


class Turn:
    """One row's turn.

    Attributes:
        was_accepted: Set when it was.
        was_refused: Set when it failed for good.
    """

    def __init__(self) -> None:
        self.was_accepted = False
        self.was_refused = False
