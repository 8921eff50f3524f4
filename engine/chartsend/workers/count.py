"""How many workers are worth starting.

The one rule: a worker must have work: no more of them than cores, than the quota can feed, and than the
whole job would take seconds.

The figures are of one core of a 2.x GHz server, measured with `python -m benchmarks`; they need not be
exact, since a worker too many costs memory only.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Final

from ..errors import ConfigError
from ..settings import parse_quota

if TYPE_CHECKING:
    from ..settings import Settings

DOCUMENT_S: Final = 0.0010
"""Processor seconds of a document, its bytes apart."""
BYTE_S: Final = 0.7e-9
"""Processor seconds of a byte, encoded and sent."""
HASHED_BYTE_S: Final = 1.3e-9
"""The same with its sha256."""
WORTH_S: Final = 4.0
"""A job that one core does in this time needs no others: a worker takes half a second to start."""
TYPICAL_BYTES: Final = 1_000_000
"""Of a document whose size is not known."""
MOST: Final = 64


def check_workers(workers: object) -> None:
    """Refuse what is no number of workers.

    Raises:
        ConfigError: It is no whole number from 1 to `MOST`.
    """
    if not isinstance(workers, int) or not 1 <= workers <= MOST:
        raise ConfigError(
            f"workers is a whole number, 1 to {MOST}; `workers_for(settings, ...)` tells how many"
        )


def cores() -> int:
    """Processors that this process may use, a container's limit included."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(usable, _allowed())))


def most_workers(settings: Settings, *, documents: int | None = None) -> int:
    """How many workers can have something to do at once: more would only be started and stopped.

    Args:
        settings: Concurrency.
        documents: How many there are; None for no end of them.
    """
    most = min(settings.concurrency, MOST)
    return max(1, most if documents is None else min(most, documents))


def workers_for(
    settings: Settings,
    *,
    documents: int | None = None,
    mean_bytes: float = TYPICAL_BYTES,
    backfill: bool = False,
) -> int:
    """How many workers a job is worth; 1 means none beside the engine's own loop.

    Args:
        settings: Quota, hashing and concurrency.
        documents: How many there are; None for no end of them.
        mean_bytes: Raw size of one of them, on average.
        backfill: Whether a part of the quota stays free.
    """
    each_s = DOCUMENT_S + mean_bytes * (HASHED_BYTE_S if settings.hash else BYTE_S)
    bounds = [cores(), most_workers(settings, documents=documents)]
    if documents is not None:
        bounds.append(math.ceil(documents * each_s / WORTH_S))
    quota = parse_quota(settings.quota)
    if quota is not None:
        share = settings.quota_backfill_share if backfill else 1.0
        bounds.append(math.ceil(quota[0] * share / quota[1] * each_s))  # as if each took one request
    return max(1, min(bounds))


def _allowed() -> float:
    """Cores that the cgroup allows (cgroup-v2, `cpu.max`); infinite where it says nothing."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:  # noqa: PTH123  # a line, once
            quota, period = file.read().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return math.inf
