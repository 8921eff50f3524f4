"""One request, from its head to its answer.

The order is always the same: does it come from here, the quota, the faults that strike at the head,
the token, the body, the faults that strike at the body, the commit, the answer. Whatever goes wrong
becomes an answer in the dialect of the API that was called.
"""

from __future__ import annotations

import logging
import traceback
import uuid
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

import anyio

from . import admin, fault_actions
from .answers import RefusedError, plain_refusal, refusal_for
from .connection import Connection
from .exchange import AnsweredError, Exchange, NoAnswer
from .faults import Subject
from .guard import is_guest_welcome
from .routes import Route, find_route, parts_of
from .streams import Body, BrokenBodyError, TooLargeError

if TYPE_CHECKING:
    from aiohttp import web

    from .state import Sandbox

_log: Final = logging.getLogger("chartsend.sandbox")


async def handle(sandbox: Sandbox, face: str, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request that came to one of the sandbox's two faces (`api` or `blob`)."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        raise TypeError("a request on a connection that the sandbox did not make")
    connection.is_busy = True
    sandbox.gate.used(connection)
    try:
        if not is_guest_welcome(sandbox, request):
            return plain_refusal(403, "Forbidden").response
        parts = parts_of(request.rel_url.raw_path)
        if face == "api" and parts[0] == admin.PREFIX:
            return await admin.handle(sandbox, request, parts)
        return await _answer(sandbox, request, connection, find_route(face, request.method, parts))
    finally:
        connection.is_busy = False


async def _answer(
    sandbox: Sandbox,
    request: web.BaseRequest,
    connection: Connection,
    route: Route,
) -> web.StreamResponse:
    sandbox.counts.seen[route.kind] += 1
    exchange = _new_exchange(sandbox, request, connection, route)
    try:
        response = await _response(sandbox, exchange, route)
    except AnsweredError as over:
        return NoAnswer(keep_alive=over.keep_alive)
    except BrokenBodyError as exc:
        exchange.count("none" if exc.is_gone else "400")
        if exc.is_gone:
            return NoAnswer(keep_alive=False)
        response = refusal_for(route.dialect, 400, "incomplete", str(exc)).response
        response.force_close()
        return response
    exchange.count(str(response.status))
    response.headers["Redox-Trace-Id"] = exchange.trace_id
    if sandbox.clock.skew_s:
        response.headers["Date"] = formatdate(sandbox.clock.now(), usegmt=True)
    await anyio.sleep(sandbox.options.latency_s)
    return response


def _new_exchange(
    sandbox: Sandbox,
    request: web.BaseRequest,
    connection: Connection,
    route: Route,
) -> Exchange:
    async def identify(subject: Subject) -> None:
        exchange.subject = subject
        await fault_actions.strike_at_body(sandbox, exchange)

    def count(status: str) -> None:
        sandbox.counts.answered[route.kind, status] += 1

    method = "upload" if route.kind == "blob" else None
    exchange = Exchange(
        request=request,
        connection=connection,
        body=Body(
            request,
            limit_bytes=sandbox.options.request_limit_bytes,
            patience_s=sandbox.options.patience_s,
        ),
        path=parts_of(request.rel_url.raw_path),
        subject=Subject(kind=route.kind, api=route.api, method=method, model=route.model),
        trace_id=str(uuid.uuid4()),
        count=count,
        identify=identify,
    )
    return exchange


async def _response(sandbox: Sandbox, exchange: Exchange, route: Route) -> web.Response:
    try:
        if not sandbox.quota.admits(exchange.request.remote or ""):
            sandbox.counts.over_quota += 1
            refused = refusal_for(route.dialect, 429, "throttled", "Too many requests").response
            refused.headers["X-RateLimit-Limit"] = str(sandbox.quota.limit)
            return refused
        await fault_actions.strike_at_head(sandbox, exchange)
        await _check_head(sandbox, exchange, route)
        response = await route.handler(sandbox, exchange)
        for act in exchange.after_commit:
            await act()
    except RefusedError as refused:
        return refused.response
    except TooLargeError:
        return refusal_for(route.dialect, 413, "too-long", "The request is too large").response
    except (AnsweredError, BrokenBodyError):
        raise
    except OSError as exc:
        _log.error("the store does not take it: %s", exc.strerror)
        return refusal_for(route.dialect, 507, "exception", "The sandbox's disk is full").response
    except Exception as exc:  # noqa: BLE001  # the top of a request: its failure is its answer
        # Only where, not what: messages of errors may repeat what was sent.
        frames = "".join(traceback.format_tb(exc.__traceback__))
        _log.error("a bug in the sandbox (%s):\n%s", type(exc).__name__, frames)
        return refusal_for(route.dialect, 500, "exception", "A bug in the sandbox").response
    return response


async def _check_head(sandbox: Sandbox, exchange: Exchange, route: Route) -> None:
    request = exchange.request
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise refusal_for(route.dialect, 415, "not-supported", "Content-Encoding is not supported")
    declared = exchange.body.declared_bytes or 0
    if declared <= exchange.body.limit_bytes and not sandbox.store.has_room(declared):
        raise refusal_for(route.dialect, 507, "exception", "The sandbox's disk is full")
    if request.headers.get("Expect", "").lower() == "100-continue":
        exchange.connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
