"""The sink as the harness holds it: started, questioned, reset, stopped.

The one rule: connections go to its processes in turn. Whatever a client opens is spread evenly, which
`SO_REUSEPORT` does not promise: it goes by a hash, and eight connections may meet in one process.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

import msgspec

from .certificate import make_certificate
from .counts import Counts, summed
from .orders import Orders

if TYPE_CHECKING:
    from types import TracebackType

MOST_PROCESSES: Final = 4
STALLED_RECEIVE_BYTES: Final = 2 * 1024
"""The kernel's buffer of a stalled server; else it would swallow a whole 1 MB file."""
STALLED_SEGMENT_BYTES: Final = 1460
"""As on Ethernet; with the loopback's segments of 64 KiB the sender's kernel would swallow it."""
_BACKLOG: Final = 1024
_STOP_WITHIN_S: Final = 10.0


class SinkError(RuntimeError):
    """The sink did not start, or has died."""


class SinkProcess:
    """A running sink, several processes behind one address; a context manager that stops it.

    Start it from the main thread: its processes die with the thread that started them.

    Attributes:
        url: `http://127.0.0.1:port` or https.
        port: That port.
        ca_file: The authority that signed its certificate, PEM; None without TLS.
        pids: Of its processes.
    """

    def __init__(self, *, port: int, url: str, ca_file: str | None, closing: ExitStack) -> None:
        self.port = port
        self.url = url
        self.ca_file = ca_file
        self.pids: tuple[int, ...] = ()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._closing = closing

    @classmethod
    def start(
        cls,
        *,
        tls: bool = False,
        stalled: bool = False,
        processes: int | None = None,
        keep: Path | None = None,
    ) -> Self:
        """Start it and wait until all its processes are ready.

        Args:
            tls: Speak TLS 1.3, with a certificate made for this sink alone.
            stalled: Stop reading every body above 64 KiB after at most so much; never answer it.
            processes: How many; default: as many as there are cores, at most 4.
            keep: Folder to keep all bodies in, for tests.

        Raises:
            SinkError: A process did not get ready.
        """
        number = processes or min(MOST_PROCESSES, os.cpu_count() or 1)
        with ExitStack() as closing:
            listener = closing.enter_context(socket.socket())
            if stalled:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, STALLED_RECEIVE_BYTES)
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, STALLED_SEGMENT_BYTES)
            listener.bind(("127.0.0.1", 0))
            listener.listen(_BACKLOG)
            port: int = listener.getsockname()[1]
            url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
            certificate, ca_file = _certificate(closing) if tls else (None, None)
            sink = cls(port=port, url=url, ca_file=ca_file, closing=closing)
            closing.callback(sink._end)
            doors: list[socket.socket] = []
            for _ in range(number):
                ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
                closing.callback(ours.close)
                doors.append(ours)
                with theirs:
                    orders = Orders(
                        door=theirs.fileno(),
                        parent=os.getpid(),
                        base_url=url,
                        certificate=certificate,
                        stalls=stalled,
                        keep=None if keep is None else str(keep),
                    )
                    sink._begin(orders)
            for process in sink._processes:
                _line(process)
            threading.Thread(target=_hand_out, args=(listener, doors), daemon=True).start()
            closing.callback(_shut, listener)
            sink._closing = closing.pop_all()
            return sink
        raise AssertionError("the block above returns or raises")

    def counts(self) -> Counts:
        """What it has seen since the last reset.

        Raises:
            SinkError: One of its processes has died.
        """
        return self._ask(b"counts\n")

    def reset(self) -> Counts:
        """Begin to count anew; give the counts until now.

        Raises:
            SinkError: One of its processes has died.
        """
        return self._ask(b"reset\n")

    def close(self) -> None:
        """Stop it."""
        self._closing.close()

    def _begin(self, orders: Orders) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.serving", msgspec.json.encode(orders).decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(orders.door,),
            cwd=Path(__file__).parents[2],
        )
        self._processes.append(process)
        self.pids = (*self.pids, process.pid)

    def _ask(self, question: bytes) -> Counts:
        for process in self._processes:
            assert process.stdin is not None
            try:
                process.stdin.write(question)
                process.stdin.flush()
            except BrokenPipeError:
                raise SinkError("a process of the sink has died") from None
        answers = [_line(process) for process in self._processes]
        return summed([msgspec.json.decode(answer, type=Counts) for answer in answers])

    def _end(self) -> None:
        for process in self._processes:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died, with a question unread
                process.stdin.close()
        for process in self._processes:
            try:
                process.wait(_STOP_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _certificate(closing: ExitStack) -> tuple[str, str]:
    folder = Path(tempfile.mkdtemp(prefix="chartsend-sink-"))
    closing.callback(shutil.rmtree, folder)
    return make_certificate(folder)


def _line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SinkError("a process of the sink has died")
    return line


def _hand_out(listener: socket.socket, doors: list[socket.socket]) -> None:
    """Accept connections and give them to the processes in turn, until the listener is shut."""
    for door in cycle(doors):
        try:
            connection, _ = listener.accept()
            with connection:
                socket.send_fds(door, [b"c"], [connection.fileno()])
        except OSError:  # it is shut, or a process has died, which the next question will tell
            return


def _shut(listener: socket.socket) -> None:
    listener.shutdown(socket.SHUT_RDWR)
