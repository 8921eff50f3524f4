"""How many sends this process has file descriptors for."""

from __future__ import annotations

import dataclasses
import resource
from typing import TYPE_CHECKING, Final

from .progress import say

if TYPE_CHECKING:
    from ..settings import Settings

PER_SEND: Final = 2
"""A file and a socket."""
APART: Final = 64
"""Standard streams, the event loop, a sandbox, idle connections that are being closed."""


def fit(concurrency: int) -> int:
    """The concurrency that the limit on open files allows; raises the soft limit first.

    Returns:
        `concurrency`, or fewer, at least 1.
    """
    needed = PER_SEND * concurrency + APART
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return concurrency
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if raised > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    return max(1, min(concurrency, (soft - APART) // PER_SEND))


def fitted(settings: Settings) -> Settings:
    """The settings, with no more sends at a time than the limit on open files allows; says so."""
    fitting = fit(settings.concurrency)
    if fitting == settings.concurrency:
        return settings
    say(
        f"The limit on open files allows {fitting} sends at a time, not {settings.concurrency};"
        " `ulimit -n` raises it."
    )
    return dataclasses.replace(settings, concurrency=fitting)
