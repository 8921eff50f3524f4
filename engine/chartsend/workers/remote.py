"""The engine's journal and tokens, as a worker reaches them: over the line.

The one rule: a step that the engine's journal did not allow is not taken, and nobody here knows why:
that error stays with the engine and ends the send there.
"""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

import anyio

from ..auth import Token, TokenKeeper
from ..errors import AuthUnavailableError, Phase
from .wire import Granted, NeedIntent, NeedToken, NeedUploaded, Refused, Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..aio import Deadline
    from ..document import Receipt
    from ..ports import Intent, Uploaded
    from .wire import FromWorker

CURRENT: Final[ContextVar[Working]] = ContextVar("chartsend_job")
"""The job that runs in this task, or for which this task writes a body."""


class JournalRefusedError(Exception):
    """The engine's journal raised; the engine knows what."""


class Working:
    """One job in a worker, and what it waits for.

    Args:
        number: As the engine calls it.
        say: Speaks to the engine.

    Attributes:
        scope: Cancelled when the engine wants the job to end.
        receipt: What the sender told the journal last.
        min_life_s: How long the token must live that it asks for.
    """

    def __init__(self, number: int, say: Callable[[FromWorker], None]) -> None:
        self.number = number
        self.scope = anyio.CancelScope()
        self.receipt: Receipt | None = None
        self.min_life_s = 0.0
        self._say = say
        self._answer: Granted | Refused | None = None
        self._answered = anyio.Event()
        self._unanswered = 0

    async def need(self, message: FromWorker) -> Granted:
        """Ask the engine for something, and wait for it.

        Raises:
            TransferError: It cannot be had.
            JournalRefusedError: The journal raised.
        """
        self._answered = anyio.Event()
        self._unanswered += 1
        self._say(message)
        await self._answered.wait()
        answer = self._answer
        assert answer is not None  # noqa: S101  # it was answered
        if isinstance(answer, Refused):
            raise answer.error or JournalRefusedError
        return answer

    def hear(self, answer: Granted | Refused) -> None:
        """The engine's answer, in the order in which it was asked.

        An attempt that the server ended while it waited has left its question behind: what is
        answered to that allows nothing to the attempt after it.
        """
        self._unanswered -= 1
        if not self._unanswered:
            self._answer = answer
            self._answered.set()


class RemoteJournal:
    """Implements `ports.Journal`. Results wait in the job: they cross with its end.

    Args:
        say: Speaks to the engine.
        deliver: Sends what was said, and returns when nothing can keep it from arriving.
        is_kept: Whether the engine has a journal; without one it only has to know.
    """

    def __init__(
        self,
        say: Callable[[FromWorker], None],
        deliver: Callable[[], Awaitable[None]],
        *,
        is_kept: bool,
    ) -> None:
        self._say = say
        self._deliver = deliver
        self._is_kept = is_kept

    async def intent(self, intent: Intent) -> None:
        """See `ports.Journal`."""
        job = CURRENT.get()
        need = NeedIntent(job.number, intent)
        if self._is_kept:
            await job.need(need)
        else:
            # Out of here before the last chunk is: should this process die, the engine is in doubt.
            self._say(need)
            await self._deliver()

    async def uploaded(self, uploaded: Uploaded) -> None:
        """See `ports.Journal`."""
        job = CURRENT.get()
        need = NeedUploaded(job.number, uploaded)
        if self._is_kept:
            await job.need(need)
        else:
            self._say(need)

    async def result(self, row: str | None, receipt: Receipt) -> None:  # noqa: ARG002
        """See `ports.Journal`."""
        CURRENT.get().receipt = receipt


class RemoteTokens:
    """Implements `ports.TokenSource`: one token for all jobs of this worker, got by the engine.

    Args:
        say: Speaks to the engine.
        refresh_margin_s: As the engine has it.
    """

    def __init__(self, say: Callable[[FromWorker], None], *, refresh_margin_s: float) -> None:
        self._say = say
        self._keeper = TokenKeeper(self._fetch, refresh_margin_s=refresh_margin_s, clock=time.monotonic)

    async def token(self, *, min_life_s: float, deadline: Deadline) -> str:
        """See `ports.TokenSource`."""
        CURRENT.get().min_life_s = min_life_s
        return await self._keeper.token(min_life_s=min_life_s, deadline=deadline)

    async def _fetch(self, deadline: Deadline) -> Token:
        job = CURRENT.get()
        granted = await job.need(NeedToken(job.number, job.min_life_s, deadline.at))
        if granted.token is None:
            raise AuthUnavailableError("the engine gave no token", phase=Phase.NOT_SENT)
        return granted.token

    def reject(self, token: str) -> None:
        """See `ports.TokenSource`."""
        self._keeper.reject(token)
        self._say(Rejected(token))

    async def aclose(self) -> None:
        """See `ports.TokenSource`."""
        await self._keeper.aclose()
