"""Access tokens: who gets one, for how long, and whom it speaks for.

OAuth assertions are really verified (RFC 7523; Redox, authenticate with JWT). The order of the checks
is the one in which Redox documents its error texts.
"""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeGuard

import jwt
import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .accounts import Account, LegacyKey, Source
    from .json_tree import JsonValue
    from .options import Preset

LEGACY_LIFETIME_S: Final = 24 * 3600.0
"""Legacy tokens live 24 hours (Redox, legacy API keys)."""

ASSERTION_LIFETIME_S: Final = 300
"""`exp` is at most 300 s after `iat`, and `iat` no older than that (Redox, authenticate with JWT)."""

CLOCK_SKEW_S: Final = 10
"""What Redox tolerates between the clocks (older version of the same page)."""

ALGORITHMS: Final = ["RS384", "ES384"]

_ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenRefusedError(Exception):
    """No token is given.

    Attributes:
        error: The OAuth error code.
        description: One of the texts that Redox documents.
    """

    def __init__(self, description: str, error: str = "invalid_request") -> None:
        super().__init__(description)
        self.error = error
        self.description = description


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token is good for."""

    sources: tuple[Source, ...]
    is_legacy: bool
    expires_at: float


class Clock:
    """The sandbox's idea of the time; a test may set it wrong."""

    def __init__(self) -> None:
        self.skew_s = 0.0

    def now(self) -> float:
        """Give the time in seconds since 1970."""
        return time.time() + self.skew_s


