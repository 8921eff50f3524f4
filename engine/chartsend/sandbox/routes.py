"""Which request means what. A route is found from the method and the path alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import unquote

from . import blobs, data_model, fhir, token_api
from .accounts import FLAGS, UPLOAD_SLUG
from .answers import fhir_refusal, plain_refusal
from .fhir_rules import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp import web

    from .exchange import Exchange
    from .senders import Dialect
    from .state import Sandbox

Kind = Literal["blob", "message", "token", "search", "other"]
Handler: TypeAlias = "Callable[[Sandbox, Exchange], Awaitable[web.Response]]"


@dataclass(frozen=True, slots=True)
class Route:
    """What a request asks for.

    Attributes:
        kind: How it is counted, and what faults call it.
        dialect: How refusals are spelled.
        api: The API as events spell it; None for tokens and what is not known.
        model: The model, if the path tells it.
    """

    kind: Kind
    dialect: Dialect
    handler: Handler
    api: Literal["fhir", "data-model"] | None = None
    model: str | None = None


async def _not_found(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    del sandbox
    if exchange.path[:1] == ("fhir",):
        raise fhir_refusal(404, "not-found", "No such destination, environment or operation")
    raise plain_refusal(404, "Not found")


async def _wrong_verb(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    del sandbox
    if exchange.path[:1] == ("fhir",):
        raise fhir_refusal(403, "forbidden", "This is done with POST")
    raise plain_refusal(403, "Forbidden")


_UPLOAD: Final = Route("blob", "blob", blobs.form, "data-model")
_BY_PATH: Final[Mapping[tuple[str, ...], Route]] = {
    ("v2", "auth", "token"): Route("token", "data-model", token_api.oauth),
    ("auth", "authenticate"): Route("token", "data-model", token_api.legacy_authenticate),
    ("auth", "refreshToken"): Route("token", "data-model", token_api.legacy_refresh),
    ("endpoint",): Route("message", "data-model", data_model.endpoint, "data-model"),
}
_NOTHING: Final = Route("other", "data-model", _not_found)
_FHIR_NOTHING: Final = Route("other", "fhir", _not_found)
_WRONG_VERB: Final = Route("other", "data-model", _wrong_verb)
_FHIR_WRONG_VERB: Final = Route("other", "fhir", _wrong_verb)


def parts_of(raw_path: str) -> tuple[str, ...]:
    """Split a path as it came; each part is decoded by itself, so `%2F` separates nothing."""
    return tuple(unquote(part) for part in raw_path.removeprefix("/").split("/"))


def find_route(face: str, method: str, parts: tuple[str, ...]) -> Route:
    """Find what a request asks for.

    Args:
        face: The port it came to: `api` or `blob`.
        method: The HTTP method.
        parts: Its path, split and decoded.
    """
    if face == "blob":
        route = _UPLOAD if parts == ("upload",) else None
    elif parts[:2] == ("fhir", "R4"):
        route = _fhir_route(parts)
    else:
        route = _BY_PATH.get(parts)
    is_fhir = parts[:1] == ("fhir",)
    if route is None:
        return _FHIR_NOTHING if is_fhir else _NOTHING
    if method != "POST":
        return _FHIR_WRONG_VERB if is_fhir else _WRONG_VERB
    return route


def _fhir_route(parts: tuple[str, ...]) -> Route | None:
    # ("fhir", "R4", slug, flag, resource[, operation])
    if len(parts) < 5 or parts[3] not in FLAGS:
        return None
    slug, below = parts[2], "/".join(parts[4:])
    if slug == UPLOAD_SLUG:
        return Route("blob", "fhir", blobs.binary, "fhir") if below == "Binary" else None
    if below == "DocumentReference/_search":
        return Route("search", "fhir", fhir.search, "fhir", "document-reference")
    operation = OPERATIONS.get(below)
    if operation is None:
        return None
    return Route("message", "fhir", fhir.operation, "fhir", operation.model)
