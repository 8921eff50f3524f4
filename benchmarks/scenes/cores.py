"""More workers: what each costs, and until where the whole gets faster.

The one rule: all numbers of workers run in one contest; when the sink is full, the report says so.
"""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

from chartsend import Engine

from .rivals import KB, LARGEST_EMBED_BYTES, entrant
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import Group
    from .scene import Entrant, Stage

SIZES = {"22.5 MB": LARGEST_EMBED_BYTES, "100 KB": 100 * KB}


def run(stage: Stage) -> Iterator[Group]:
    """From one worker to as many as there are cores."""
    if "workers" not in inspect.signature(Engine).parameters:
        stage.leave_out("Not measured: this version's engine has one event loop.")
        return
    cores = len(os.sched_getaffinity(0))
    with stage.sink() as sink:
        for series, size_bytes in SIZES.items():
            workers = [_at_work(size_bytes, "chartsend", n, "worker") for n in range(1, cores + 1)]
            yield stage.contest(sink, series, workers)
            some = max(2, cores - 1)
            both = [
                _at_work(size_bytes, "chartsend", some, "worker"),
                _at_work(size_bytes, "chartsend in threads", some, "thread"),
            ]
            yield stage.contest(sink, f"{series}, processes or threads", both)
        floors = [
            _at_work(LARGEST_EMBED_BYTES, "floor in processes", n, "floor") for n in range(1, cores + 1)
        ]
        yield stage.contest(sink, "22.5 MB, floors", floors)


def _at_work(size_bytes: int, name: str, number: int, what: str) -> Entrant:
    return entrant(
        name,
        "embed",
        size_bytes,
        concurrency=16,
        seconds=1.0 * number,
        called=f"{number} {what}{'s' if number > 1 else ''}",
        workers=number,
    )


SCENE = Scene(
    name="cores",
    title="Workers",
    how=(
        "The same files are embedded by one engine with 1, 2 … workers, up to the number of"
        " cores, 16 sends in flight in all. The sink runs on the same machine, so the last workers"
        " have to share cores with it; floors, blocking loops in so many processes, have to as well."
        " Threads are event loops in one process, each with an engine of its own: what workers"
        " would be if they were not processes."
    ),
    shows=("mb_per_s", "documents_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
)
