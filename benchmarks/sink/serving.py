"""One process of the sink: takes connections over a socket, serves them, answers on stdout.

The one rule: it outlives nobody. It ends when its stdin ends, and the kernel kills it when the
process that started it is killed.

    python -m benchmarks.sink.serving '{"door": 5, "parent": 4711, "base_url": "http://127.0.0.1:8000"}'

On stdin: `counts` or `reset`, a line each; either is answered with the counts as they were.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import ssl
import sys
import time
from pathlib import Path
from typing import Final

import anyio
import msgspec

from ..mortality import die_with
from .counts import Counts
from .keeping import Keeper
from .orders import Orders
from .protocol import Connection, Shared

_FDS_AT_ONCE: Final = 64


class Server:
    """Serves the connections that come through a door."""

    def __init__(self, orders: Orders) -> None:
        keeper = None if orders.keep is None else Keeper(Path(orders.keep))
        self._shared = Shared(
            base_url=orders.base_url, counts=Counts(), stalls=orders.stalls, keeper=keeper
        )
        self._tls = None if orders.certificate is None else tls_context(orders.certificate)
        self._door = socket.socket(fileno=orders.door)
        self._door.setblocking(False)

    async def serve(self) -> None:
        """Serve until stdin ends."""
        os.set_blocking(sys.stdin.fileno(), False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._take_connections)
            await self._obey()
            tasks.cancel_scope.cancel()

    async def _take_connections(self) -> None:
        async with anyio.create_task_group() as tasks:
            while True:
                await anyio.wait_readable(self._door)
                try:
                    data, fds, _, _ = socket.recv_fds(self._door, _FDS_AT_ONCE, _FDS_AT_ONCE)
                except BlockingIOError:
                    continue
                if not data:
                    return
                for fd in fds:
                    tasks.start_soon(self._take, socket.socket(fileno=fd))

    async def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        loop = asyncio.get_running_loop()
        try:
            _, protocol = await loop.connect_accepted_socket(
                lambda: Connection(self._shared), connection, ssl=self._tls
            )
        except OSError:  # a handshake that failed, or a client that has gone
            self._shared.counts.broken += 1
            return
        await protocol.closed.wait()

    async def _obey(self) -> None:
        text = bytearray()
        while True:
            await anyio.wait_readable(sys.stdin.fileno())
            piece = os.read(sys.stdin.fileno(), 4096)
            if not piece:
                return
            text += piece
            *lines, text = text.split(b"\n")
            for line in lines:
                self._answer(bytes(line))

    def _answer(self, line: bytes) -> None:
        counts = self._shared.counts
        counts.cpu_s = [time.process_time()]
        sys.stdout.buffer.write(msgspec.json.encode(counts) + b"\n")
        sys.stdout.buffer.flush()
        if line == b"reset":
            counts.kinds.clear()
            counts.odd = counts.broken = counts.stalled = 0


def tls_context(certificate: str) -> ssl.SSLContext:
    """TLS 1.3 as a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(certificate)
    return context


def main() -> None:
    """Serve as ordered."""
    orders = msgspec.json.decode(sys.argv[1], type=Orders)
    die_with(orders.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the harness's; its end is ours
    server = Server(orders)
    gc.freeze()
    sys.stdout.buffer.write(b"ready\n")
    sys.stdout.buffer.flush()
    anyio.run(server.serve)


if __name__ == "__main__":
    main()
