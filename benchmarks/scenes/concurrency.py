"""From 1 to 256 at once.

The one rule: who holds whole files in memory is not run where that would take more than `MOST_BYTES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rivals import MB, entrant
from .scene import Axis, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import Group
    from .scene import Stage

SIZE_BYTES = 5 * MB
AT_ONCE = (1, 4, 16, 64, 256)
MOST_BYTES = 1_000 * MB
HELD = 4 + 1 / 3
"""The file, its base64, and two further copies of that in JSON: what the naive way holds of each."""


def run(stage: Stage) -> Iterator[Group]:
    """Embedded, plain."""
    fits = max(at_once for at_once in AT_ONCE if at_once * SIZE_BYTES * HELD <= MOST_BYTES)
    stage.leave_out(f"naive aiohttp above {fits} at once: it would hold over {MOST_BYTES // MB:,} MB.")
    with stage.sink() as sink:
        for at_once in AT_ONCE:
            names = ("chartsend", "curl", *(("naive aiohttp",) if at_once <= fits else ()))
            entrants = [entrant(name, "embed", SIZE_BYTES, concurrency=at_once) for name in names]
            yield stage.contest(sink, "embed 5 MB", entrants, at=at_once)


SCENE = Scene(
    name="concurrency",
    title="From 1 to 256 at once",
    how=(
        "Files of 5 MB are embedded over plain connections, with a growing number of sends in"
        " flight. chartsend keeps its default byte budget, whatever the number."
    ),
    shows=("mb_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
    axis=Axis("sends in flight"),
)
