"""How long the event loop stands still, as a timer that is due at a random moment would feel it.

The one rule: a stall counts for every tick that it swallowed, not once; else a long one would hide
behind thousands of short ones.
"""

from __future__ import annotations

import asyncio
from typing import Final

TICK_S: Final = 0.001


class Stalls:
    """Ticks on the running loop from `begin` to `end`, and notes how late each tick came."""

    def __init__(self) -> None:
        self._late_s: list[float] = []
        self._handle: asyncio.TimerHandle | None = None
        self._due_s = 0.0

    def begin(self) -> None:
        """Start to tick."""
        self._due_s = asyncio.get_running_loop().time() + TICK_S
        self._handle = asyncio.get_running_loop().call_at(self._due_s, self._tick)

    def end(self) -> list[float]:
        """Stop; give p50, p99, p99.9 and the longest, in milliseconds."""
        if self._handle is not None:
            self._handle.cancel()
        late = sorted(self._late_s)
        if not late:
            return []
        marks = [late[min(len(late) - 1, int(len(late) * share))] for share in (0.5, 0.99, 0.999)]
        return [each * 1000 for each in (*marks, late[-1])]

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        late = now - self._due_s
        while late > TICK_S:
            self._late_s.append(late)  # this tick, and those that should have come meanwhile
            late -= TICK_S
        self._late_s.append(max(late, 0.0))
        self._due_s = now + TICK_S
        self._handle = loop.call_at(self._due_s, self._tick)
