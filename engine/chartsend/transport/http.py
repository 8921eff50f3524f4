"""One HTTP attempt: hardened aiohttp in, a complete `Reply` or one of our errors out.

The one rule: foreign exceptions are translated here, once, with the phase that decides whether a
repeat is safe; nothing above this file knows aiohttp.

A connection is reused only after an exchange that ended cleanly on both sides; anything else is
aborted, so that what it still held back is dropped and not sent.
"""

from __future__ import annotations

import re
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

import aiohttp
import anyio
from yarl import URL

from .. import errors
from ..aio import close_within
from ..errors import Phase, TransferError
from ..ports import Operation, Reply
from .body import Frame, StreamingBody
from .connection import two_turns
from .meter import Meter
from .retry import parse_retry_after
from .verdicts import for_failure
from .watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ..aio import Deadline
    from ..ports import Priority, SmallRequest
    from ..settings import Settings, Timeouts
    from .quota import Quota, Turn

IDLE_S: Final = 4.0
"""An idle connection is closed before the server would (Node.js closes after 5 s): a message
written to a connection that the server is closing would end in doubt."""

REPLY_CAP_BYTES: Final = 64 * 1024
MAX_REPLY_HEADERS_BYTES: Final = 8190
SETTLE_S: Final = 5.0
_TLS: Final = (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError)
_CONNECT: Final = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
)
_GARBAGE: Final = (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, ValueError)
_LIMIT: Final = re.compile(r"[0-9][0-9,]{0,11}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to go.

    Attributes:
        operation: Decides verdicts.
        url: Absolute, already escaped: it is sent as it stands.
        headers: Without Content-Length and Content-Type, which the body brings.
        body: Fresh for this attempt.
        reply_cap_bytes: An answer above this is `ResponseTooLargeError`.
    """

    operation: Operation
    url: str
    headers: Mapping[str, str] = field(repr=False)  # holds the token
    body: StreamingBody
    reply_cap_bytes: int = REPLY_CAP_BYTES


class Http:
    """Makes attempts over one connection pool. Open it with `async with`."""

    def __init__(self, settings: Settings, quota: Quota, *, user_agent: str) -> None:
        self._timeouts: Timeouts = settings.timeouts
        self._proxy = settings.proxy
        self._quota = quota
        self._retry_after_cap_s = settings.retry.retry_after_cap_s
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._tls = _tls_context(settings.ca_file)
        self._session: aiohttp.ClientSession | None = None
        self.requests: Counter[Operation] = Counter()
        self.meter = Meter()

    async def __aenter__(self) -> Self:
        # `connect` bounds the name's resolution too, which `sock_connect` does not.
        connect_s = self._timeouts.connect_s + self._timeouts.tls_handshake_s
        connector = aiohttp.TCPConnector(
            limit=0,  # slots bound the connections; a second limit could deadlock with them
            ssl=self._tls,
            ttl_dns_cache=10,
            happy_eyeballs_delay=0.25,
            keepalive_timeout=IDLE_S,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=connect_s, sock_connect=connect_s, sock_read=None
            ),
            max_line_size=MAX_REPLY_HEADERS_BYTES,
            max_field_size=MAX_REPLY_HEADERS_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await close_within(SETTLE_S, session.close)

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        """See `ports.SmallExchange`."""
        headers = {k: v for k, v in request.headers.items() if k.lower() != "content-type"}
        content_type = next(
            (v for k, v in request.headers.items() if k.lower() == "content-type"),
            "application/octet-stream",
        )

        async def make() -> Outgoing:
            body = StreamingBody(Frame.of_bytes(request.content(), content_type))
            return Outgoing(request.operation, request.url, headers, body, request.reply_cap_bytes)

        return await self.exchange_fresh(request.operation, make, deadline=deadline)

    async def exchange(self, outgoing: Outgoing, *, deadline: Deadline) -> Reply:
        """Make one attempt with what is ready; see `exchange_fresh`."""

        async def make() -> Outgoing:
            return outgoing

        return await self.exchange_fresh(outgoing.operation, make, deadline=deadline)

    async def exchange_fresh(
        self, operation: Operation, make: Callable[[], Awaitable[Outgoing]], *, deadline: Deadline
    ) -> Reply:
        """Make one attempt, and return the complete answer whatever its status.

        Cancelled, it drops the connection; whether the body was whole by then stands in its
        `released`.

        Args:
            operation: What the request does.
            make: Makes the request, once it may go: a turn of the quota can be minutes away, and
                neither a token nor a signed assertion may grow old waiting for it.
            deadline: Covers everything.

        Raises:
            TransferError: With `phase` and the verdict of the operation; `DeadlineExceededError`
                when `deadline` passed and nothing was applied. Also whatever `make` raises.
        """
        asked_s = time.perf_counter()
        try:
            # A batch waits for tokens as well: they may use what it leaves free.
            priority: Priority | None = "realtime" if operation is Operation.TOKEN else None
            turn = await self._quota.take(operation, deadline, priority=priority)
        finally:
            self.meter.quota_s += time.perf_counter() - asked_s
        status = 0
        try:
            outgoing = await make()
            # A connection that the server has closed meanwhile is then known to be closed: one turn
            # reads the end, the next one tells.
            await two_turns()
            reply = await self._counted(outgoing, deadline)
            status = reply.status
            if status == 429:
                self._note(reply, turn)
            return reply
        finally:
            self._quota.answered(turn, is_clean=status not in {0, 429})

    async def _counted(self, outgoing: Outgoing, deadline: Deadline) -> Reply:
        """One attempt, and what the meter notes of it."""
        self.requests[outgoing.operation] += 1
        admitted_s, status = time.perf_counter(), 0
        try:
            reply = await self._attempt(outgoing, deadline)
            status = reply.status
            return reply
        finally:
            self.meter.ended(
                outgoing.operation,
                status=status,
                body=outgoing.body,
                admitted_s=admitted_s,
                ended_s=time.perf_counter(),
            )

    async def _attempt(self, outgoing: Outgoing, deadline: Deadline) -> Reply:
        body = outgoing.body
        watchdog = Watchdog(body, self._timeouts)
        is_clean = False
        response: aiohttp.ClientResponse | None = None
        with anyio.CancelScope(deadline=deadline.at) as scope:
            try:
                with watchdog.watching():
                    response = await self._post(outgoing)
                    was_early = _is_early(response, body)
                reply = await self._read(response, outgoing, was_early=was_early)
                is_clean = not reply.was_early and response.closed
            except (aiohttp.ClientError, OSError, ValueError, TransferError) as exc:
                if body.failure is not None and not isinstance(body.failure, TransferError):
                    raise body.failure from None
                raise for_failure(outgoing.operation, _translate(exc, body, watchdog)) from exc
            finally:
                if not is_clean:
                    await _settle(response, body)
            return reply
        assert scope.cancelled_caught  # noqa: S101  # the block returns or raises otherwise
        late = errors.DeadlineExceededError(
            "the deadline passed before the send was accepted",
            phase=body.phase,
        )
        raise for_failure(outgoing.operation, late)

    async def _post(self, outgoing: Outgoing) -> aiohttp.ClientResponse:
        if self._session is None:
            raise RuntimeError("the engine is not open: use `async with Engine(...)`")
        return await self._session.post(
            URL(outgoing.url, encoded=True),
            data=outgoing.body,
            headers={**outgoing.headers, "Content-Length": str(outgoing.body.declared_bytes)},
            allow_redirects=False,
            proxy=self._proxy,
        )

    async def _read(
        self, response: aiohttp.ClientResponse, outgoing: Outgoing, *, was_early: bool
    ) -> Reply:
        """Read the answer's body up to its cap; an error status counts although its body is cut."""
        is_error = not 200 <= response.status <= 299
        cap = outgoing.reply_cap_bytes
        limit_s = (
            min(SETTLE_S, self._timeouts.reply_body_s) if was_early else self._timeouts.reply_body_s
        )
        content, problem = await _content(response, cap_bytes=cap, limit_s=limit_s)
        if problem is not None and not is_error:
            raise problem
        headers: dict[str, str] = {}
        for key, value in response.headers.items():
            name = key.lower()  # repeated ones are joined (RFC 9110 section 5.3), none is preferred
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return Reply(response.status, headers, content, was_early, outgoing.body.released)

    def _note(self, reply: Reply, turn: Turn) -> None:
        """Learn from a 429 what it says of the quota, whatever the request was for."""
        named = reply.headers.get("x-ratelimit-limit", "")
        asked = reply.headers.get("retry-after", "")
        date = reply.headers.get("date")
        self._quota.refused(
            turn,
            limit=int(named.replace(",", "")) if _LIMIT.fullmatch(named) else None,
            asked_s=parse_retry_after(asked, date=date, cap_s=self._retry_after_cap_s),
        )


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Certificate and host name checks on; TLS 1.2 at least. Nothing can switch that off.

    Raises:
        ConfigError: The CA file cannot be used.
    """
    try:
        context = ssl.create_default_context()
        if ca_file is not None:
            context.load_verify_locations(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise errors.ConfigError(
            f"ca_file cannot be used ({type(exc).__name__}); it must be a PEM file that can be read"
        ) from exc
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _is_early(response: aiohttp.ClientResponse, body: StreamingBody) -> bool:
    """Whether the answer came before the whole body had left; from now on none of it is released.

    Raises:
        NetworkInterruptedError: Nothing of the request had left: it answers an earlier one.
    """
    body.hold()
    if not body.handed_bytes and not body.released:
        raise errors.NetworkInterruptedError(
            "the connection held an answer to an earlier request", phase=Phase.NOT_SENT
        )
    is_success = 200 <= response.status <= 299
    return not body.look_flushed() or (is_success and body.unacknowledged_bytes > 0)


def _may_be_cut(response: aiohttp.ClientResponse, content: bytearray) -> bool:
    """Whether the end of the answer is known only by the connection's end, and not by JSON's either."""
    has_length = "Content-Length" in response.headers or "Transfer-Encoding" in response.headers
    return not has_length and response.status != 204 and not content.rstrip().endswith(b"}")


def _doubt_of(response: aiohttp.ClientResponse, content: bytearray) -> Exception | None:
    if not _may_be_cut(response, content):
        return None
    return errors.NetworkInterruptedError(
        "the answer has no length and may have been cut", phase=Phase.ANSWER_STARTED
    )


async def _content(
    response: aiohttp.ClientResponse, *, cap_bytes: int, limit_s: float
) -> tuple[bytes, Exception | None]:
    """The answer's body as far as it came, and what kept it from being complete."""
    content = bytearray()
    stream = response.content
    if stream.is_eof() and stream.exception() is None and stream.total_bytes <= cap_bytes:
        content += stream.read_nowait(-1)  # it came whole with its head, as most answers do
        return bytes(content), _doubt_of(response, content)
    with anyio.move_on_after(limit_s):
        try:
            async for piece in response.content.iter_any():
                content += piece
                if len(content) > cap_bytes:
                    return bytes(content[:cap_bytes]), errors.ResponseTooLargeError(
                        f"the answer is larger than {cap_bytes} bytes",
                        phase=Phase.ANSWER_STARTED,
                        status=response.status,
                    )
        except (aiohttp.ClientError, OSError) as exc:
            return bytes(content), exc
        return bytes(content), _doubt_of(response, content)
    return bytes(content), errors.StallTimeoutError(
        f"the answer began and did not end within {limit_s:.0f} s", phase=Phase.ANSWER_STARTED
    )


async def _settle(response: aiohttp.ClientResponse | None, body: StreamingBody) -> None:
    """Drop the connection, and wait until aiohttp's writer has let go of the body."""
    body.abort()
    if response is not None:
        response.close()
    await close_within(SETTLE_S, body.wait_ended)


def _translate(  # noqa: PLR0911  # one return for each kind of failure
    exc: Exception, body: StreamingBody, watchdog: Watchdog
) -> TransferError:
    """One of our errors for whatever went wrong, with its phase."""
    ours = watchdog.failure or body.failure
    if isinstance(ours, TransferError):  # aiohttp only wrapped what we did ourselves
        return ours
    if isinstance(exc, TransferError):
        return exc
    kind, phase = type(exc).__name__, body.phase
    unsent, reached = Phase.NOT_SENT, Phase.ANSWER_STARTED if body.released else phase
    if isinstance(exc, _TLS):
        refused = "the TLS connection was refused; check host, certificate, ca_file"
        return errors.TlsError(f"{refused} ({kind})", phase=unsent)
    if isinstance(exc, _CONNECT):
        return errors.ConnectFailedError(
            f"no connection; check api_url and the network ({kind})", phase=unsent
        )
    if isinstance(exc, ValueError) and phase is unsent:
        return errors.ConfigError(f"the request could not be built ({kind}); check the settings")
    if isinstance(exc, _GARBAGE):
        return errors.ProtocolError(f"the server's answer is not valid HTTP ({kind})", phase=reached)
    return errors.NetworkInterruptedError(f"the connection was lost ({kind})", phase=phase)
