"""The clock of the quota: one for all processes of this machine, and deaf to changes of the time of day.

The one rule: it never goes back within a boot, and a boot is known by its id.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Final

SECOND_NS: Final = 1_000_000_000
LONG_AGO_NS: Final = -(1 << 62)
"""Before everything; small enough that a window added to it is still before everything."""

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
UNKNOWN_BOOT: Final = bytes(16)


def _clock() -> int:
    """The clock that goes on while the machine sleeps; else the one that at least never goes back."""
    try:
        time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    except (AttributeError, OSError):
        return time.CLOCK_MONOTONIC
    return time.CLOCK_BOOTTIME


_CLOCK: Final = _clock()


def boot_ns() -> int:
    """Nanoseconds since this machine was started, times of sleep included."""
    return time.clock_gettime_ns(_CLOCK)


@functools.cache
def boot_id() -> bytes:
    """16 bytes that differ from boot to boot; all zero where the system has none (not Linux).

    Without it a reboot is not noticed as such, and need not be: an earlier boot's time that lies
    ahead is taken for damage, and one that does not makes a request look younger than it is.
    """
    try:
        return bytes.fromhex(_BOOT_ID.read_text(encoding="ascii").strip().replace("-", ""))
    except (OSError, ValueError):
        return UNKNOWN_BOOT
