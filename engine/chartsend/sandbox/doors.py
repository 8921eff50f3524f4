"""The two listening ports, on 127.0.0.1 and nowhere else. They can be closed for a time and reopen."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    import ssl

    from .connection import Server

HOST: Final = "127.0.0.1"
"""There is no option to listen elsewhere."""

_BACKLOG: Final = 1024
_RETRY_S: Final = 0.05


class Door:
    """One listening port. It is bound when made, and answers from `open` on."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._context = context
        self._socket = _bound(port)
        self._socket.listen(_BACKLOG)  # a taken port shows here, not only when it is served
        self._server: asyncio.Server | None = None
        self.port: int = self._socket.getsockname()[1]

    async def open(self, server: Server) -> None:
        """Listen, on the same port as ever."""
        if self._socket.fileno() < 0:
            self._socket = _bound(self.port)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            server,
            sock=self._socket,
            ssl=self._context,
            backlog=_BACKLOG,
        )

    def close(self) -> None:
        """Stop listening; connections that were accepted stay."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self._socket.close()

    def hold(self) -> None:
        """Stop listening for now: whoever connects is refused, but nobody else gets the port.

        Were it free, the kernel could give it to a client that tries to connect to it, which then
        talks to itself.
        """
        self.close()
        with contextlib.suppress(OSError):
            self._socket = _bound(self.port)


class Doors:
    """Both ports, opened and closed together."""

    def __init__(self, pairs: list[tuple[Door, Server]]) -> None:
        self._pairs = pairs
        self._closed_until: float | None = None

    async def open(self) -> None:
        """Listen on both."""
        for door, server in self._pairs:
            await door.open(server)

    def close(self) -> None:
        """Stop listening on both."""
        for door, _ in self._pairs:
            door.close()

    def close_for(self, seconds: float) -> bool:
        """Close now; tell whether the caller must run `reopen`, which waits for the time."""
        until = anyio.current_time() + seconds
        if self._closed_until is not None:
            self._closed_until = max(self._closed_until, until)
            return False
        self._closed_until = until
        for door, _ in self._pairs:
            door.hold()
        return True

    async def reopen(self) -> None:
        """Wait until the ports may listen again, and open them."""
        # The time may be put off while this waits for it.
        while self._closed_until is not None and anyio.current_time() < self._closed_until:  # noqa: ASYNC110
            await anyio.sleep_until(self._closed_until)
        self._closed_until = None
        for door, server in self._pairs:
            await _open_when_free(door, server)


async def _open_when_free(door: Door, server: Server) -> None:
    """Open a door, waiting for whoever may have taken its port meanwhile."""
    while True:
        try:
            await door.open(server)
        except OSError:
            await anyio.sleep(_RETRY_S)
        else:
            return


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound
