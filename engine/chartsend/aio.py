"""The few asyncio lessons, once: deadlines, blocking calls that may hang, and closing.

The one rule: nothing here may hang its caller. A call that hangs is left behind, parked on an
executor of its own, and keeps what it uses until it returns.
"""

from __future__ import annotations

import asyncio
import logging
import math
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Final, TypeVar, TypeVarTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

LAST_CALLS_S: Final = 1.0

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger("chartsend")


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time on the event loop's monotonic clock, made once at the outermost call.

    Attributes:
        at: Seconds on the clock of `anyio.current_time`; infinity for no deadline.
    """

    at: float

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The point `seconds` from now; None means never.

        Raises:
            ValueError: `seconds` is negative or not a number.
        """
        if seconds is None:
            return cls(math.inf)
        if not seconds >= 0:
            raise ValueError("a deadline lies 0 or more seconds ahead")
        return cls(anyio.current_time() + seconds)

    @property
    def remaining_s(self) -> float:
        """Seconds left, 0 when it has passed."""
        return max(0.0, self.at - anyio.current_time())

    @property
    def has_passed(self) -> bool:
        """Whether the point has been reached."""
        return self.at <= anyio.current_time()

    def sooner_of(self, seconds: float) -> Deadline:
        """The earlier of this deadline and `seconds` from now."""
        return Deadline(min(self.at, anyio.current_time() + seconds))


class Shared:
    """What a thread may still use when its owner has gone. The last one out closes.

    A descriptor that was closed under a running read would be reused by the next open, and the
    read would return the bytes of another file.
    """

    __slots__ = ("_close", "_lock", "_users")

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close
        self._users = 1  # the owner
        self._lock = Lock()

    def take(self) -> None:
        """Count one more user."""
        with self._lock:
            self._users += 1

    def let_go(self) -> None:
        """Count one user less, and close after the last."""
        with self._lock:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            self._close()


class Lane:
    """A bounded set of threads for calls that may block, kept apart from the loop's own.

    While every thread is parked in a call that hangs, further calls wait until their callers'
    deadlines pass; the event loop is never held up. The threads are daemons, unlike those of
    `concurrent.futures`: a call that never returns must not keep a service from ending.
    """

    def __init__(self, *, threads: int, name: str = "chartsend") -> None:
        self._most = threads
        self._name = name
        self._lock = Lock()
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._running = 0
        self._is_closed = False

    @property
    def running(self) -> int:
        """Calls that have started or wait, those that were abandoned included."""
        with self._lock:
            return self._running

    def _submit(self, func: Callable[[*Ts], T], *args: *Ts) -> Future[T]:
        work: Future[T] = Future()

        def call() -> None:
            if work.set_running_or_notify_cancel():
                try:
                    result = func(*args)
                except BaseException as exc:  # noqa: BLE001  # it belongs to whoever waits
                    work.set_exception(exc)
                else:
                    work.set_result(result)

        with self._lock:
            if self._is_closed:
                raise RuntimeError("the engine was closed")
            self._running += 1
            # One thread more unless there is one free for each call that waits.
            if self._running > len(self._threads) and len(self._threads) < self._most:
                thread = Thread(target=self._serve, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
        self._queue.put(call)
        return work

    def _serve(self) -> None:
        while (call := self._queue.get()) is not None:
            call()
            with self._lock:
                self._running -= 1
            del call  # it holds the buffers of its caller

    async def run(self, shared: Shared, func: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `func` in a thread. Cancelled, go at once and leave it parked.

        Args:
            shared: What `func` uses; held until `func` has returned, also after a cancellation.
            func: A blocking call. Its exceptions are raised here.
            *args: Passed to `func`.
        """
        shared.take()
        try:
            work = self._submit(func, *args)
        except BaseException:
            shared.let_go()
            raise
        work.add_done_callback(lambda _: shared.let_go())  # also when cancelled unstarted
        return await asyncio.wrap_future(work)

    async def aclose(self) -> None:
        """End the threads. Those parked in a call that hangs are left behind, and logged."""
        with self._lock:
            self._is_closed = True
        await close_within(LAST_CALLS_S, self._wait_idle)
        parked = self.running
        for _ in self._threads:
            self._queue.put(None)
        if parked:
            _log.warning("left %d blocking calls behind that did not return", parked)
            return
        for thread in self._threads:
            thread.join(LAST_CALLS_S)

    async def _wait_idle(self) -> None:
        """Wait for the last calls; an abandoned read usually returns within a millisecond."""
        with anyio.move_on_after(LAST_CALLS_S / 2):
            while self.running:  # noqa: ASYNC110  # threads end without a word to the loop
                await anyio.sleep(0.002)


async def close_within(seconds: float, close: Callable[[], Awaitable[object]]) -> None:
    """Await `close()` although the caller is cancelled, for at most `seconds`.

    A failure while closing is logged and does not replace the first one.
    """
    with anyio.move_on_after(seconds, shield=True) as scope:
        try:
            await close()
        except Exception as exc:  # noqa: BLE001  # the first failure is the one to report
            _log.warning("closing failed: %s", type(exc).__name__)
    if scope.cancelled_caught:
        _log.warning("closing took longer than %.0f s and was given up", seconds)


async def finish(seconds: float, work: Callable[[], Coroutine[object, object, None]]) -> None:
    """Run `work()` to its end although the caller is cancelled, then pass the cancellation on.

    For facts that must be noted: an anyio shield keeps scopes off, but not `task.cancel()`, so the
    work runs in a task of its own, which is always waited for.

    Args:
        seconds: How long it may take; after that it is cancelled and a `TimeoutError` is raised.
        work: A coroutine function without arguments.

    Raises:
        TimeoutError: The work did not end in time.
    """
    task = asyncio.ensure_future(work())  # noqa: TID251  # waited for below, whatever happens
    until = anyio.current_time() + seconds
    cancellation: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not task.done() and anyio.current_time() < until:
            try:
                await asyncio.wait({task}, timeout=until - anyio.current_time())
            except asyncio.CancelledError as exc:
                cancellation = exc
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=1.0)
    if cancellation is not None:
        if task.done() and not task.cancelled() and task.exception() is not None:
            _log.error("noting a result failed: %s", type(task.exception()).__name__)
        raise cancellation
    if task.cancelled() or not task.done():
        raise TimeoutError(f"not done within {seconds:.0f} s")
    task.result()
