"""What tests and people ask the sandbox itself: events, counts, accounts, files, faults, the log page.

Everything below /_sandbox/ needs the admin token: as a bearer token, or for the page in a cookie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec
from aiohttp import web

from . import fault_actions, faults, log_page
from .answers import json_response, plain_refusal
from .connection import Connection
from .guard import has_admin_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from .state import Sandbox

PREFIX: Final = "_sandbox"
_LIMIT_BYTES: Final = 4 * 1024 * 1024


class _NewKey(msgspec.Struct, forbid_unknown_fields=True):
    client_id: str
    key_id: str
    public_key: str


async def handle(
    sandbox: Sandbox,
    request: web.BaseRequest,
    parts: tuple[str, ...],
) -> web.StreamResponse:
    """Answer a request below /_sandbox/."""
    if parts[1:2] == ("log",):
        return await log_page.handle(sandbox, request, parts[2:])
    if not has_admin_token(sandbox, request):
        return plain_refusal(403, "Forbidden: the admin token is needed").response
    if parts[1:2] == ("files",) and len(parts) == 3:
        return await _file(sandbox, request, parts[2])
    handler = _HANDLERS.get((request.method, "/".join(parts[1:])))
    if handler is None:
        return plain_refusal(404, "Not found").response
    return await handler(sandbox, request)


async def _events(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    after = request.query.get("after", "0")
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        return plain_refusal(400, "after is a sequence number").response
    return await stream(request, "application/x-ndjson", sandbox.events.read(int(after)))


async def _requests(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    del request
    more = {
        "tokens_issued": sandbox.tokens.issued_total,
        "connections_opened": sandbox.gate.opened_total,
        "connections_open": len(sandbox.gate),
    }
    return json_response(200, sandbox.counts.describe() | more)


async def _accounts(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    del request
    return json_response(200, sandbox.account.describe())


async def _register_key(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    try:
        asked = msgspec.json.decode(await _read(request), type=_NewKey)
        is_known = sandbox.account.register_key(asked.client_id, asked.key_id, asked.public_key)
    except ValueError as exc:
        return json_response(400, {"error": str(exc)})
    return json_response(200 if is_known else 404, {})


async def _file(sandbox: Sandbox, request: web.BaseRequest, identity: str) -> web.StreamResponse:
    file = sandbox.store.find(identity)
    upload = sandbox.records.upload_with_id(identity)
    if file is None and upload is not None:
        file = upload.file
    if file is None:
        return plain_refusal(404, "Not found").response
    headers = {"Content-Length": str(file.size_bytes)}
    return await stream(request, "application/octet-stream", file.pieces(), headers)


async def _show_faults(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    del request
    return json_response(200, {"faults": sandbox.script.describe()})


async def _clear_faults(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    del request
    sandbox.script.clear()
    return json_response(200, {})


async def _add_faults(sandbox: Sandbox, request: web.BaseRequest) -> web.StreamResponse:
    try:
        wanted = faults.parse(await _read(request))
    except ValueError as exc:
        return json_response(400, {"error": str(exc)})
    ids: list[int] = []
    for fault in wanted:
        if fault.place == "now":
            connection = request.protocol
            fault_actions.strike_now(
                sandbox, fault, connection if isinstance(connection, Connection) else None
            )
        else:
            ids.append(sandbox.script.add(fault))
    return json_response(201, {"ids": ids})


async def _read(request: web.BaseRequest) -> bytes:
    content = bytearray()
    async for piece in request.content.iter_any():
        content += piece
        if len(content) > _LIMIT_BYTES:
            raise ValueError(f"more than {_LIMIT_BYTES} bytes")
    return bytes(content)


async def stream(
    request: web.BaseRequest,
    content_type: str,
    pieces: Iterable[bytes],
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    """Answer 200 with a body that is read piece by piece."""
    response = web.StreamResponse(headers={"Content-Type": content_type, **(headers or {})})
    response.headers["X-Content-Type-Options"] = "nosniff"
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
    await response.write_eof()
    return response


_Handler: TypeAlias = "Callable[[Sandbox, web.BaseRequest], Awaitable[web.StreamResponse]]"

_HANDLERS: Final[dict[tuple[str, str], _Handler]] = {
    ("GET", "events"): _events,
    ("GET", "requests"): _requests,
    ("GET", "accounts"): _accounts,
    ("POST", "accounts"): _register_key,
    ("GET", "faults"): _show_faults,
    ("POST", "faults"): _add_faults,
    ("DELETE", "faults"): _clear_faults,
}
