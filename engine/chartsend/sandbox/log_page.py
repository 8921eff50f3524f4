"""The log page for people: what was received, newest first, as Redox's dashboard would show it.

It is opened once with the admin token in its address; a cookie remembers it from then on.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import orjson
from aiohttp import web

from . import log_html
from .answers import HTML, plain_refusal
from .guard import cookie_name, has_admin_cookie, has_admin_token, is_admin_token

if TYPE_CHECKING:
    from .records import Upload
    from .state import Sandbox

PAGE_MESSAGES: Final = 100

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'; sandbox allow-downloads allow-same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


async def handle(
    sandbox: Sandbox,
    request: web.BaseRequest,
    parts: tuple[str, ...],
) -> web.StreamResponse:
    """Answer a request below /_sandbox/log."""
    if request.method != "GET":
        return plain_refusal(403, "Forbidden").response
    if "token" in request.query:
        return _let_in(sandbox, request)
    if parts == ("style.css",):
        headers = _HEADERS | {"Content-Type": "text/css; charset=utf-8"}
        return web.Response(body=log_html.STYLE.encode(), headers=headers)
    if not (has_admin_cookie(sandbox, request) or has_admin_token(sandbox, request)):
        text = "Open this page once with ?token=, as the sandbox printed it when it started."
        return _page(log_html.document("Redox sandbox", f"<p>{text}</p>"), 403)
    return await _show(sandbox, request, parts)


async def _show(
    sandbox: Sandbox,
    request: web.BaseRequest,
    parts: tuple[str, ...],
) -> web.StreamResponse:
    match parts:
        case ():
            return _overview(sandbox, request)
        case ("uploads", identity):
            return await _download(sandbox, request, identity)
        case (log_id,):
            return _detail(sandbox, log_id)
        case _:
            return _not_found()


def _let_in(sandbox: Sandbox, request: web.BaseRequest) -> web.Response:
    """Remember the token in a cookie and go on without it, so that it stays in no history."""
    if not is_admin_token(sandbox, request.query["token"]):
        return _page(log_html.document("Redox sandbox", "<p>That token is wrong.</p>"), 403)
    response = web.Response(status=303, headers={"Location": request.rel_url.raw_path, **_HEADERS})
    response.set_cookie(
        cookie_name(sandbox),
        sandbox.admin_token,
        path="/_sandbox",
        httponly=True,
        samesite="Strict",
        secure=sandbox.options.tls,
    )
    return response


def _overview(sandbox: Sandbox, request: web.BaseRequest) -> web.Response:
    records = sandbox.records
    text = request.query.get("before", "")
    end = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else len(records.messages)
    end = min(end, len(records.messages))
    start = max(0, end - PAGE_MESSAGES)
    unused = (u for u in reversed(records.uploads.values()) if u.id not in records.referenced)
    return _page(
        log_html.overview(
            records.messages[start:end][::-1],
            list(islice(unused, PAGE_MESSAGES)),
            total=len(records.messages),
            older=start or None,
        ),
    )


def _detail(sandbox: Sandbox, log_id: str) -> web.Response:
    message = sandbox.records.with_log_id(log_id)
    if message is None:
        return _not_found()
    delivery = next(d for d in message.deliveries if d.log_id == log_id)
    payload = orjson.loads(sandbox.records.read_payload(message))
    return _page(log_html.detail(message, delivery, payload))


async def _download(
    sandbox: Sandbox,
    request: web.BaseRequest,
    identity: str,
) -> web.StreamResponse:
    upload = sandbox.records.upload_with_id(identity)
    if upload is None:
        return _not_found()
    headers = _HEADERS | {
        "Content-Type": "application/octet-stream",  # never a type that a browser would run
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(_file_name(upload), safe='')}",
        "Content-Length": str(upload.file.size_bytes),
    }
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    for piece in upload.file.pieces():
        await response.write(piece)
    await response.write_eof()
    return response


def _file_name(upload: Upload) -> str:
    name = (upload.filename or "").replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in name if c.isprintable())[:150] or f"upload-{upload.id}"


def _page(html: str, status: int = 200) -> web.Response:
    headers = _HEADERS | {"Content-Type": HTML}
    return web.Response(status=status, body=html.encode("utf-8", "replace"), headers=headers)


def _not_found() -> web.Response:
    return _page(log_html.document("Redox sandbox", "<p>There is no such log.</p>"), 404)
