"""The workers of one engine: who gets which send, and what a worker asks of the engine meanwhile.

The one rule: a caller gets one answer for each send, and the journal hears of it first, whatever
becomes of the worker.

Theory of operation. The task of the caller attends to its send: it answers what the worker needs for
it (the journal's word before a last chunk, a token), and takes its end. There is no other task. A send
that is cancelled leaves nothing behind: the worker is told, and its last word is waited for. That is not
for long once the message may be whole: then the journal hears that it is in doubt, and a worker that
does not end the send in its time is killed. When a worker dies, its sends are judged by what it said
last: it asks before it releases the last chunk of a message, so one that has not asked cannot have been
applied.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Final

import anyio

from ..aio import Deadline, close_within, finish
from ..errors import Phase, TransferError, WorkerLostError
from ..send.noting import JOURNAL_S, Noting, plain
from ..transport.verdicts import unknown
from .crossing import restored
from .member import Member
from .wire import Begin, Ended, Granted, NeedIntent, NeedToken, NeedUploaded, Refused

if TYPE_CHECKING:
    from ..aio import Lane
    from ..auth import TokenKeeper
    from ..document import Receipt
    from ..ports import Journal
    from ..send import Ask
    from ..transport.breakers import Breakers
    from ..transport.meter import Statistics
    from .job import Job
    from .wire import Outage

START_S: Final = 60.0
"""How long workers may take to be ready; half a second is usual."""
CANCEL_S: Final = 15.0
"""How long a worker may take to end a send that is cancelled, before it is killed."""
WORD_S: Final = 0.5
"""How long it may take to say what became of a message that may be whole; then that is in doubt.

Much less than the 2 s in which a command leaves that was told to stop twice."""
LATE_S: Final = 30.0
"""How long after a send's deadline its worker may be silent before it is killed."""
CLOSE_S: Final = 5.0

_log = logging.getLogger("chartsend")


