"""What the scripted faults do to a request. The vocabulary is in `faults`; here are the hands."""

from __future__ import annotations

import functools
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NoReturn, assert_never

import anyio

from .exchange import AnsweredError, Exchange
from .faults import (
    AnyFault,
    ClockSkew,
    Close,
    Delay,
    ExpireTokens,
    HangUp,
    Raw,
    Refuse,
    Reset,
    Silence,
    SlowRead,
    Status,
    StopReading,
    Swallow,
    TokenLifetime,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .connection import Connection
    from .state import Sandbox

LINGER_S: Final = 10.0
"""How long what comes after our FIN is read and dropped."""

_WITHOUT_BODY: Final = {204, 304}


async def strike_at_head(sandbox: Sandbox, exchange: Exchange) -> None:
    """Do what is scripted for a request whose head was read.

    Raises:
        AnsweredError: A fault ended the exchange.
    """
    for fault in sandbox.script.on_head(exchange.subject):
        match fault:
            case Status() | Raw():
                answer = functools.partial(_answer, sandbox, exchange, fault)
                await _at_byte(exchange, fault.strikes_at_byte, answer)
            case Close() | Reset():
                cut = functools.partial(_cut, exchange, is_reset=isinstance(fault, Reset))
                await _at_byte(exchange, fault.at_byte or 0, cut)
            case StopReading():
                stop = functools.partial(_stop_reading, sandbox, exchange, fault.seconds)
                await _at_byte(exchange, fault.after_bytes, stop)
            case SlowRead():
                exchange.connection.shrink_receive_buffer()
                exchange.body.bytes_per_s = fault.bytes_per_s
            case Delay():
                await _sleep(sandbox, fault.seconds)
            case _:
                strike_now(sandbox, fault, exchange.connection)


async def strike_at_body(sandbox: Sandbox, exchange: Exchange) -> None:
    """Do what is scripted for a request that was read and understood, before it is committed.

    Raises:
        AnsweredError: A fault ended the exchange.
    """
    for fault in sandbox.script.on_body(exchange.subject):
        match fault:
            case Status() | Raw() if not fault.commit:
                await _answer(sandbox, exchange, fault)
            case Close() | Reset():
                await _cut(exchange, is_reset=isinstance(fault, Reset))
            case _:
                act = functools.partial(_strike_after_commit, sandbox, exchange, fault)
                exchange.after_commit.append(act)


async def _strike_after_commit(sandbox: Sandbox, exchange: Exchange, fault: AnyFault) -> None:
    match fault:
        case Status() | Raw():
            await _answer(sandbox, exchange, fault)
        case Delay():
            await _sleep(sandbox, fault.seconds)
        case Swallow():
            await _swallow(sandbox, exchange, fault)
        case HangUp():
            exchange.connection.close()  # after the answer, whose headers do not say so
        case _:
            strike_now(sandbox, fault, exchange.connection)


def strike_now(sandbox: Sandbox, fault: AnyFault, connection: Connection | None) -> None:
    """Do what concerns the whole sandbox and no single request."""
    match fault:
        case ExpireTokens():
            sandbox.tokens.expire_all()
        case TokenLifetime():
            sandbox.tokens.lifetime_s = fault.seconds
            sandbox.tokens.legacy_lifetime_s = fault.seconds
        case ClockSkew():
            sandbox.clock.skew_s = fault.seconds
        case Refuse():
            sandbox.refuse(fault, connection)
        case Status() | Raw() | Close() | Reset() | Silence():
            raise TypeError("a fault that needs a request")
        case StopReading() | SlowRead() | Delay() | Swallow() | HangUp():
            raise TypeError("a fault that needs a request")
        case _:
            assert_never(fault)


def strike_connection(faults: list[AnyFault], connection: Connection) -> None:
    """Do what is scripted for a connection that was just accepted."""
    for fault in faults:
        match fault:
            case Reset():
                connection.reset()
            case Close():
                connection.hang_up()
            case Silence():
                connection.be_silent(fault.seconds)
            case _:
                raise TypeError("a fault that needs a request")


async def _at_byte(
    exchange: Exchange,
    position: int,
    act: Callable[[], Awaitable[None]],
) -> None:
    if position > 0:
        exchange.body.at_byte(position, act)
    else:
        await act()


async def _answer(sandbox: Sandbox, exchange: Exchange, fault: Status | Raw) -> None:
    connection = exchange.connection
    whole = _bytes_of(sandbox, exchange, fault)
    step = fault.piece_bytes or max(1, len(whole))
    for start in range(0, len(whole), step):
        connection.write(whole[start : start + step])
        await anyio.sleep(fault.pause_s)
    status = str(fault.status) if isinstance(fault, Status) else "raw"
    if fault.then == "go-on":
        return
    exchange.count(status)
    match fault.then:
        case "keep-alive" | "drain":
            await exchange.body.drain()
            raise AnsweredError(keep_alive=True)
        case "close":
            await _finish(exchange)
        case "reset":
            await _reset(exchange)
        case "stall":
            await connection.stop_reading(fault.seconds, sandbox.script.cleared)
            await _reset(exchange)


def _bytes_of(sandbox: Sandbox, exchange: Exchange, fault: Status | Raw) -> bytes:
    if isinstance(fault, Raw):
        return fault.bytes.encode("latin-1")
    body = fault.body.replace("{reference}", exchange.reference).encode()
    headers = {
        "Date": formatdate(sandbox.clock.now(), usegmt=True),
        "Content-Type": "application/json; charset=utf-8",
        "Redox-Trace-Id": exchange.trace_id,
    }
    if fault.status not in _WITHOUT_BODY:
        headers["Content-Length"] = str(len(body))
    if fault.then == "close":
        headers["Connection"] = "close"
    headers |= {k: v.replace("{reference}", exchange.reference) for k, v in fault.headers.items()}
    try:
        reason = HTTPStatus(fault.status).phrase
    except ValueError:
        reason = "Scripted"
    head = [f"HTTP/1.1 {fault.status} {reason}", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
    return "\r\n".join(head).encode("latin-1", "replace") + body


async def _cut(exchange: Exchange, *, is_reset: bool) -> None:
    exchange.count("none")
    if is_reset:
        await _reset(exchange)
    await _finish(exchange)


async def _finish(exchange: Exchange) -> NoReturn:
    """End with a FIN. What still comes is read and dropped, or the kernel would send an RST."""
    await exchange.connection.send_fin()
    with anyio.move_on_after(LINGER_S):
        await exchange.body.drain()
    raise AnsweredError


async def _reset(exchange: Exchange) -> NoReturn:
    exchange.connection.reset()
    await exchange.connection.settle()
    raise AnsweredError


async def _stop_reading(sandbox: Sandbox, exchange: Exchange, seconds: float | None) -> None:
    await exchange.connection.stop_reading(seconds, sandbox.script.cleared)


async def _sleep(sandbox: Sandbox, seconds: float) -> None:
    cleared = sandbox.script.cleared
    with anyio.move_on_after(seconds):
        await cleared.wait()


async def _swallow(sandbox: Sandbox, exchange: Exchange, fault: Swallow) -> None:
    exchange.count("none")
    if fault.then == "silence":
        await exchange.connection.wait_until_gone(fault.seconds, sandbox.script.cleared)
    if fault.then == "close":
        await _finish(exchange)
    await _reset(exchange)
