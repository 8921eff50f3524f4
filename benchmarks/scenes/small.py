"""Small documents: how many a second, with and without a ledger that is on disk before anything leaves.

The one rule: everyone who can hash does, since a batch does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..goals import WORKERS
from .rivals import KB, entrant
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..results import Group
    from .scene import Stage

SIZES = {"100 KB": 100 * KB, "5 KB": 5 * KB}
AT_ONCE = 32
LEDGER_AND_WORKERS = f"chartsend, ledger, {WORKERS} workers"


def run(stage: Stage) -> Iterator[Group]:
    """Embedded, plain."""
    with stage.sink() as sink:
        for series, size_bytes in SIZES.items():
            entrants = [
                entrant(name, "embed", size_bytes, concurrency=AT_ONCE, hashes=True, seconds=1.5)
                for name in ("chartsend", "aiohttp bytes", "curl")
            ]
            for called, workers in (("chartsend, ledger", 1), (LEDGER_AND_WORKERS, WORKERS)):
                ours = entrant(
                    "chartsend",
                    "embed",
                    size_bytes,
                    concurrency=AT_ONCE,
                    hashes=True,
                    seconds=1.5,
                    called=called,
                    ledger=str(stage.folder),
                    workers=workers,
                )
                entrants.append(ours)
            yield stage.contest(sink, series, entrants)


SCENE = Scene(
    name="small",
    title="Small documents",
    how=(
        "Documents of 100 KB and of 5 KB are embedded, 32 at once, over plain connections; with"
        " the ledger, every step is synced to disk before the request that it announces. `aiohttp"
        " bytes` posts bodies that lie ready as bytes and hashes the files, too; curl, whose"
        " bodies lie ready in files, does not."
    ),
    shows=("documents_per_s", "cpu_us_per_document"),
    run=run,
)
