"""One operation with the server: token, body, attempt, verdict, retry.

The one rule: every attempt opens its own body, and whoever opened a reader closes it.
"""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import urlsplit

import anyio

from ..aio import close_within
from ..errors import (
    AuthRejectedError,
    AuthUnavailableError,
    ConnectFailedError,
    Phase,
    RateLimitedError,
    TransferError,
    Verdict,
)
from ..ports import Operation, Progress
from ..redox import replies
from ..transport import breaker
from ..transport.body import StreamingBody
from ..transport.breakers import Target
from ..transport.buffers import Buffers
from ..transport.chunks import Chunks
from ..transport.http import REPLY_CAP_BYTES, Outgoing
from ..transport.retry import Retrier, RetryBudget, parse_retry_after
from ..transport.verdicts import judge

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..ports import Reader, Reply, Source, TokenSource
    from ..settings import Settings
    from ..transport.breakers import Breakers
    from ..transport.http import Http
    from .ask import Ask, Tally
    from .bodies import Framed

T = TypeVar("T")

CLOSE_S: Final = 5.0
SLOWEST_USUAL_BYTES_PER_S: Final = 1 << 20
"""A token must outlive a body that goes out at this rate."""
PROGRESS_EVERY_S: Final = 0.1

_log = logging.getLogger("chartsend")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation of a send.

    Attributes:
        operation: Upload, message or search.
        url: Where to.
        headers: Without Authorization.
        framed: How its body looks.
        source: Where the body's bytes come from; None for a body in memory.
        gate: Awaited with the digest before the last chunk of every attempt, if there is one.
        reply_cap_bytes: An answer above this is `ResponseTooLargeError`.
    """

    operation: Operation
    url: str
    headers: Mapping[str, str]
    framed: Framed
    source: Source | None
    gate: Callable[[str | None], Awaitable[None]] | None
    reply_cap_bytes: int = REPLY_CAP_BYTES

    def target(self, ask: Ask) -> Target:
        """Whom its requests are for: where files are uploaded is a service of its own."""
        host = urlsplit(self.url).netloc
        if self.operation is Operation.UPLOAD:
            return Target(host, self.url, "the upload address")
        name = ask.destination.name
        return Target(host, name, f"destination {name}")


class Exchanger:
    """Runs steps: the part that every operation of every send shares.

    Args:
        settings: For retries.
        http: Makes the attempts.
        tokens: Gives the bearer tokens.
        breakers: What attempts wait at while the other side is down; None to fail instead.
    """

    def __init__(
        self,
        settings: Settings,
        http: Http,
        tokens: TokenSource,
        breakers: Breakers | None = None,
    ) -> None:
        self._breakers = breakers
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._budgets: dict[str, RetryBudget] = {}
        self._buffers = Buffers()
        self.retries = 0

    def stop_waiting(self) -> None:
        """The engine closes: from now on an outage is a failure."""
        self._breakers = None

    async def run(self, step: Step, ask: Ask, tally: Tally, read: Callable[[Reply], T]) -> T:
        """Do one step until it is done, in doubt, or given up.

        Args:
            step: What to do.
            ask: The send it belongs to; its deadline covers all attempts.
            tally: Noted in, also when this raises.
            read: Turns a complete success into what is wanted, or raises.

        Raises:
            TransferError: With its final verdict.
        """

        def count(error: TransferError) -> None:
            self.retries += 1
            # A 429 pauses everything: that is told once, where it pauses.
            level = logging.DEBUG if isinstance(error, RateLimitedError) else logging.WARNING
            _log.log(
                level,
                "%s: %s will be tried again after %s",
                ask.shown_as,
                step.operation.value,
                error.code,
            )

        budget = self._budgets.setdefault(ask.destination.name, RetryBudget())
        retrier = Retrier(self._settings.retry, budget, on_retry=count)
        return await retrier.run(lambda: self._guarded(step, ask, tally, read), deadline=ask.deadline)

    async def _guarded(self, step: Step, ask: Ask, tally: Tally, read: Callable[[Reply], T]) -> T:
        """One attempt; with breakers, those that fail because nobody is there are no attempt.

        They are waited out at the breaker, until the deadline. As long as that is closed still, the
        waits between them grow, so that whoever is alone opens it too.
        """
        failures = 0
        while True:
            try:
                return await self._once(step, ask, tally, read)
            except TransferError as error:
                if not self._is_outage(step, ask, error):
                    raise
                failures += 1
                wait_s = self._wait_s(step, ask, failures)
                if anyio.current_time() + wait_s >= ask.deadline.at:
                    raise
            self.retries += 1
            await anyio.sleep(wait_s)

    def _is_outage(self, step: Step, ask: Ask, error: TransferError) -> bool:
        """Whether it failed because nobody is there, and a breaker knows when to ask again."""
        if self._breakers is None or error.verdict is not Verdict.RETRY or error.is_last:
            return False
        if isinstance(error, ConnectFailedError | AuthUnavailableError):
            return True
        return error.status == 503 and self._breakers.is_open(step.target(ask))

    def _wait_s(self, step: Step, ask: Ask, failures: int) -> float:
        if self._breakers is None or self._breakers.is_open(step.target(ask)):
            return 0.0
        cap_s = min(self._settings.retry.cap_s, breaker.PROBE_EVERY_S)
        return random.random() * min(cap_s, self._settings.retry.base_s * 2.0 ** min(failures, 16))  # noqa: S311

    async def _once(self, step: Step, ask: Ask, tally: Tally, read: Callable[[Reply], T]) -> T:
        """One attempt; a 401 is answered with one fresh token, once."""
        try:
            reply = await self._attempt(step, ask, tally)
            has_repeated = reply.status == 401 and _can_repeat(step)
            if has_repeated:
                tally.is_settled = True  # refused, so not applied
                reply = await self._attempt(step, ask, tally)
            error = judge(
                step.operation,
                reply,
                said="" if 200 <= reply.status <= 299 else replies.explain(reply),
                retry_after_s=self._asked_s(reply),
                retries_5xx=self._settings.retry.message_on_5xx == "retry",
            )
            if error is not None:
                raise _completed(error, has_repeated=has_repeated)
            result = read(reply)
        except TransferError as error:
            tally.is_settled = error.verdict is not Verdict.IN_DOUBT
            if error.verdict is Verdict.RETRY and not _can_repeat(step):
                error.end_here(
                    "it was not tried again, because the iterator was read already: pass a function"
                    " that opens a fresh one"
                )
            raise
        tally.is_settled = True
        return result

    async def _attempt(self, step: Step, ask: Ask, tally: Tally) -> Reply:
        breakers = self._breakers
        if breakers is None:
            return await self._request(step, ask, tally)
        target = step.target(ask)
        await breakers.wait(target, ask.deadline)
        # Before this becomes the one probe there may be: a token request would wait for its end.
        await self._token(step, ask)
        async with breakers.attempt(target, ask.deadline) as passage:
            reply = await self._request(step, ask, tally)
            passage.answered(reply.status, asked_s=self._asked_s(reply))
            return reply

    async def _token(self, step: Step, ask: Ask) -> str:
        """A token that outlives the step's body."""
        life_s = step.framed.frame.declared_bytes / SLOWEST_USUAL_BYTES_PER_S
        return await self._tokens.token(min_life_s=life_s, deadline=ask.deadline)

    async def _request(self, step: Step, ask: Ask, tally: Tally) -> Reply:
        """One request, with a body and a token of its own, got once the quota lets it go."""
        frame = step.framed.frame
        made: list[tuple[StreamingBody, Reader | None, str]] = []

        async def make() -> Outgoing:
            token = await self._token(step, ask)
            reader = step.source.reader() if step.source is not None else None
            tally.attempts += 1
            body = StreamingBody(
                frame,
                chunks=self._chunks(reader),
                encoder=step.framed.encoder(),
                gate=step.gate,
                on_handed=_progress(ask, frame.declared_bytes),
            )
            if step.operation is Operation.MESSAGE:
                tally.message_body, tally.is_settled = body, False
            made.append((body, reader, token))
            headers = {**step.headers, "Authorization": f"Bearer {token}"}
            return Outgoing(step.operation, step.url, headers, body, step.reply_cap_bytes)

        try:
            reply = await self._http.exchange_fresh(step.operation, make, deadline=ask.deadline)
        finally:
            for body, reader, _ in made:
                body.let_go()
                if reader is not None:
                    tally.sha256 = body.sha256 or tally.sha256
                    if reader.whole is None:  # what is in memory has nothing to close
                        await close_within(CLOSE_S, reader.aclose)
        if reply.status == 401:
            self._tokens.reject(made[0][2])
        return reply

    def _chunks(self, reader: Reader | None) -> Chunks | None:
        if reader is None:
            return None
        return Chunks(reader, hashes=self._settings.hash, buffers=self._buffers)

    def _asked_s(self, reply: Reply) -> float | None:
        """How long the answer asks to wait; None when it does not, or not in a valid way."""
        asked = reply.headers.get("retry-after")
        if asked is None:
            return None
        cap_s = self._settings.retry.retry_after_cap_s
        return parse_retry_after(asked, date=reply.headers.get("date"), cap_s=cap_s)