class Tokens:
    """All tokens that were issued and are still good."""

    def __init__(self, account: Account, clock: Clock, *, lifetime_s: float) -> None:
        self._account = account
        self._clock = clock
        self.lifetime_s = lifetime_s
        self.legacy_lifetime_s = LEGACY_LIFETIME_S
        self._grants: dict[str, Grant] = {}
        self._refresh: dict[str, LegacyKey] = {}
        self._seen_jti: dict[str, float] = {}
        self.issued_total = 0

    def find(self, authorization: str | None) -> Grant | None:
        """Give what an Authorization header entitles to; None if to nothing (any more)."""
        scheme, _, token = (authorization or "").partition(" ")
        grant = self._grants.get(token.strip()) if scheme.lower() == "bearer" else None
        if grant is None or grant.expires_at <= time.monotonic():
            return None
        return grant

    def expire_all(self) -> None:
        """Make every token void that was issued so far."""
        self._grants.clear()

    def check_oauth(
        self,
        form: Mapping[str, str],
        token_url: str,
        preset: Preset,
    ) -> tuple[Source, ...]:
        """Verify a token request.

        Args:
            form: The fields of the request.
            token_url: What `aud` must be.
            preset: `lenient` lets `aud`, `exp` and `jti` be left out, as some clients do.

        Returns:
            The sources that the token will speak for.

        Raises:
            TokenRefusedError: With the text that Redox documents for what is wrong.
        """
        assertion = _assertion_of(form)
        header = _header_of(assertion)
        key_id = header.get("kid")
        if not isinstance(key_id, str) or not key_id:
            raise TokenRefusedError("JWT header kid property is required")
        claims = _claims_of(assertion)
        client = self._account.client_with_key(str(claims.get("iss")), key_id)
        if client is None:
            raise TokenRefusedError(
                "Public key not found, check client_id, kid and Redox dashboard settings",
                "invalid_client",
            )
        try:
            jwt.PyJWS().decode(assertion, client.public_keys[key_id], algorithms=ALGORITHMS)
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenRefusedError("", "invalid_client") from None
        is_lenient = preset == "lenient"
        self._check_times(claims, is_lenient=is_lenient)
        self._check_claims(claims, token_url, is_lenient=is_lenient)
        return client.sources

    def _check_claims(
        self,
        claims: Mapping[str, JsonValue],
        token_url: str,
        *,
        is_lenient: bool,
    ) -> None:
        if claims.get("sub") != claims.get("iss"):
            raise _unexpected("sub")
        audience = claims.get("aud")
        if audience != token_url and not (is_lenient and audience is None):
            raise _unexpected("aud")
        identifier = claims.get("jti")
        if identifier is None and is_lenient:
            return
        if not isinstance(identifier, str) or not identifier or identifier in self._seen_jti:
            raise _unexpected("jti")
        self._remember_jti(identifier)

    def _check_times(self, claims: Mapping[str, JsonValue], *, is_lenient: bool) -> None:
        now = self._clock.now()
        issued, expires = claims.get("iat"), claims.get("exp")
        if not _is_number(issued):
            raise _unexpected("iat")
        if not now - ASSERTION_LIFETIME_S - CLOCK_SKEW_S <= issued <= now + CLOCK_SKEW_S:
            raise _unexpected("iat")
        if expires is None and is_lenient:
            return
        if not _is_number(expires):
            raise _unexpected("exp")
        if not now - CLOCK_SKEW_S < expires <= issued + ASSERTION_LIFETIME_S:
            raise _unexpected("exp")

    def _remember_jti(self, identifier: str) -> None:
        now = time.monotonic()
        self._seen_jti[identifier] = now + 2 * ASSERTION_LIFETIME_S
        # Insertion order is time order, so the expired ones stand in front.
        while (first := next(iter(self._seen_jti))) and self._seen_jti[first] < now:
            del self._seen_jti[first]

    def issue_oauth(self, sources: tuple[Source, ...], scope: str) -> dict[str, object]:
        """Make a token and give the answer that carries it."""
        token = secrets.token_urlsafe(32)
        self._grant(token, Grant(sources, False, time.monotonic() + self.lifetime_s))
        return {
            "access_token": token,
            "scope": scope,
            "token_type": "Bearer",
            "expires_in": int(self.lifetime_s),
        }

    def legacy_key(self, api_key: object, secret: object) -> LegacyKey | None:
        """Find the legacy key that these credentials open."""
        return next(
            (
                key
                for key in self._account.legacy_keys
                if key.api_key == api_key
                and isinstance(secret, str)
                and secrets.compare_digest(key.secret.encode(), secret.encode())
            ),
            None,
        )

    def legacy_key_of_refresh(self, api_key: object, refresh_token: object) -> LegacyKey | None:
        """Find the legacy key whose refresh token this is."""
        key = self._refresh.get(refresh_token) if isinstance(refresh_token, str) else None
        return key if key is not None and key.api_key == api_key else None

    def issue_legacy(self, key: LegacyKey) -> dict[str, object]:
        """Make a legacy token pair and give the answer that carries it, as recorded."""
        token, refresh = str(uuid.uuid4()), str(uuid.uuid4())
        self._grant(token, Grant((key.source,), True, time.monotonic() + self.legacy_lifetime_s))
        self._refresh[refresh] = key
        expires = datetime.fromtimestamp(self._clock.now(), UTC)
        expires += timedelta(seconds=self.legacy_lifetime_s)
        text = expires.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"accessToken": token, "expires": text, "refreshToken": refresh}

    def _grant(self, token: str, grant: Grant) -> None:
        self.issued_total += 1
        if len(self._grants) % 256 == 255:
            now = time.monotonic()
            self._grants = {t: g for t, g in self._grants.items() if g.expires_at > now}
        self._grants[token] = grant


def _assertion_of(form: Mapping[str, str]) -> str:
    if not form.get("grant_type"):
        raise TokenRefusedError("Missing grant_type parameter")
    if form["grant_type"] != "client_credentials":
        raise TokenRefusedError("The grant_type parameter should equal 'client_credentials'")
    if not form.get("client_assertion_type"):
        raise TokenRefusedError("Missing client assertion type")
    if form["client_assertion_type"] != _ASSERTION_TYPE:
        raise TokenRefusedError("Invalid client assertion type")
    if not form.get("client_assertion"):
        raise TokenRefusedError("Missing client assertion")
    return form["client_assertion"]


def _header_of(assertion: str) -> dict[str, object]:
    try:
        header: dict[str, object] = jwt.get_unverified_header(assertion)
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise TokenRefusedError("", "invalid_client") from None
    return header


def _claims_of(assertion: str) -> dict[str, JsonValue]:
    try:
        payload = jwt.PyJWS().decode(assertion, options={"verify_signature": False})
        claims: JsonValue = orjson.loads(payload)
    except (jwt.PyJWTError, ValueError):
        raise TokenRefusedError("", "invalid_client") from None
    if not isinstance(claims, dict):
        raise TokenRefusedError("", "invalid_client")
    return claims


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unexpected(claim: str) -> TokenRefusedError:
    return TokenRefusedError(f"Unexpected {claim} claim value", "invalid_client")
