"""How much the sink can take: several blocking processes send it prepared bytes as fast as they can.

The one rule: the load does nothing but `sendall`, so that what is found is the sink's limit or the
machine's, and the sink's busiest process says which.
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import statistics
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    from .process import SinkProcess

BODY_BYTES: Final = 30_000_000
_PATH: Final = "/fhir/R4/redox/Development/Binary"


class Capacity(NamedTuple):
    """What was found.

    Attributes:
        mb_per_s: Bodies' megabytes (10^6) per second, all senders together.
        busiest: Share of one core that the busiest process of the sink used.
        busy: Each process's share.
        senders: How many processes sent.
        core_s_per_gb: CPU seconds that the sink needs for a gigabyte (10^9).
    """

    mb_per_s: float
    busiest: float
    busy: tuple[float, ...]
    senders: int
    core_s_per_gb: float


def capacity(sink: SinkProcess, *, senders: int = 2, bodies: int = 40) -> Capacity:
    """Load a sink and measure what it takes.

    Args:
        sink: One that reads.
        senders: How many processes send, each over one connection.
        bodies: How many bodies of 30 MB each of them sends.

    Raises:
        RuntimeError: A sender failed, or the sink did not count every byte.
    """
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection[str, str]] = []
    processes: list[SpawnProcess] = []
    for _ in range(senders):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=_send, args=(theirs, sink.port, sink.ca_file, bodies), daemon=True
        )
        process.start()
        theirs.close()
        pipes.append(ours)
        processes.append(process)
    for pipe in pipes:
        pipe.recv()
    before = sink.reset()
    started = time.perf_counter()
    for pipe in pipes:
        pipe.send("go")
    for pipe in pipes:
        pipe.recv()
    took_s = time.perf_counter() - started
    after = sink.counts()
    for process in processes:
        process.join()
    total_bytes = after.of("binary").body_bytes
    if total_bytes != senders * bodies * BODY_BYTES:
        raise RuntimeError(f"the sink counted {total_bytes} bytes, and {senders} senders sent others")
    used = [then - now for then, now in zip(after.cpu_s, before.cpu_s, strict=True)]
    return Capacity(
        mb_per_s=total_bytes / took_s / 1e6,
        busiest=max(used) / took_s,
        busy=tuple(each / took_s for each in used),
        senders=senders,
        core_s_per_gb=sum(used) / (total_bytes / 1e9),
    )


def told(found: Capacity) -> str:
    """A line for people."""
    busy = ", ".join(f"{each:.0%}" for each in found.busy)
    return (
        f"{found.senders} senders: {found.mb_per_s:,.0f} MB/s; the sink needs"
        f" {found.core_s_per_gb:.2f} CPU s/GB; its processes used {busy} of a core"
        f" (mean {statistics.mean(found.busy):.0%})"
    )


def _send(pipe: Connection[str, str], port: int, ca_file: str | None, bodies: int) -> None:
    body = bytes(BODY_BYTES)
    head = (
        f"POST {_PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/pdf\r\n"
        f"Content-Length: {BODY_BYTES}\r\n\r\n"
    ).encode("ascii")
    connection: socket.socket = socket.create_connection(("127.0.0.1", port))
    if ca_file is not None:
        context = ssl.create_default_context(cafile=ca_file)
        connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
    with connection:
        pipe.send("ready")
        pipe.recv()
        for _ in range(bodies):
            connection.sendall(head)
            connection.sendall(body)
            if not connection.recv(4096).startswith(b"HTTP/1.1 201"):
                raise RuntimeError("the sink refused")
        pipe.send("done")
