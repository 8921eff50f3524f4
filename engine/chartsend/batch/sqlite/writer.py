"""The thread that writes: it makes the steps of all who wait in one transaction, and then tells them.

The one rule: a step's caller hears of it after the commit that holds it was confirmed by the disk, or
hears the error. When a commit fails, every step of its group fails, and every later one: nobody knows
what the disk kept, and asking it again may get a wrong answer.

Theory of operation. `do` puts a step (a function of the `Store`) into a queue and waits for a future.
The thread takes all that has gathered there, opens a transaction, makes one step after another,
commits, and resolves the futures on the event loop. While it waits for the disk, the next group
gathers. A step that is refused (its row is not its caller's any more) has changed nothing: it fails
alone, and the others of its group are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from ...errors import LedgerCorruptError, LedgerError, LedgerFullError
from . import failures
from .session import Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .store import Store

_T = TypeVar("_T")
_P = ParamSpec("_P")

MOST_STEPS: Final = 1024
"""Steps in one transaction, at most."""
LINGER_S: Final = 0.001
"""Steps that come within a millisecond share a commit: the more at once, the less each costs."""
JOIN_S: Final = 5.0

_log = logging.getLogger("chartsend")


@dataclass(frozen=True, slots=True)
class _Step:
    """A step that waits for its commit."""

    future: asyncio.Future[Any]
    make: Callable[[Store], Any]


_Outcome = tuple["asyncio.Future[Any]", object, BaseException | None]


class Writer:
    """Makes steps in a thread of its own, in groups. Made by `start`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._steps: SimpleQueue[_Step | None] = SimpleQueue()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._is_closing = False
        self._failure: LedgerError | None = None
        self._thread: Thread | None = None

    @classmethod
    async def start(cls, directory: Path, *, create: bool) -> tuple[Writer, bytes]:
        """Open the ledger in its thread; give also its key.

        Cancelled, the ledger is closed as soon as it is open.

        Raises:
            LedgerError, InsecureConfigError, ConfigError: It cannot be opened.
        """
        writer = cls()
        opened: asyncio.Future[bytes] = writer._loop.create_future()
        writer._thread = Thread(
            target=writer._run, args=(directory, create, opened), name="chartsend-ledger", daemon=True
        )
        writer._thread.start()
        try:
            return writer, await asyncio.shield(opened)
        except asyncio.CancelledError:
            writer._steps.put(None)
            raise
        except BaseException:
            writer._thread.join(JOIN_S)  # it told of its failure last
            raise

    async def do(
        self, make: Callable[Concatenate[Store, _P], _T], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Make a step, durably. Cancelled, the step may be made all the same.

        Raises:
            LedgerError: It was not made, or nobody knows.
        """
        if self._failure is not None:
            raise again(self._failure)
        if self._is_closing:
            raise LedgerError("the ledger was closed; open it again")
        future: asyncio.Future[_T] = self._loop.create_future()
        self._steps.put(_Step(future, lambda store: make(store, *args, **kwargs)))
        return await future

    async def aclose(self) -> None:
        """Commit what waits, and close. Safe to call twice; cancelled, it is done all the same."""
        if not self._is_closing:
            self._is_closing = True
            self._steps.put(None)
        await asyncio.shield(self._ended)
        if self._thread is not None:
            self._thread.join(JOIN_S)  # its last act was to tell that it ends

    # -- in the thread ------------------------------------------------------------------------

    def _run(self, directory: Path, create: bool, opened: asyncio.Future[bytes]) -> None:  # noqa: FBT001
        try:
            session = Session.open(directory, create=create)
        except BaseException as exc:  # noqa: BLE001  # it belongs to whoever opens
            self._tell([(opened, None, exc)])
            return
        self._tell([(opened, session.store.key, None)])
        try:
            while (group := self._next()) is not None:
                self._make(session, group)
        finally:
            session.close()
            self._tell([(self._ended, None, None)])

    def _next(self) -> list[_Step] | None:
        """The steps that wait; None when there will be no more."""
        first = self._steps.get()
        if first is not None:
            time.sleep(LINGER_S)
        group: list[_Step] = []
        while first is not None:
            group.append(first)
            if len(group) == MOST_STEPS:
                break
            try:
                first = self._steps.get_nowait()
            except Empty:
                break
        else:
            self._steps.put(None)  # for the next turn, when this group is made
            if not group:
                return None
        return group

    def _make(self, session: Session, group: list[_Step]) -> None:
        outcomes: list[_Outcome] = []
        if self._failure is None:
            try:
                session.begin()
                outcomes = [self._made(session.store, step) for step in group]
                session.commit()
            except BaseException as exc:  # noqa: BLE001  # every caller of the group gets it
                self._fail(session, exc)
        if self._failure is not None:
            failure = self._failure
            self._tell([(step.future, None, again(failure)) for step in group])
            return
        self._tell(outcomes)
        try:
            session.tidy()
        except BaseException as exc:  # noqa: BLE001  # the next caller gets it
            self._fail(session, exc)

    def _made(self, store: Store, step: _Step) -> _Outcome:
        """What one step came to, before the commit."""
        changes = store.changes
        try:
            return step.future, step.make(store), None
        except (sqlite3.Error, UnicodeDecodeError):
            raise  # the tables cannot be read
        except Exception as exc:
            if store.changes != changes:
                raise  # it is half made: nothing of the group may be kept
            return step.future, None, exc

    def _fail(self, session: Session, exc: BaseException) -> None:
        """From now on, nothing is written any more."""
        if self._failure is None:
            self._failure = failures.of(exc, "writing the ledger", session.place.directory)
            session.abandon()
            _log.error("the ledger failed: %s", self._failure.message)

    def _tell(self, outcomes: list[_Outcome]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(_resolve, outcomes)


def _resolve(outcomes: list[_Outcome]) -> None:
    for future, result, error in outcomes:
        if future.done():  # its caller has gone
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def again(failure: LedgerError) -> LedgerError:
    """The same error for one more caller: an exception that is raised twice mixes up tracebacks."""
    kinds = (LedgerFullError, LedgerCorruptError)
    kind = next((kind for kind in kinds if isinstance(failure, kind)), LedgerError)
    error = kind(failure.message)
    error.__cause__ = failure
    return error
