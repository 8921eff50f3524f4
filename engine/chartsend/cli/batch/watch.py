"""An orderly end for what takes a night: signals, and a clock for the display, beside the work.

The one rule: a first signal asks, a second one acts, and nothing that hangs keeps the process.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

import anyio

from ...errors import TransferError
from ..exits import INTERRUPTED, TERMINATED
from ..progress import TICK_S, say
from ..run import DRAIN_S, LEAVE_S, heeded, leave, leave_after

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

CLOSE_S: Final = 10.0
"""How long ledger and connections may take to close once the work was cancelled."""


class Watch:
    """Runs work until it ends, or is stopped.

    A signal that the caller made this process ignore (`nohup`, `&` in a script) stays ignored. A
    terminal that closes (SIGHUP) counts as SIGTERM.

    Args:
        tick: Called every `TICK_S`, for the display.

    Attributes:
        signal: The exit code of the signal that stopped it, or None.
        stop: Called at a first signal: takes no more in, so that what is under way gets `DRAIN_S`.
            None while nothing is under way: then the work is cancelled at once.
    """

    def __init__(self, tick: Callable[[], Awaitable[None]]) -> None:
        self._tick = tick
        self._work: anyio.CancelScope | None = None
        self.signal: int | None = None
        self.stop: Callable[[str], None] | None = None

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work; cancelled by a signal, return as if it had ended.

        Raises:
            TransferError: As the work does.
        """
        failure: TransferError | None = None
        self._work = anyio.CancelScope()
        async with anyio.create_task_group() as beside:
            beside.start_soon(self._signals)
            beside.start_soon(self._ticks)
            with self._work:
                try:
                    await work()
                except TransferError as exc:
                    failure = exc
            beside.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def drain(self, why: str) -> None:
        """Take nothing more in, and give what is under way `DRAIN_S`."""
        if self._work is None:
            return
        if self.stop is None:
            self._work.cancel()
            return
        self.stop(why)
        self._work.deadline = min(self._work.deadline, anyio.current_time() + DRAIN_S)

    async def _ticks(self) -> None:
        while True:
            await anyio.sleep(TICK_S)
            await self._tick()

    async def _signals(self) -> None:
        asking = heeded()
        if not asking:
            return
        with anyio.open_signal_receiver(*asking) as signals:
            async for each in signals:
                if self.signal is not None:
                    if self._work is not None:
                        self._work.cancel()
                    leave_after(LEAVE_S, self.signal)
                    continue
                self.signal = INTERRUPTED if each is signal.SIGINT else TERMINATED
                if self.stop is None:
                    leave_after(CLOSE_S, self.signal)
                else:
                    say(f"Stopping: what is under way gets {DRAIN_S:.0f} s; a second signal acts now.")
                    leave_after(DRAIN_S + CLOSE_S, self.signal)
                self.drain(f"stopped by {each.name}")


def leave_if_stuck(exit_code: int) -> None:
    """Leave at once if a blocking call still hangs in a thread, now that everything was closed."""
    others = (each for each in threading.enumerate() if each is not threading.main_thread())
    if any(not isinstance(each, threading.Timer) for each in others):
        leave(exit_code)
