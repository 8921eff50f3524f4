"""Starting and ending worker processes.

The one rule: a worker never outlives its engine, whatever ends that: the kernel kills it when the
thread that started it has gone, and a broken line ends it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""prctl(2), Linux."""
_PROGRAM: Final = """\
import sys
sys.path.append({folder!r})
from chartsend.workers.child import main
main({fd}, {pid})
"""
"""It is found where it was found here, also when that is not on the path of a fresh interpreter."""


def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker; give its process, and this end of the line to it.

    Raises:
        OSError: The system has no process or descriptor left.
    """
    ours, theirs = socket.socketpair()
    try:
        folder = str(Path(__file__).parents[2])
        program = _PROGRAM.format(folder=folder, fd=theirs.fileno(), pid=os.getpid())
        process = subprocess.Popen(  # noqa: S603  # our own interpreter and program
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    ours.setblocking(False)  # the parameter has no name
    return process, ours


def tie_to(parent: int) -> None:
    """In a worker: die with the engine, and leave its signals to it.

    A terminal's Ctrl-C, and a service manager's SIGTERM, reach every process of a group. What is under
    way then is the engine's to end.
    """
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    with contextlib.suppress(AttributeError, OSError):  # not on Linux: the line's end must do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and take its exit code from the system. Blocks for as long as a kill takes."""
    process.kill()
    process.wait()