def _completed(error: TransferError, *, has_repeated: bool) -> TransferError:
    """The error, with what is known of where it came and whether it can be tried again."""
    if isinstance(error, AuthRejectedError) and has_repeated:
        error.verdict = Verdict.GIVE_UP  # a fresh token was refused as well
    error.phase = error.phase or Phase.ANSWERED
    return error


def _can_repeat(step: Step) -> bool:
    """Whether another attempt can have a body: an iterator that was read has nothing more to give."""
    return step.source is None or step.source.can_reopen


def _progress(ask: Ask, declared_bytes: int) -> Callable[[int], None] | None:
    """A reporter that speaks a few times a second, and at the end of a body."""
    on_progress = ask.on_progress
    if on_progress is None:
        return None
    last_s = anyio.current_time()
    is_broken = False

    def report(sent_bytes: int) -> None:
        nonlocal last_s, is_broken
        now = anyio.current_time()
        if is_broken or (now - last_s < PROGRESS_EVERY_S and sent_bytes != declared_bytes):
            return
        last_s = now
        progress = Progress(
            document_id=ask.document_id,
            source=ask.document.name,
            sent_bytes=sent_bytes,
            declared_bytes=declared_bytes,
        )
        try:
            on_progress(progress)
        except Exception as exc:  # noqa: BLE001  # a display must not decide what becomes of a document
            is_broken = True
            _log.warning("on_progress raised %s; this body goes on without it", type(exc).__name__)

    return report
