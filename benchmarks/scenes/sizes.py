"""From 1 KB to the largest file: throughput and CPU.

The one rule: every size is one contest, so that a ratio is of runs a second apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rivals import KB, LARGEST_EMBED_BYTES, LARGEST_RAW_BYTES, MB, entrant
from .scene import Axis, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import Group
    from .scene import Stage

EMBED_BYTES = (1 * KB, 10 * KB, 100 * KB, 1 * MB, 5 * MB, LARGEST_EMBED_BYTES)
RAW_BYTES = (100 * KB, 1 * MB, 5 * MB, LARGEST_RAW_BYTES)
EMBEDDING = ("chartsend", "floor", "naive aiohttp", "naive httpx", "requests in threads", "curl")
SECONDS = 0.6


def run(stage: Stage) -> Iterator[Group]:
    """Embedded, then uploaded as raw bytes."""
    with stage.sink() as sink:
        for size_bytes in EMBED_BYTES:
            entrants = [entrant(name, "embed", size_bytes, seconds=SECONDS) for name in EMBEDDING]
            yield stage.contest(sink, "embed", entrants, at=size_bytes)
        for size_bytes in RAW_BYTES:
            entrants = [
                entrant(name, "raw", size_bytes, seconds=SECONDS) for name in ("chartsend", "floor")
            ]
            yield stage.contest(sink, "upload raw", entrants, at=size_bytes)


SCENE = Scene(
    name="sizes",
    title="From 1 KB to 30 MB",
    how=(
        "Documents of one size are sent 8 at once over plain connections, without hashing. Bodies"
        " for `curl` were encoded before the clock started."
    ),
    shows=("mb_per_s", "documents_per_s", "cpu_s_per_gb"),
    run=run,
    axis=Axis("size of a file", is_bytes=True),
)
