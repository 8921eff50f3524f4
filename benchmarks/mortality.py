"""A process that does not outlive the one that started it.

The one rule: the kernel sees to it (`PR_SET_PDEATHSIG`), so that kill -9 of the parent is enough.
"""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent has gone, and see that it has not gone yet.

    The signal comes when the thread that started this process ends: start it from the main thread.

    Raises:
        OSError: The kernel does not do it.
        SystemExit: The parent has gone already.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        raise SystemExit("the harness has gone")
