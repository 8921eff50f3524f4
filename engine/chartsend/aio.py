"""The few asyncio lessons, once: deadlines, blocking calls that may hang, and closing.

The one rule: nothing here may hang its caller. A call that hangs is left behind, parked on an
executor of its own, and keeps what it uses until it returns.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from threading import Condition, Lock, Thread
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
        self._changed = Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._threads: list[Thread] = []
        self._busy = 0
        self._is_closed = False

    @property
    def running(self) -> int:
        """Calls that run or wait, those included whose callers have gone."""
        with self._changed:
            return self._busy + len(self._waiting)

    def _submit(self, call: Callable[[], None]) -> None:
        with self._changed:
            if self._is_closed:
                raise RuntimeError("the engine was closed")
            # One thread more, unless there is an idle one for each call that waits.
            is_short = self._busy + len(self._waiting) >= len(self._threads)
            if is_short and len(self._threads) < self._most:
                thread = Thread(target=self._serve, name=self._name, daemon=True)
                thread.start()  # it may raise: the system has no thread left; then nothing has changed
                self._threads.append(thread)
            self._waiting.append(call)
            self._changed.notify()

    def _withdraw(self, call: Callable[[], None]) -> bool:
        """Take a call back; False when it has started, so that it runs to its end."""
        with self._changed:
            try:
                self._waiting.remove(call)
            except ValueError:
                return False
            return True

    def _serve(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    if self._is_closed:
                        return
                    self._changed.wait()
                call = self._waiting.popleft()
                self._busy += 1
            call()
            del call  # it holds the buffers of its caller
            with self._changed:
                self._busy -= 1

    async def run(self, shared: Shared, func: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """Run `func` in a thread. Cancelled, go at once and leave it parked.

        Args:
            shared: What `func` uses; held until `func` has returned, also after a cancellation.
            func: A blocking call. Its exceptions are raised here.
            *args: Passed to `func`.
        """
        # A plain future and one wake-up: a concurrent.futures.Future in between costs a third more.
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        call = partial(_answer, loop, answer, shared, partial(func, *args))
        shared.take()
        try:
            self._submit(call)
        except BaseException:
            shared.let_go()
            raise
        try:
            return await answer
        except asyncio.CancelledError:
            # Before it started: while every thread hangs, what waits must not pile up.
            if self._withdraw(call):
                shared.let_go()
            raise
        finally:
            del call, answer  # an exception of theirs would hold this frame, and this frame them

    async def aclose(self) -> None:
        """End the threads. Those parked in a call that hangs are left behind, and logged."""
        await close_within(LAST_CALLS_S, self._wait_idle)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        parked = self.running
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


def _answer(
    loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T], shared: Shared, func: Callable[[], T]
) -> None:
    """Run a call in this thread, let go of what it used, and tell whoever waits for it."""
    outcome = _outcome(func)
    _let_go(shared)
    with suppress(RuntimeError):  # the loop was closed meanwhile; nobody waits
        loop.call_soon_threadsafe(_tell, answer, outcome)
    del answer, outcome  # a traceback holds the frames around it, this one too


def _outcome(func: Callable[[], T]) -> tuple[T, None] | tuple[None, BaseException]:
    """What a call gave, or raised."""
    try:
        return func(), None
    except BaseException as exc:  # noqa: BLE001  # it belongs to whoever waits
        return None, exc


def _tell(answer: asyncio.Future[T], outcome: tuple[T, None] | tuple[None, BaseException]) -> None:
    """Give an outcome to whoever waits for it, if anybody still does."""
    if answer.done():
        return
    if outcome[1] is not None:
        answer.set_exception(outcome[1])
    else:
        answer.set_result(outcome[0])


def _let_go(shared: Shared) -> None:
    """Let go in a thread, which must live on whatever closing raises."""
    try:
        shared.let_go()
    except Exception as exc:  # noqa: BLE001  # the call's own outcome is the one to tell
        _log.warning("closing failed: %s", type(exc).__name__)


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
    work runs in a task of its own, which is waited for however often the caller is cancelled. Only who
    cancels every task of the loop, as `asyncio.run` does after a second Ctrl-C, reaches the work, and
    not before its first step.

    Args:
        seconds: How much longer it may take once the caller was cancelled; then it is cancelled,
            and that is logged.
        work: A coroutine function without arguments. Its exceptions are raised here, unless the
            caller was cancelled: then they are logged.
    """
    kept = _Kept(work)
    try:
        await kept.until_ended()
    except asyncio.CancelledError:
        with anyio.CancelScope(shield=True):  # a scope would cancel again and again
            await kept.outlast(seconds)
        raise
    kept.task.result()


class _Kept:
    """Work in a task of its own, begun again if that was cancelled before its first step."""

    def __init__(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        self._work = work
        self._has_begun = False
        self.task = self._start()

    def _start(self) -> asyncio.Task[None]:
        return asyncio.create_task(self._run())  # noqa: TID251  # whoever made this waits for it

    async def _run(self) -> None:
        self._has_begun = True
        await self._work()

    async def until_ended(self) -> None:
        """Wait until the work has ended; what it raised stays in the task."""
        while True:
            await asyncio.wait({self.task})
            if self._has_begun:
                return
            self.task = self._start()

    async def outlast(self, seconds: float) -> None:
        """The same, whatever cancels the caller meanwhile; after `seconds` the work is cancelled."""
        if not await self._has_ended_within(seconds):
            _log.warning("what had to be noted took longer than %.0f s and was given up", seconds)
            self.task.cancel()
            if not await self._has_ended_within(LAST_CALLS_S):
                return
        failure = None if self.task.cancelled() else self.task.exception()
        if failure is not None:  # the cancellation is the one to report
            _log.warning("what had to be noted was not: %s", type(failure).__name__)

    async def _has_ended_within(self, seconds: float) -> bool:
        until = anyio.current_time() + seconds
        while (left_s := until - anyio.current_time()) > 0:
            with suppress(asyncio.CancelledError):  # the first one is passed on in the end
                await asyncio.wait({self.task}, timeout=left_s)
            if self.task.done():
                if self._has_begun:
                    return True
                self.task = self._start()
        return False
