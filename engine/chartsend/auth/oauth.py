"""OAuth tokens for an assertion that we sign: RFC 7523, as Redox's `/v2/auth/token` takes it.

The one rule: an assertion is made for one request, to one address, and lives four minutes.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from ..errors import AuthRejectedError, AuthUnavailableError, ClockSkewError, ConfigError, Phase
from ..ports import Operation, Reply, SmallRequest
from ..transport.retry import parse_http_date
from .keys import check_key_settings, load_private_key
from .pacing import Pace
from .refusals import may_be_the_clock, refusal
from .replies import check_status, json_object, life_s, token_text, unusable
from .tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..aio import Deadline, Lane
    from ..ports import SmallExchange
    from ..settings import Settings
    from .keys import PrivateKey

ASSERTION_LIFE_S: Final = 240
BACKDATE_S: Final = 30
"""`iat` lies half a minute back, so that a clock a little ahead does no harm; `exp` - `iat` is 270 s,
and Redox takes up to 300."""

SKEW_LIMIT_S: Final = 30.0
"""From here on the back-dating does not cover a clock that is ahead, and a refusal may be its fault."""

USUAL_LIFE_S: Final = 300.0
"""Redox: tokens live 5 minutes. Taken where an answer names no lifetime."""

LONGEST_LIFE_S: Final = 3600.0

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_HEADERS: Final = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Accept": "application/json",
}

_log = logging.getLogger("chartsend")


class SignedAssertion:
    """Gets OAuth tokens.

    Args:
        settings: `auth`, `retry` and the token URL are used.
        exchange: Makes the requests.
        lane: Threads for loading the key.
        clock: Monotonic seconds.
        wall: Seconds since the epoch, for the claims.
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
        auth = settings.auth
        self._client_id = required("auth.client_id", auth.client_id)
        self._key_id = required("auth.key_id", auth.key_id)
        check_key_settings(auth)
        self._auth = auth
        self._url = settings.token_address
        self._audience = auth.audience or settings.token_address
        self._retry_after_cap_s = settings.retry.retry_after_cap_s
        self._exchange = exchange
        self._lane = lane
        self._clock = clock
        self._wall = wall
        self._pace = pace if pace is not None else Pace(settings.retry)
        self._key: PrivateKey | None = None
        self._skew_s = 0.0

    async def fetch(self, deadline: Deadline) -> Token:
        """Get a new token, trying until `deadline` while the token server is out of order.

        Raises:
            AuthRejectedError: Redox refuses the credentials; the text says what to check.
            ClockSkewError: It refuses, this machine's clock is wrong, and adjusting did not help.
            AuthUnavailableError: Its answers are unusable.
            UnexpectedRedirectError: The token URL redirects.
            ConfigError: The key cannot be used.
            DeadlineExceededError: `deadline` passed.
        """
        return await self._pace.run(self._once, deadline=deadline)

    async def _once(self, deadline: Deadline) -> Token:
        if self._key is None:
            self._key = await load_private_key(self._auth, lane=self._lane)
        asked_at, reply = await self._ask(self._key, deadline)
        was_adjusted = 400 <= reply.status < 500 and self._adjust(reply)
        if was_adjusted:
            asked_at, reply = await self._ask(self._key, deadline)
        if 400 <= reply.status < 500:
            self._key = None  # so that a key that was replaced on disk is seen the next time
            raise self._refused(reply, was_adjusted=was_adjusted)
        return _read_token(reply, asked_at)

    async def _ask(self, key: PrivateKey, deadline: Deadline) -> tuple[float, Reply]:
        """One request; with the monotonic time before it, from which a token's life is counted."""
        asked_at = self._clock()

        def form() -> bytes:
            nonlocal asked_at
            asked_at = self._clock()
            fields = {
                "grant_type": "client_credentials",
                "client_assertion_type": _ASSERTION_TYPE,
                "client_assertion": self._assertion(key),
            }
            if self._auth.scope:
                fields["scope"] = self._auth.scope
            return urlencode(fields).encode()

        request = SmallRequest(Operation.TOKEN, self._url, _HEADERS, form)
        reply = await self._exchange.exchange_small(request, deadline=deadline)
        check_status(reply, retry_after_cap_s=self._retry_after_cap_s)
        return asked_at, reply

    def _assertion(self, key: PrivateKey) -> str:
        """A fresh assertion; never used twice, because `jti` may be checked for replays."""
        import jwt  # noqa: PLC0415  # 50 ms that a dry run need not pay

        now = int(self._wall() + self._skew_s)
        claims: dict[str, object] = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": self._audience,
            "iat": now - BACKDATE_S,
            "exp": now + ASSERTION_LIFE_S,
            "jti": secrets.token_hex(16),  # 128 bits; a UUID has 122
        }
        if self._auth.scope:
            claims["scope"] = self._auth.scope
        return jwt.encode(
            claims,
            key,
            algorithm=self._auth.algorithm,
            headers={"kid": self._key_id, "typ": "JWT"},
        )

    def _measured_skew_s(self, reply: Reply) -> float | None:
        """How far the server's clock is ahead of this machine's, as its `Date` tells."""
        server_now = parse_http_date(reply.headers.get("date", ""))
        return None if server_now is None else server_now - self._wall()

    def _adjust(self, reply: Reply) -> bool:
        """After a refusal: whether the assertion's clock was wrong, and is now set by the server's.

        What was learned is kept, so that the next refresh is right at once; measured against this
        machine's clock each time, so that mending that clock is learned too.
        """
        skew_s = self._measured_skew_s(reply)
        if skew_s is None or not may_be_the_clock(reply):
            return False
        if abs(skew_s - self._skew_s) <= SKEW_LIMIT_S:
            return False
        _log.warning(
            "this machine's clock differs from the token server's: skew_s=%.0f; token requests are"
            " adjusted, set the clock",
            skew_s,
        )
        self._skew_s = skew_s
        return True

    def _refused(self, reply: Reply, *, was_adjusted: bool) -> AuthRejectedError | ClockSkewError:
        if was_adjusted and may_be_the_clock(reply):
            return ClockSkewError(
                f"this machine's clock is {abs(self._skew_s):.0f} s"
                f" {'behind' if self._skew_s > 0 else 'ahead of'} the token server's, and a request"
                f" with the server's time was refused too ({reply.status}); set the clock",
                phase=Phase.ANSWERED,
                status=reply.status,
            )
        return refusal(reply)


def _read_token(reply: Reply, asked_at: float) -> Token:
    answer = json_object(reply)
    if answer is None:
        raise unusable(reply, "it is not a JSON object")
    value = token_text(reply, answer, "access_token")
    kind = answer.get("token_type", "bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise AuthUnavailableError(
            "the token server gave a token that is no bearer token; it was not used",
            phase=Phase.ANSWERED,
            status=reply.status,
        )
    named_s = answer.get("expires_in")
    lifetime_s = life_s(USUAL_LIFE_S if named_s is None else named_s, longest_s=LONGEST_LIFE_S)
    return Token(value, asked_at + lifetime_s)


def required(setting: str, value: str | None) -> str:
    """A setting that must be there.

    Raises:
        ConfigError: It is missing, or has blanks or line ends around it.
    """
    if not value:
        raise ConfigError(f"{setting} is missing; copy it from the API key in the Redox dashboard")
    if value != value.strip():
        raise ConfigError(f"{setting} has blanks or a line end around it")
    return value
