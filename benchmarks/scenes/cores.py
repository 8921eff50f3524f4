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
    from .scene import Stage

SIZES = {"22.5 MB": LARGEST_EMBED_BYTES, "100 KB": 100 * KB}


def run(stage: Stage) -> Iterator[Group]:
    """From one worker to as many as there are cores."""
    if "workers" not in inspect.signature(Engine).parameters:
        stage.leave_out("Not measured: this version's engine has one event loop.")
        return
    cores = len(os.sched_getaffinity(0))
    with stage.sink() as sink:
        for series, size_bytes in SIZES.items():
            entrants = [
                entrant(
                    "chartsend",
                    "embed",
                    size_bytes,
                    concurrency=16,
                    seconds=1.0 * workers,
                    called=f"{workers} worker" + ("s" if workers > 1 else ""),
                    workers=workers,
                )
                for workers in range(1, cores + 1)
            ]
            yield stage.contest(sink, series, entrants)


SCENE = Scene(
    name="cores",
    title="Workers",
    how=(
        "The same files are embedded by one engine with 1, 2 … workers, up to the number of"
        " cores, 16 sends in flight in all. The sink runs on the same machine, so the last workers"
        " have to share cores with it."
    ),
    shows=("mb_per_s", "documents_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
)
