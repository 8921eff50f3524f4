"""One connection, with what aiohttp's server does not do: a cap on their number, RST, FIN, silence.

The cap lies below the limit of open files, because asyncio's accept loop does not survive reaching
it quietly. When it is reached, the connection that has been idle longest makes room.
"""

from __future__ import annotations

import logging
import resource
import socket
import struct
from typing import TYPE_CHECKING, Any, Final

import anyio
from aiohttp import web
from aiohttp.http_parser import RawRequestMessage

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
_POLL_S: Final = 0.1
_FLUSH_S: Final = 10.0
_FOR_EVER_S: Final = 3600.0
_ESTABLISHED: Final = 1  # TCP_ESTABLISHED of Linux, the first byte of struct tcp_info

STALLED_RECEIVE_BUFFER_BYTES: Final = 64 * 1024
"""What the kernel may still take of a body that is no longer read; it would grow to megabytes."""

_silent = logging.getLogger("chartsend.sandbox.http")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Connection(web.RequestHandler):
    """aiohttp's connection, which also knows how to end badly."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, **options: Any) -> None:
        super().__init__(server, loop=loop, logger=_silent, **options)
        self._gate = server.gate
        self.is_busy = False
        self.gone = anyio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; refuse it at once when there is no room."""
        super().connection_made(transport)
        self._gate.opened(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection."""
        self.gone.set()
        self._gate.lost(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came in. What cannot be parsed ends the body that is being read.

        aiohttp only queues the error behind the request at hand, which would go on waiting for the
        rest of its body.
        """
        super().data_received(data)
        request = self._current_request
        if request is None or request.content.is_eof() or not self._messages:
            return
        if not isinstance(self._messages[-1][0], RawRequestMessage):
            request.content.set_exception(web.RequestPayloadError("the body is not well-formed"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, without repeating any of it."""
        del request, exc, message
        response = web.Response(status=status, text="Bad Request" if status == 400 else "Error")
        response.force_close()
        return response

    def write(self, piece: bytes) -> None:
        """Send bytes as they are, past aiohttp."""
        if self.transport is not None:
            self.transport.write(piece)

    def reset(self) -> None:
        """End the connection with an RST."""
        if self.transport is not None:
            self._socket_option(socket.SO_LINGER, _LINGER_ZERO)
            self.transport.abort()

    def hang_up(self) -> None:
        """End the connection in order."""
        if self.transport is not None:
            self.transport.close()

    def be_silent(self, seconds: float | None) -> None:
        """Read nothing of a connection that has carried no request yet; reset it after a time."""
        self.shrink_receive_buffer()
        self.keep_alive(val=True)  # stops aiohttp's timer, which would end the silence
        if self.transport is not None:
            self.transport.pause_reading()
        self._loop.call_later(_FOR_EVER_S if seconds is None else seconds, self.reset)

    def shrink_receive_buffer(self) -> None:
        """Let the kernel take little of what is not read."""
        self._socket_option(socket.SO_RCVBUF, STALLED_RECEIVE_BUFFER_BYTES)

    async def send_fin(self) -> None:
        """End our direction of the connection, after what was written."""
        transport = self.transport
        if transport is None:
            return
        with anyio.move_on_after(_FLUSH_S):
            # A transport tells nobody when its buffer is empty, so it is asked.
            while transport.get_write_buffer_size() and not self.gone.is_set():  # noqa: ASYNC110
                await anyio.sleep(_POLL_S / 10)
        with_socket = transport.get_extra_info("socket")
        if with_socket is not None and not self.gone.is_set():
            try:
                with_socket.shutdown(socket.SHUT_WR)
            except OSError:
                return  # the other side was faster

    async def stop_reading(self, seconds: float | None, released: anyio.Event) -> None:
        """Read nothing for some seconds, or until the client has gone or a test releases it."""
        self.shrink_receive_buffer()
        # Only the transport is paused: aiohttp's own pause is for a body that is still coming.
        self._pause_transport_reading()
        await self.wait_until_gone(seconds, released)
        if not (self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    async def wait_until_gone(self, seconds: float | None, released: anyio.Event) -> None:
        """Wait until the client has gone or a test releases it, for some seconds at most."""
        with anyio.move_on_after(_FOR_EVER_S if seconds is None else seconds):
            # While reading is paused only the kernel knows of an end, so it is asked.
            while not (released.is_set() or self._is_dead()):  # noqa: ASYNC110
                await anyio.sleep(_POLL_S)

    async def settle(self) -> None:
        """Let the event loop finish an abort, so that aiohttp sees the connection as gone."""
        with anyio.move_on_after(1.0):
            await self.gone.wait()

    def _is_dead(self) -> bool:
        if self.gone.is_set() or self.transport is None:
            return True
        with_socket = self.transport.get_extra_info("socket")
        try:
            info: bytes = with_socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        except (OSError, AttributeError):
            return False
        return info[0] != _ESTABLISHED

    def _socket_option(self, option: int, value: int | bytes) -> None:
        with_socket = None if self.transport is None else self.transport.get_extra_info("socket")
        if with_socket is not None:
            with_socket.setsockopt(socket.SOL_SOCKET, option, value)


class Gate:
    """All connections of a sandbox, on both of its ports."""

    def __init__(self, on_connect: Callable[[Connection], None]) -> None:
        self._on_connect = on_connect
        self._limit = _connection_limit()
        self._open: dict[Connection, None] = {}  # in the order of their last use
        self.opened_total = 0

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, connection: Connection) -> None:
        """Let a new connection in; make room for it if needed and possible."""
        self.opened_total += 1
        if len(self._open) >= self._limit and not self._make_room():
            connection.reset()
            return
        self._open[connection] = None
        self._on_connect(connection)

    def lost(self, connection: Connection) -> None:
        """Forget a connection."""
        self._open.pop(connection, None)

    def used(self, connection: Connection) -> None:
        """Say that a connection has just been used: it is now the last to be thrown out."""
        if self._open.pop(connection, self) is None:
            self._open[connection] = None

    def reset_all(self, but: Connection | None = None) -> None:
        """Reset every connection, except one."""
        for connection in list(self._open):
            if connection is not but:
                connection.reset()

    def _make_room(self) -> bool:
        idle = next((c for c in self._open if not c.is_busy), None)
        if idle is None:
            return False
        self.lost(idle)
        idle.reset()
        return True


class Server(web.Server):
    """aiohttp's low-level server, making our connections."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        gate: Gate,
        **options: Any,
    ) -> None:
        super().__init__(handler)
        self.gate = gate
        self._options = options

    def __call__(self) -> web.RequestHandler:
        """Make the protocol of a new connection."""
        return Connection(self, self._loop, **self._options)


def _connection_limit() -> int:
    """Half of the files that may be open: a request has its socket and at most one file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard not in {soft, resource.RLIM_INFINITY}:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(16, (soft - 64) // 2)
