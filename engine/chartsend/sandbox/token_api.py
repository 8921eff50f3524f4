"""Where tokens are asked for: OAuth at /v2/auth/token, legacy keys at /auth/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import orjson

from .answers import RefusedError, json_response, plain_refusal
from .events import Event
from .tokens import TokenRefusedError

if TYPE_CHECKING:
    from aiohttp import web

    from .exchange import Exchange
    from .json_tree import JsonValue
    from .state import Sandbox

FORM: Final = "application/x-www-form-urlencoded"
_LIMIT_BYTES: Final = 64 * 1024
_ERROR_URI: Final = "https://docs.redoxengine.com/permalink/7sEi7MTFssZ1JuHpUYLeYJ"
_NO_STORE: Final = {"Cache-Control": "private, no-cache, no-store, must-revalidate"}


async def oauth(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """Exchange a signed assertion for an access token."""
    content = await exchange.body.read(_LIMIT_BYTES)
    await exchange.identify(exchange.subject)
    try:
        form = _form_of(exchange, content)
        sources = sandbox.tokens.check_oauth(form, sandbox.token_url, sandbox.options.preset)
    except TokenRefusedError as exc:
        body = {"error": exc.error, "error_description": exc.description, "error_uri": _ERROR_URI}
        raise RefusedError(json_response(400, body, headers=_NO_STORE)) from None
    scope = form.get("scope") or "fhir:development"
    await sandbox.events.append(Event(kind="token"))
    answer = sandbox.tokens.issue_oauth(sources, scope)
    return json_response(200, answer, headers=_NO_STORE)


async def legacy_authenticate(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """Exchange a legacy key and its secret for a token pair."""
    fields = await _json_fields(exchange)
    key = sandbox.tokens.legacy_key(fields.get("apiKey"), fields.get("secret"))
    if key is None:
        raise plain_refusal(401)
    await sandbox.events.append(Event(kind="token"))
    return json_response(200, sandbox.tokens.issue_legacy(key), headers=_NO_STORE)


async def legacy_refresh(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """Exchange a refresh token for a new token pair."""
    fields = await _json_fields(exchange)
    key = sandbox.tokens.legacy_key_of_refresh(fields.get("apiKey"), fields.get("refreshToken"))
    if key is None:
        raise plain_refusal(401)
    await sandbox.events.append(Event(kind="token"))
    return json_response(200, sandbox.tokens.issue_legacy(key), headers=_NO_STORE)


def _form_of(exchange: Exchange, content: bytes) -> dict[str, str]:
    if exchange.request.content_type != FORM:
        raise TokenRefusedError("x-www-form-urlencoded content-type required")
    try:
        return dict(parse_qsl(content.decode("ascii"), keep_blank_values=True, max_num_fields=64))
    except ValueError:  # what cannot be read has none of the fields
        return {}


async def _json_fields(exchange: Exchange) -> dict[str, JsonValue]:
    content = await exchange.body.read(_LIMIT_BYTES)
    await exchange.identify(exchange.subject)
    try:
        fields: JsonValue = orjson.loads(content)
    except ValueError:
        raise plain_refusal(400) from None
    if not isinstance(fields, dict):
        raise plain_refusal(400)
    return fields
