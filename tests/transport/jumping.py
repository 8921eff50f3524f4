"""An event loop whose clock is virtual: it jumps to the next timer when nothing is left to do.

A test in which everybody waits for ever ends with an error at once.
"""

from __future__ import annotations

import asyncio
import selectors


class Jumping(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("everybody waits for ever")
        self.now += timeout
        return []


class Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.clock = Jumping()
        super().__init__(self.clock)

    def time(self):
        return self.clock.now


def on_a_jumping_clock(test):
    """Run a coroutine function to its end on a virtual clock."""

    def run(*args, **options):
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(test(*args, **options))

    run.__name__ = test.__name__
    return run
