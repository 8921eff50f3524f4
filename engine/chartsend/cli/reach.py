"""The checks of `doctor` that use the network: hosts, certificates, the clock, a real token.

The one rule: no document and nothing of a patient is sent; one token is asked for, as `send` would.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import anyio

from .. import auth
from .._version import __version__
from ..aio import Deadline, Lane, close_within
from ..errors import TransferError
from ..settings.quantity import show_seconds
from ..transport.http import Http
from ..transport.quota import Quota
from .checks import Check, failed
from .exits import FATAL, USAGE, of_code

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..ports import Reply, SmallExchange, SmallRequest
    from ..settings import Settings

LIMIT_S: Final = 20.0
SKEW_S: Final = 30.0
"""Beyond this, assertions may be refused: they are back-dated by half a minute."""
_PORTS: Final = {"https": 443, "http": 80}


class _Listening:
    """An exchange that remembers the last answer's `Date`, to compare the clocks."""

    def __init__(self, inner: SmallExchange) -> None:
        self._inner = inner
        self.skew_s: float | None = None

    async def exchange_small(self, request: SmallRequest, *, deadline: Deadline) -> Reply:
        reply = await self._inner.exchange_small(request, deadline=deadline)
        try:
            date = parsedate_to_datetime(reply.headers.get("date", ""))
        except ValueError:
            return reply
        self.skew_s = time.time() - date.timestamp()
        return reply


async def network_checks(settings: Settings) -> AsyncIterator[Check]:
    """Hosts first, then a token and the clock: the first failure is the cause of the next."""
    are_reachable = True
    for name, url in _hosts(settings).items():
        check = await _host(name, url, settings)
        are_reachable &= check.status != "fail"
        yield check
    if not are_reachable:  # a token would be tried for until the limit
        yield Check("token", "skip", "not asked for: mend the connection first")
        return
    async for check in _token(settings):
        yield check


def _hosts(settings: Settings) -> dict[str, str]:
    hosts = {"API host": settings.api_base, "token host": settings.token_address}
    if settings.api == "data-model":
        hosts["upload host"] = settings.blob_base
    unique: dict[str, str] = {}
    for name, url in hosts.items():
        if urlsplit(url).netloc not in {urlsplit(seen).netloc for seen in unique.values()}:
            unique[name] = url
    return unique


async def _host(name: str, url: str, settings: Settings) -> Check:
    """Whether a TCP connection can be made; certificates are checked by the token request."""
    parts = urlsplit(url)
    if settings.proxy is not None:
        return Check(name, "skip", f"{parts.netloc} is reached through the proxy")
    started = time.monotonic()
    try:
        with anyio.fail_after(settings.timeouts.connect_s):
            stream = await anyio.connect_tcp(
                parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 443)
            )
            await stream.aclose()
    except (OSError, TimeoutError) as exc:
        text = f"{parts.netloc} cannot be reached ({type(exc).__name__}); check the network and api_url"
        return failed(name, text)
    return Check(name, "ok", f"{parts.netloc} in {show_seconds(time.monotonic() - started)}")


async def _token(settings: Settings) -> AsyncIterator[Check]:
    lane = Lane(threads=2)
    started = time.monotonic()
    try:
        with Quota.of(settings) as quota:
            async with Http(settings, quota, user_agent=f"chartsend/{__version__}") as http:
                listening = _Listening(http)
                tokens = auth.token_source(settings, listening, lane=lane)
                try:
                    await tokens.token(min_life_s=0.0, deadline=Deadline.after(LIMIT_S))
                    check = Check(
                        "token", "ok", f"granted in {show_seconds(time.monotonic() - started)}"
                    )
                except TransferError as exc:
                    check = _refused(exc)
                finally:
                    await close_within(LIMIT_S, tokens.aclose)
    except TransferError as exc:
        yield _refused(exc)
        return
    finally:
        await lane.aclose()
    yield check
    yield _clock(listening.skew_s)


def _refused(error: TransferError) -> Check:
    is_fatal = of_code(error.code, error.message) == FATAL
    return failed("token", error.message, FATAL if is_fatal else USAGE)


def _clock(skew_s: float | None) -> Check:
    if skew_s is None:
        return Check("clock", "skip", "the server did not say what time it is")
    if abs(skew_s) > SKEW_S:
        side = "ahead of" if skew_s > 0 else "behind"
        text = f"{abs(skew_s):.0f} s {side} the server's; set it (NTP): tokens may be refused"
        return Check("clock", "warn", text)
    return Check("clock", "ok", f"within {abs(skew_s) + 1:.0f} s of the server's")
