"""Files that are not in the page cache: how long the event loop stands still, and how fast it goes.

The one rule: no file is sent twice in a run, so that none is warm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rivals import LARGEST_EMBED_BYTES
from .scene import Entrant, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import Group
    from .scene import Stage

FILES = 64
AT_ONCE = 8


def run(stage: Stage) -> Iterator[Group]:
    """Cold, then warm, each in a contest of its own: a warm one would warm the other's files."""
    with stage.sink() as sink:
        for series, options in (
            ("22.5 MB, cold", {"stalls": "1", "cold": "1"}),
            ("22.5 MB, warm", {"stalls": "1"}),
        ):
            ours = Entrant(
                name="chartsend",
                sender="chartsend",
                route="embed",
                size_bytes=LARGEST_EMBED_BYTES,
                count=FILES,
                concurrency=AT_ONCE,
                changes={"options": options},
                distinct=FILES,
            )
            yield stage.contest(sink, series, [ours])


SCENE = Scene(
    name="cold",
    title="A cold page cache",
    how=(
        "64 files of 22.5 MB, whose pages were dropped from the cache beforehand"
        " (`POSIX_FADV_DONTNEED`), are embedded 8 at once, while the event loop measures how late"
        " it runs. The same from a warm cache stands beside it."
    ),
    shows=("stall_p50_ms", "stall_p999_ms", "stall_most_ms", "mb_per_s"),
    run=run,
)
