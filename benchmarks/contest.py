"""Runs contestants one after the other, round by round, each in a fresh process.

The one rule: a figure exists only when the sink has counted exactly the documents and bytes that the
sender was asked for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from . import sample
from .job import Sample
from .proof import ProofError, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .job import Job
    from .sink import SinkProcess

SINK_IS_FULL: Final = 0.85
"""Above this share of a core in its busiest process, the sink may be the limit."""
LONGEST_S: Final = 600.0
"""No run takes so long; a sender that does is killed."""


class Contestant(NamedTuple):
    """Who runs: a name for the report, its module (`benchmarks.senders.NAME`), and what it is to do."""

    name: str
    module: str
    job: Job


class Spread(msgspec.Struct, frozen=True):
    """Median, lowest and highest of a figure over the rounds."""

    median: float
    low: float
    high: float


class ContestError(Exception):
    """A sender failed, or what it says is not what the sink has counted; there is no figure."""


def rounds(
    contestants: Sequence[Contestant], *, rounds: int, sink: SinkProcess
) -> dict[str, list[Sample]]:
    """Run every contestant once per round, in rotated order.

    Before each run its files are read into the page cache, or dropped from it (option `cold`).

    Returns:
        By name; sample i of each contestant comes from round i.

    Raises:
        ContestError: A sender failed or sent other bytes than it was asked to; two have one name.
        SinkError: The sink has died.
    """
    found: dict[str, list[Sample]] = {each.name: [] for each in contestants}
    if len(found) != len(contestants):
        raise ContestError("two contestants have the same name")
    for number in range(rounds):
        turn = number % max(1, len(contestants))
        for contestant in (*contestants[turn:], *contestants[:turn]):
            found[contestant.name].append(run(contestant, sink))
    return found


def run(contestant: Contestant, sink: SinkProcess) -> Sample:
    """One run in a fresh process.

    Raises:
        ContestError: As for `rounds`.
        SinkError: As for `rounds`.
    """
    job = contestant.job
    process = subprocess.Popen(
        [sys.executable, "-m", contestant.module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env=_environment(),
    )
    try:
        _say(process, msgspec.json.encode(job))
        if _hear(process) != b"ready\n":
            raise ContestError(f"{contestant.name} did not get ready; its error stands above")
        _set_cache(job)
        before = sink.reset()
        _say(process, b"go")
        line = _hear(process)
        if process.wait(LONGEST_S) != 0 or not line:
            raise ContestError(f"{contestant.name} failed; its error stands above")
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
    after = sink.counts()
    found = msgspec.json.decode(line, type=Sample)
    if not found.seconds > 0:
        raise ContestError(f"{contestant.name} took no time at all")
    try:
        found.notes |= prove(job, found, after)
    except ProofError as exc:
        raise ContestError(f"{contestant.name}: {exc}") from None
    used = max(now - then for now, then in zip(after.cpu_s, before.cpu_s, strict=True))
    found.notes["sink_busy"] = used / found.seconds
    return found


def spread(values: Sequence[float]) -> Spread:
    """Median, lowest and highest."""
    return Spread(statistics.median(values), min(values), max(values))


def figure(samples: Sequence[Sample], of: Callable[[Sample], float]) -> Spread:
    """A figure's spread over the rounds."""
    return spread([of(each) for each in samples])


def ratio(a: Sequence[Sample], b: Sequence[Sample], of: Callable[[Sample], float]) -> Spread:
    """A figure of `a` by that of `b`, pair by pair of the same round."""
    return spread([of(x) / of(y) for x, y in zip(a, b, strict=True)])


def _environment() -> dict[str, str]:
    """No proxy between us and the loopback, no settings of whoever runs this."""
    ours = ("CHARTSEND_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "REQUESTS_", "SSL_CERT", "CURL_")
    kept = {name: text for name, text in os.environ.items() if not name.upper().startswith(ours)}
    return kept | {"NO_PROXY": "*"}


def _set_cache(job: Job) -> None:
    if job.options.get("cold") == "1":
        sample.chill(job.files)
    else:
        sample.warm(job.files)


def _say(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    try:
        process.stdin.write(line + b"\n")
        process.stdin.flush()
    except BrokenPipeError:
        raise ContestError("a sender ended before it was told what to do") from None


def _hear(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()
