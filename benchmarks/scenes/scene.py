"""What a scene is: a name, two sentences on how it is measured, and a function that measures it.

The one rule: contestants that are compared run in one contest, round by round, against one sink.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from .. import contest
from ..contest import Contestant
from ..job import Job
from ..results import Group
from ..sink import SinkProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from ..job import Route
    from ..sample import Samples

SENDERS = "benchmarks.senders"


class Axis(NamedTuple):
    """What a scene varies.

    Attributes:
        name: With its unit.
        is_bytes: Sizes of files, shown as 1 KB … 30 MB.
    """

    name: str
    is_bytes: bool = False


class Scene(NamedTuple):
    """One scene.

    Attributes:
        name: For `--only` and in files.
        title: Of its section.
        how: How it is measured, in two sentences.
        shows: Its figures, by the names in `figures.FIGURES`; empty where no sender runs.
        run: Measures; yields each group when it is there.
        axis: What it varies along an axis; None when its groups are not in an order.
        is_quick: Whether `--quick` runs it.
    """

    name: str
    title: str
    how: str
    shows: tuple[str, ...]
    run: Callable[[Stage], Iterator[Group]]
    axis: Axis | None = None
    is_quick: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contestant before it is known which sink it meets.

    Attributes:
        name: In tables and plots.
        sender: Module in `benchmarks.senders`.
        route: What bytes go where.
        size_bytes: Of each file.
        count: How many documents it sends in one run.
        concurrency: How many at once.
        hashes: Whether it hashes what it sends.
        changes: Further fields of the Job.
        distinct: How many files there are of that size, sent in turn.
    """

    name: str
    sender: str
    route: Route
    size_bytes: int
    count: int
    concurrency: int = 8
    hashes: bool = False
    changes: dict[str, object] = field(default_factory=dict[str, object])
    distinct: int = 8


class Stage:
    """What all scenes share: files, sinks, how many rounds; sinks stop when its block is left.

    Args:
        samples: Makes the files, in a folder in which scenes work, too.
        rounds: How often every contestant runs.
        quick: The short form.
        say: Told what is measured now.
    """

    def __init__(
        self,
        samples: Samples,
        *,
        rounds: int,
        quick: bool,
        say: Callable[[str], None],
    ) -> None:
        self.samples = samples
        self.folder = samples.folder
        self.rounds = rounds
        self.quick = quick
        self.remarks: list[str] = []
        self._say = say

    def say(self, text: str) -> None:
        """Tell what is measured now."""
        self._say(text)

    def leave_out(self, what: str) -> None:
        """Note for the report that something was not measured, and why."""
        self.remarks.append(what)
        self._say(what)

    @contextmanager
    def sink(
        self, *, tls: bool = False, stalled: bool = False, processes: int | None = None
    ) -> Generator[SinkProcess]:
        """A sink of its own, which has gone when the block has been left."""
        with SinkProcess.start(tls=tls, stalled=stalled, processes=processes) as sink:
            yield sink

    def contest(
        self,
        sink: SinkProcess,
        series: str,
        entrants: Sequence[Entrant],
        *,
        at: float | None = None,
        rounds: int | None = None,
    ) -> Group:
        """Let them run in turn, round by round.

        Args:
            sink: Whom they send to.
            series: Of the group; see `Group`.
            entrants: Who runs.
            at: Of the group.
            rounds: How often; default: as often as everything.

        Raises:
            ContestError: One of them failed, or the sink has counted something else than it was to send.
        """
        self._say(series if at is None else f"{series} @ {at:,.0f}")
        contestants = [
            Contestant(each.name, self._module(each), self._job(each, sink)) for each in entrants
        ]
        samples = contest.rounds(
            contestants, rounds=rounds or self.rounds, sink=sink, ready_together=self.quick
        )
        return Group(series=series, at=at, samples=samples)

    @staticmethod
    def _module(entrant: Entrant) -> str:
        return f"{SENDERS}.{entrant.sender}"

    def _job(self, entrant: Entrant, sink: SinkProcess) -> Job:
        files = self.samples.files(entrant.size_bytes, min(entrant.distinct, entrant.count))
        fields: dict[str, object] = {
            "route": entrant.route,
            "api_url": sink.url,
            "ca_file": sink.ca_file,
            "files": files,
            "count": entrant.count,
            "concurrency": entrant.concurrency,
            "hashes": entrant.hashes,
        }
        return Job(**(fields | entrant.changes))  # type: ignore[arg-type]  # checked by msgspec in the sender
