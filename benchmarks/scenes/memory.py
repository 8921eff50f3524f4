"""Memory: the highest resident set over the files in flight, to servers that read or have stopped.

The one rule: sizes of files are compared in one round, since memory must not depend on them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from ..contest import ContestError
from ..goals import LARGE, LARGE_EMBED, MOST_AT_ONCE, PLAIN_STALLED, SMALL, TLS_STALLED
from ..results import Group
from .rivals import MB
from .scene import Axis, Entrant, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..job import Route, Sample
    from .scene import Stage

AT_ONCE = (16, 64, int(MOST_AT_ONCE))
STALLED_S = 30.0
"""Within this time every server has stalled, on any machine; the engine waits no longer for one."""
STALLED_FILES = 2
"""Distinct ones: of each a few hundred kilobytes are read, and what is read stays the kernel's."""
STALLED_PROCESSES = 2
"""Of each stalled sink, which shakes hands and then does nothing; several run at the same time."""
QUICK_ROUNDS = 1
"""In the short form: resident sets differ by a percent from one run to the next."""
TO_READ = 8
"""Documents of 1 MB for each one in flight, where servers read; of the large ones there is one."""
READING_ROUNDS = 3
"""At most, where servers read: 256 large files are 7.4 GB each time."""


class Kind(NamedTuple):
    """Files of one size, on one route."""

    name: str
    route: Route
    size_bytes: int


KINDS = (
    Kind(LARGE, "raw", 29 * MB),
    Kind(SMALL, "raw", 1 * MB),
    Kind(LARGE_EMBED, "embed", 21_700_000),
)
UPLOADED = KINDS[:2]


def run(stage: Stage) -> Iterator[Group]:
    """Stalled, and, in the long form, reading."""
    for at_once in AT_ONCE[-1:] if stage.quick else AT_ONCE:
        yield from _stalled(stage, at_once)
    for series, tls in () if stage.quick else (("plain, reading", False), ("TLS, reading", True)):
        for at_once in AT_ONCE:
            with stage.sink(tls=tls) as sink:
                entrants = [_reading(kind, at_once) for kind in UPLOADED]
                rounds = min(READING_ROUNDS, stage.rounds)
                yield stage.contest(sink, series, entrants, at=at_once, rounds=rounds)


def _stalled(stage: Stage, at_once: int) -> list[Group]:
    """All kinds at the same time, each with a sink of its own: they wait more than they work."""
    groups = [Group(series=series, at=at_once) for series in (PLAIN_STALLED, TLS_STALLED)]
    # The short form takes what it is held to.
    kinds = UPLOADED if stage.quick else KINDS
    work = [(group, kind) for kind in kinds for group in groups]

    for kind in kinds:  # made once, before several ask for them
        stage.samples.files(kind.size_bytes, STALLED_FILES)

    def one(each: tuple[Group, Kind]) -> list[Sample]:
        group, kind = each
        return _one(stage, group.series, kind, at_once)

    with ThreadPoolExecutor(len(work)) as threads:
        for (group, kind), samples in zip(work, threads.map(one, work), strict=True):
            group.samples[kind.name] = samples
    return groups


def _one(stage: Stage, series: str, kind: Kind, at_once: int) -> list[Sample]:
    """All rounds of one kind."""
    name = f"{series}, {kind.name}"
    entrant = Entrant(
        name=kind.name,
        sender="chartsend",
        route=kind.route,
        size_bytes=kind.size_bytes,
        count=at_once,
        concurrency=at_once,
        changes={"duration_s": STALLED_S},
        distinct=STALLED_FILES,
    )
    rounds = min(QUICK_ROUNDS, stage.rounds) if stage.quick else stage.rounds
    with stage.sink(tls=series == TLS_STALLED, stalled=True, processes=STALLED_PROCESSES) as sink:
        found = stage.contest(sink, name, [entrant], at=at_once, rounds=rounds)
    for sample in found.samples[kind.name]:
        if (stalled := sample.notes["stalled"]) != at_once:
            raise ContestError(f"{name}: {stalled:.0f} of {at_once} stalled in {STALLED_S:g} s")
    return found.samples[kind.name]


def _reading(kind: Kind, at_once: int) -> Entrant:
    return Entrant(
        name=kind.name,
        sender="chartsend",
        route=kind.route,
        size_bytes=kind.size_bytes,
        count=at_once * (TO_READ if kind.size_bytes <= MB else 1),
        concurrency=at_once,
    )


SCENE = Scene(
    name="memory",
    title="Memory",
    how=(
        "chartsend sends with a growing number of files in flight, to a sink that reads, and to"
        " one that stops after 64 KiB of each body, until every connection has stalled, and a second"
        " more. The figure is"
        " the highest resident set since the start, less that of the open engine at rest; the"
        " kernel's socket buffers are not part of it."
    ),
    shows=("rss_mib",),
    run=run,
    axis=Axis("sends in flight"),
    is_quick=True,
)
