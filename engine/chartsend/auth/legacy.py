"""Tokens for a legacy API key: `/auth/authenticate` and `/auth/refreshToken`, Data Model only.

The one rule: a refresh token is used once. Whatever comes of it, the next request authenticates
with the secret, so a refresh that went wrong can never stand in the way.
"""

from __future__ import annotations

import datetime as dt
import math
import time
from typing import TYPE_CHECKING, Final

import orjson

from ..errors import AuthRejectedError, AuthUnavailableError, Phase, ProtocolError
from ..ports import Operation, Reply, SmallRequest
from ..transport.retry import parse_http_date
from .keys import Secret, check_secret_settings, load_secret
from .oauth import required
from .pacing import Pace
from .replies import check_status, json_object, life_s, token_text, unusable
from .tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..aio import Deadline, Lane
    from ..ports import SmallExchange
    from ..settings import Settings

LONGEST_LIFE_S: Final = 24 * 3600.0
"""Redox: legacy tokens live 24 hours."""

_HEADERS: Final = {"Content-Type": "application/json", "Accept": "application/json"}


class LegacyKey:
    """Gets tokens for an API key and its secret.

    Args:
        settings: `auth`, `retry` and `api_base` are used.
        exchange: Makes the requests.
        lane: Threads for loading the secret.
        clock: Monotonic seconds.
        wall: Seconds since the epoch, for answers without a `Date`.
        pace: When the next request may leave.

    Raises:
        ConfigError: A setting is missing.
    """

    def __init__(
        self,
        settings: Settings,
        exchange: SmallExchange,
        *,
        lane: Lane,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        pace: Pace | None = None,
    ) -> None:
        self._auth = settings.auth
        self._api_key = required("auth.api_key", settings.auth.api_key)
        check_secret_settings(settings.auth)
        self._base = settings.api_base
        self._retry_after_cap_s = settings.retry.retry_after_cap_s
        self._exchange = exchange
        self._lane = lane
        self._clock = clock
        self._wall = wall
        self._pace = pace if pace is not None else Pace(settings.retry)
        self._secret: Secret | None = None
        self._refresh_token: Secret | None = None

    async def fetch(self, deadline: Deadline) -> Token:
        """Get a new token, trying until `deadline` while the token server is out of order.

        Raises:
            AuthRejectedError: Redox refuses the API key or its secret.
            AuthUnavailableError: Its answers are unusable.
            UnexpectedRedirectError: The address redirects.
            ConfigError: The secret cannot be read.
            DeadlineExceededError: `deadline` passed.
        """
        return await self._pace.run(self._once, deadline=deadline)

    async def _once(self, deadline: Deadline) -> Token:
        token = await self._refreshed(deadline)
        if token is not None:
            return token
        if self._secret is None:
            self._secret = await load_secret(self._auth, lane=self._lane)
        asked_at, reply = await self._post("authenticate", "secret", self._secret, deadline)
        if reply.status >= 400:
            self._secret = None  # so that a secret that was replaced on disk is seen the next time
            raise AuthRejectedError(
                f"Redox refused the legacy API key ({reply.status}): check auth.api_key and its"
                " secret in the dashboard, and that the key was not disabled",
                phase=Phase.ANSWERED,
                status=reply.status,
            )
        return self._read(reply, asked_at)

    async def _refreshed(self, deadline: Deadline) -> Token | None:
        """A token for the refresh token; None when there is none, or it is not taken."""
        refresh_token, self._refresh_token = self._refresh_token, None
        if refresh_token is None:
            return None
        asked_at, reply = await self._post("refreshToken", "refreshToken", refresh_token, deadline)
        if reply.status >= 400:
            return None
        try:
            return self._read(reply, asked_at)
        except (ProtocolError, AuthUnavailableError):
            return None  # the secret is the better question

    async def _post(
        self, action: str, key: str, secret: Secret, deadline: Deadline
    ) -> tuple[float, Reply]:
        body = orjson.dumps({"apiKey": self._api_key, key: secret.reveal().decode()})
        request = SmallRequest(Operation.TOKEN, f"{self._base}/auth/{action}", _HEADERS, body)
        asked_at = self._clock()
        reply = await self._exchange.exchange_small(request, deadline=deadline)
        check_status(reply, retry_after_cap_s=self._retry_after_cap_s)
        return asked_at, reply

    def _read(self, reply: Reply, asked_at: float) -> Token:
        answer = json_object(reply)
        if answer is None:
            raise unusable(reply, "it is not a JSON object")
        value = token_text(reply, answer, "accessToken")
        refresh_token = answer.get("refreshToken")
        if isinstance(refresh_token, str) and refresh_token and refresh_token.isascii():
            self._refresh_token = Secret(refresh_token.encode())
        left_s = _epoch(answer.get("expires")) - self._server_now(reply)
        return Token(value, asked_at + life_s(left_s, longest_s=LONGEST_LIFE_S))

    def _server_now(self, reply: Reply) -> float:
        """By the answer's own `Date`, so that a wrong clock here does not shorten a token's life."""
        server_now = parse_http_date(reply.headers.get("date", ""))
        return self._wall() if server_now is None else server_now


def _epoch(value: object) -> float:
    """Seconds since the epoch of an ISO time, UTC where it names no zone; NaN for anything else."""
    if not isinstance(value, str):
        return math.nan
    try:
        when = dt.datetime.fromisoformat(value)
    except ValueError:
        return math.nan
    if when.tzinfo is None:
        when = when.replace(tzinfo=dt.UTC)
    return when.timestamp()
