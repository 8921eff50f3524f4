"""What a file costs to open, read, verify and close: on the event loop, and with threads for opening.

The one rule: both ways run round by round in one process on the same files; a ratio is taken within a
round, and the loop's delay is that of a timer of its own.

    python -m benchmarks.open_files [--files DIR] [--rounds 7] [--number 400]

"threads" is the engine with the system call for opening from the cache refused, as on Linux before 5.12:
files up to 64 KiB take one hop to a thread, larger ones one to open and one to verify.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import time
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar, TypeVarTuple

import anyio

from chartsend.aio import Lane
from chartsend.sources.cached import OPENER
from chartsend.sources.descriptor import SMALL_BYTES
from chartsend.sources.file import open_file
from chartsend.sources.mounts import MOUNTS

from .sample import Samples, chill, warm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from chartsend.aio import Shared

CHUNK_BYTES: Final = 96 * 1024
BEAT_S: Final = 0.001


class Way(NamedTuple):
    """How files are opened."""

    name: str
    is_refused: bool
    small_bytes: int


WAYS: Final = (
    Way("threads", is_refused=True, small_bytes=SMALL_BYTES),
    Way("threads, whole files up to a chunk", is_refused=True, small_bytes=CHUNK_BYTES),
    Way("event loop", is_refused=False, small_bytes=CHUNK_BYTES),
)


class Case(NamedTuple):
    """What is read."""

    name: str
    size_bytes: int
    number: int
    at_once: int
    is_cold: bool


class Figure(NamedTuple):
    """Of one run. The delays are those of the loop's timer, in seconds."""

    cpu_us: float
    wall_us: float
    calls: float
    delays_s: list[float]


T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class CountingLane(Lane):
    """A lane that counts its calls."""

    calls = 0

    async def run(self, shared: Shared, func: Callable[[*Ts], T], /, *args: *Ts) -> T:
        """As `Lane.run`."""
        self.calls += 1
        return await super().run(shared, func, *args)


async def read(path: str, lane: Lane, small_bytes: int) -> None:
    """Everything that a send does with a file, but send it."""
    source = await open_file(path, lane=lane, read_s=60, small_bytes=small_bytes)
    try:
        reader = source.reader()
        if reader.whole is None:
            buffer = memoryview(bytearray(min(CHUNK_BYTES, source.size_bytes)))
            left = source.size_bytes
            while left:
                left -= await reader.read_into(buffer[:left])
                await asyncio.sleep(0)  # as a body does between its chunks
        await reader.verify()
        await reader.aclose()
        await asyncio.sleep(0)
    finally:
        source.close()


async def run(case: Case, paths: Sequence[str], way: Way) -> Figure:
    """Read all files once."""
    lane, delays_s = CountingLane(threads=max(case.at_once, 4)), list[float]()
    OPENER.is_refused = False
    MOUNTS.forget()
    await read(paths[0], lane, way.small_bytes)  # the mount is known afterwards, threads run
    OPENER.is_refused, lane.calls = way.is_refused, 0
    (chill if case.is_cold else warm)(paths)
    left = islice(cycle(paths), case.number)
    cpu_s, wall_s = time.process_time(), time.perf_counter()
    async with anyio.create_task_group() as beside:
        beside.start_soon(beat, delays_s)
        async with anyio.create_task_group() as readers:
            for _ in range(case.at_once):
                readers.start_soon(read_all, left, lane, way.small_bytes)
        beside.cancel_scope.cancel()
    cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
    await lane.aclose()
    return Figure(
        cpu_s / case.number * 1e6, wall_s / case.number * 1e6, lane.calls / case.number, delays_s
    )


async def read_all(paths: Iterator[str], lane: Lane, small_bytes: int) -> None:
    """Read what is left."""
    for path in paths:
        await read(path, lane, small_bytes)


async def beat(delays_s: list[float]) -> None:
    """Note how much later than asked for the loop comes round."""
    while True:
        asked_s = time.perf_counter()
        await anyio.sleep(BEAT_S)
        delays_s.append(time.perf_counter() - asked_s - BEAT_S)


def spread(values: Iterable[float], digits: int = 0) -> str:
    """Median and range."""
    ordered = sorted(values)
    low, high = ordered[0], ordered[-1]
    return f"{statistics.median(ordered):.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def report(case: Case, found: dict[str, list[Figure]]) -> None:
    """Print a table of one case."""
    print(f"\n{case.name}: {case.number} files of {case.size_bytes:,} bytes, {case.at_once} at once")
    first = found[WAYS[0].name]
    for name, figures in found.items():
        delays_s = sorted(delay_s for figure in figures for delay_s in figure.delays_s)
        rare_ms = delays_s[int(len(delays_s) * 0.999)] * 1e3 if delays_s else 0.0
        ratios = [new.cpu_us / old.cpu_us for new, old in zip(figures, first, strict=True)]
        rates = [case.size_bytes / figure.wall_us for figure in figures]
        print(
            f"  {name:36} CPU us {spread(f.cpu_us for f in figures):20} ratio {spread(ratios, 2):18}"
            f" MB/s {spread(rates):20} hops {statistics.median(f.calls for f in figures):5.1f}"
            f" loop's delay p99.9 {rare_ms:.1f} ms"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=Path, help="a folder on a real disk")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--number", type=int, default=400, help="small files per run")
    options = parser.parse_args()
    number = options.number
    cases = (
        Case("warm, small", 75_000, number * 5, 1, is_cold=False),
        Case("warm, large", 1_000_000, number, 1, is_cold=False),
        Case("cold, small", 75_000, number, 4, is_cold=True),
        Case("cold, large", 22_500_000, max(1, number // 25), 4, is_cold=True),
    )
    with Samples.open(options.files) as samples:
        for case in cases:
            paths = samples.files(case.size_bytes, min(case.number, number))
            found: dict[str, list[Figure]] = {way.name: [] for way in WAYS}
            for turn in range(options.rounds):
                for way in (*WAYS[turn % len(WAYS) :], *WAYS[: turn % len(WAYS)]):
                    found[way.name].append(asyncio.run(run(case, paths, way)))
            report(case, found)
    print(
        f"\n{options.rounds} rounds, median (lowest-highest); Python {platform.python_version()},"
        f" chartsend {version('chartsend')}, Linux {platform.release()}, {platform.machine()}"
    )


if __name__ == "__main__":
    main()