class Crew:
    """Worker processes that send what an engine gives them. Start it with `start`, end it with `aclose`.

    Args:
        begin: What each worker is told first.
        lane: Threads for starting and ending them.
        journal: Told of every step, here, in the engine's process.
        tokens: Where workers get theirs.
        breakers: The engine's own, which open and close with theirs.
    """

    def __init__(
        self,
        begin: Begin,
        *,
        lane: Lane,
        journal: Journal,
        tokens: TokenKeeper,
        breakers: Breakers | None,
    ) -> None:
        self._begin = begin
        self._lane = lane
        self._journal = journal
        self._noting = Noting(journal)
        self._tokens = tokens
        self._breakers = breakers
        self._folder = _working_folder()
        self._members: list[Member] = []

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that live, as far as is known."""
        return [each.pid for each in self._members if not each.is_lost]

    async def start(self) -> None:
        """Start the workers, and wait until they are ready.

        Raises:
            WorkerLostError: One of them did not start.
        """
        for _ in range(self._begin.workers):
            await self._add()
        is_ready = False
        with anyio.move_on_after(START_S):
            is_ready = all([await each.until_known() for each in self._members])
        if not is_ready:
            raise WorkerLostError("a worker process did not start; its own words are on stderr")

    async def _add(self) -> None:
        try:
            member = await Member.start(
                self._begin, lane=self._lane, reject=self._tokens.reject, share=self._share
            )
        except OSError as exc:
            raise WorkerLostError(f"a worker process cannot be started ({exc.strerror})") from exc
        self._members.append(member)

    def tell(self, outage: Outage, *, but: Member | None = None) -> None:
        """An outage that was found here, or the end of one, concerns all workers."""
        for each in self._members:
            if each is not but:
                each.say(outage)

    def _share(self, by: Member, outage: Outage) -> None:
        """What one of them found concerns the others, and the engine's own requests."""
        self.tell(outage, but=by)
        if self._breakers is not None:
            self._breakers.told(outage.key, outage.what, is_open=outage.is_open)

    @property
    def statistics(self) -> list[Statistics]:
        """What each of them did, those included that are no more."""
        told = (each.statistics for each in self._members)
        return [each for each in told if each is not None]

    def can_take(self, ask: Ask) -> bool:
        """Whether a worker can send it: what is in memory, or a stream, stays here."""
        path = ask.document.path
        return path is not None and self._is_same_there(path) and any(m.is_ready for m in self._members)

    def _is_same_there(self, path: str) -> bool:
        """Whether it names the same file in a worker, which stays in the folder where it was started.

        What lies below `/dev` and `/proc` may name this process's own descriptors.
        """
        if path.startswith("/"):
            return not path.startswith(("/dev/", "/proc/"))
        return self._folder is not None and self._folder == _working_folder()

    async def send(self, ask: Ask) -> Receipt:
        """As `Sender.send`, in the worker that has least to do.

        Raises:
            TransferError: As for `Sender.send`.
            WorkerLostError: The worker died before the message could be whole; verdict RETRY.
        """
        member = min((each for each in self._members if each.is_ready), key=lambda each: each.in_flight)
        job = member.begin(ask)
        try:
            try:
                ended = await self._attend(member, job)
            except BaseException:
                await finish(CANCEL_S + JOURNAL_S, lambda: self._call_off(member, job))
                raise
            return await self._conclude(job, ended)
        finally:
            member.end(job)

    async def _attend(self, member: Member, job: Job) -> Ended | None:
        """Answer what the worker needs until the job has ended; None when the worker has gone."""
        late_at = job.ask.deadline.at + LATE_S
        while True:
            message = None
            with anyio.CancelScope(deadline=late_at) as scope:
                message = await job.next()
            if scope.cancelled_caught:
                _log.error("a worker process does not answer, and is ended")
                member.kill()
                late_at = float("inf")
                continue
            if message is None or isinstance(message, Ended):
                return message
            with job.answering(late_at):
                member.say(await self._answer(job, message))

    async def _answer(
        self, job: Job, message: NeedIntent | NeedUploaded | NeedToken
    ) -> Granted | Refused:
        try:
            if isinstance(message, NeedIntent):
                await self._journal.intent(message.intent)
                job.allow(message.intent)
                job.failure = None  # of an attempt that was abandoned
            elif isinstance(message, NeedUploaded):
                await self._journal.uploaded(message.uploaded)
            else:
                deadline = Deadline(message.deadline_at)
                token = await self._tokens.lease(min_life_s=message.min_life_s, deadline=deadline)
                return Granted(job.number, token)
        except TransferError as error:
            job.refusal = error
            return Refused(job.number, plain(error))
        except Exception as error:  # noqa: BLE001  # a journal's; it ends the send as it is
            job.failure = error
        else:
            return Granted(job.number)
        return Refused(job.number, None)

    async def _call_off(self, member: Member, job: Job) -> None:
        """The caller has gone: hear what became of its send, note that, and let the worker end it."""
        member.cancel(job)
        wait_s = min(WORD_S, CANCEL_S) if job.may_be_whole else CANCEL_S
        try:
            with anyio.move_on_after(wait_s):
                await job.until_ended()
        finally:
            # Also when this is cancelled itself, as every task is when a program ends in a hurry.
            if not job.has_ended:
                member.give_up(job, CANCEL_S - wait_s)
            await self._note_end(job)

    async def _note_end(self, job: Job) -> None:
        """Note how a send ended whose caller has gone, if there is something to note."""
        receipt = None
        if job.end is not None:
            receipt = job.end.receipt
        elif job.may_be_whole:
            error = _lost(job) if job.has_ended else _silent()
            _log.warning("%s: %s", job.ask.shown_as, error.message)
            receipt = job.ended(error)
        if receipt is None:
            self._noting.not_applied(job.ask)
        else:
            await self._noting.result(job.ask, receipt)

    async def _conclude(self, job: Job, ended: Ended | None) -> Receipt:
        ask = job.ask
        error: BaseException | None
        if ended is None:
            error = _lost(job)
            error.document_id = ask.document_id
            error.receipt = receipt = job.ended(error)
        else:
            error, receipt_or_none = restored(ended.error, job.refusal), ended.receipt
            if receipt_or_none is None:
                self._noting.not_applied(ask)
            is_over = receipt_or_none is None or receipt_or_none.status == "failed"
            if is_over and job.failure is not None:
                raise job.failure
            if receipt_or_none is None:
                raise error or WorkerLostError("a worker gave no result; this is a defect")
            receipt = receipt_or_none
        await self._noting.result(ask, receipt, error if isinstance(error, TransferError) else None)
        if error is not None:
            raise error
        return receipt

    async def aclose(self) -> None:
        """End the workers. Sends under way have been cancelled by then."""
        async with anyio.create_task_group() as tasks:
            for each in self._members:
                tasks.start_soon(close_within, CLOSE_S, each.aclose)


def _working_folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109  # asked for each relative path
    except OSError:  # it was removed
        return None


def _silent() -> TransferError:
    return unknown(
        "the send was cancelled after its last byte may have left, and its worker said no more",
        phase=Phase.BODY_SENT,
    )


def _lost(job: Job) -> TransferError:
    if job.may_be_whole:
        return unknown(
            "the worker process died after the message's last byte may have left", phase=Phase.BODY_SENT
        )
    return WorkerLostError(
        "the worker process died before the message was whole; it can be sent again",
        phase=Phase.PARTLY_SENT,
    )
