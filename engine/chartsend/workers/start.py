"""Starting and ending worker processes.

The one rule: a worker never outlives its engine, whatever ends that: the kernel kills it when the
thread that started it has gone, and a broken line ends it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1
"""prctl(2), Linux."""
_FOLDER: Final = str(Path(__file__).parents[2])
_PROGRAM: Final = """\
import sys
sys.path[:] = {path!r}
from chartsend.workers.start import tie_to
tie_to({pid})
from chartsend.workers.child import main
main()
"""
"""Everything is found where it was found here, and nothing in the working directory, which `-c` adds."""


def start() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a worker; give its process, and this end of the line to it.

    Raises:
        OSError: The system has no process or descriptor left, or does not tell where Python is.
    """
    if not sys.executable or getattr(sys, "frozen", False):  # embedded, or a program of its own
        raise FileNotFoundError(errno.ENOENT, "no Python interpreter to start; use workers=1")
    ours, theirs = socket.socketpair()
    try:
        path = [str(each) for each in (*sys.path, _FOLDER) if each]
        program = _PROGRAM.format(path=path, pid=os.getpid())
        # As its standard input the line has the same number everywhere, whatever is closed here.
        names = f"utf8={sys.flags.utf8_mode}"  # a file's name is to mean the same bytes there
        command = [sys.executable, "-X", names, "-c", program]
        process = subprocess.Popen(command, stdin=theirs.fileno())  # noqa: S603  # our own interpreter
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


def discard(started: list[tuple[subprocess.Popen[bytes], socket.socket]]) -> None:
    """End a worker that nobody took: whoever wanted it was cancelled."""
    for process, line in started:
        line.close()
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and take its exit code from the system. Blocks for as long as a kill takes."""
    process.kill()
    process.wait()
