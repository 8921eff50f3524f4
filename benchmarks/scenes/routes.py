"""The ways a file can take, compared: uploaded raw or as multipart, embedded in FHIR or in Notes.

The one rule: the same files on every route, in one contest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rivals import LARGEST_EMBED_BYTES, entrant
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..job import Route
    from ..results import Group
    from .scene import Stage

OURS: dict[str, Route] = {
    "chartsend, upload raw": "raw",
    "chartsend, upload multipart": "multipart",
    "chartsend, embed FHIR": "embed",
    "chartsend, embed Notes": "embed_notes",
}
THEIRS: dict[str, Route] = {
    "aiohttp, file object": "raw",
    "aiohttp, base64 multipart": "multipart",
    "naive aiohttp": "embed",
}


def run(stage: Stage) -> Iterator[Group]:
    """All in one contest."""
    entrants = [
        entrant("chartsend", route, LARGEST_EMBED_BYTES, called=called) for called, route in OURS.items()
    ]
    entrants += [entrant(name, route, LARGEST_EMBED_BYTES) for name, route in THEIRS.items()]
    with stage.sink() as sink:
        yield stage.contest(sink, "22.5 MB", entrants)


SCENE = Scene(
    name="routes",
    title="Routes",
    how=(
        "The same files of 22.5 MB go by every route, 8 at once, over plain connections; an"
        " upload takes two requests, an embedded file one. aiohttp's own ways of sending a file"
        " run beside them."
    ),
    shows=("mb_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
)
