"""Runs contestants one after the other, round by round, each in a fresh process.

The one rule: a figure exists only when the sink has counted exactly the documents and bytes that the
sender was asked for.
"""

from __future__ import annotations

import os
import select
import statistics
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from . import sample
from .job import Sample
from .proof import ProofError, prove

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from .job import Job
    from .sink import SinkProcess

SINK_IS_FULL: Final = 0.85
"""Above this share of a core in its busiest process, the sink may be the limit."""
LONGEST_S: Final = 600.0
"""No run takes so long; a sender that does is killed."""
SETTLED_S: Final = 1.0
"""How long a sender goes on when all its servers have stalled: until its own buffers are full."""
_LOOK_EVERY_S: Final = 0.05


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
    contestants: Sequence[Contestant], *, rounds: int, sink: SinkProcess, ready_together: bool = False
) -> dict[str, list[Sample]]:
    """Run every contestant once per round, in rotated order.

    Before each run its files are read into the page cache, or dropped from it (option `cold`).

    Args:
        contestants: Who runs.
        rounds: How often.
        sink: Whom they send to.
        ready_together: The processes of a round start at the same time, which saves that time, and
            wait until it is their turn; nothing runs beside a run in either case.

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
        order = (*contestants[turn:], *contestants[:turn])
        for some in [order] if ready_together else [(each,) for each in order]:
            for contestant, found_ in zip(some, _in_turn(some, sink), strict=True):
                found[contestant.name].append(found_)
    return found


def run(contestant: Contestant, sink: SinkProcess) -> Sample:
    """One run in a fresh process.

    Raises:
        ContestError: As for `rounds`.
        SinkError: As for `rounds`.
    """
    (found,) = _in_turn((contestant,), sink)
    return found


def _in_turn(contestants: Sequence[Contestant], sink: SinkProcess) -> list[Sample]:
    """Have all get ready at the same time, then run one after the other."""
    with ExitStack() as stack:
        processes = [stack.enter_context(_process(each)) for each in contestants]
        for contestant, process in zip(contestants, processes, strict=True):
            if _hear(process) != b"ready\n":
                raise ContestError(f"{contestant.name} did not get ready; its error stands above")
        return [_go(*each, sink) for each in zip(contestants, processes, strict=True)]


@contextmanager
def _process(contestant: Contestant) -> Generator[subprocess.Popen[bytes]]:
    """A fresh process that has been told its job; killed when the block is left."""
    process = subprocess.Popen(
        [sys.executable, "-m", contestant.module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
        env=_environment(),
    )
    try:
        _say(process, msgspec.json.encode(contestant.job))
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _go(contestant: Contestant, process: subprocess.Popen[bytes], sink: SinkProcess) -> Sample:
    """Let one that is ready do its job."""
    job = contestant.job
    _set_cache(job)
    before = sink.reset()
    _say(process, b"go")
    if job.duration_s is not None:
        _end_when_stalled(process, job, sink)
    line = _hear(process)
    if process.wait(LONGEST_S) != 0 or not line:
        raise ContestError(f"{contestant.name} failed; its error stands above")
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


def _end_when_stalled(process: subprocess.Popen[bytes], job: Job, sink: SinkProcess) -> None:
    """Tell a sender that it is enough, some time after all its servers have stalled.

    It ends by itself after its `duration_s`, whether they have or not.
    """
    while not _has_spoken(process, _LOOK_EVERY_S):
        if sink.counts().stalled >= job.count:
            if not _has_spoken(process, SETTLED_S):
                _say(process, b"enough")
            return


def _has_spoken(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Whether it writes its answer, or ends, within this time."""
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], within_s)[0])


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
