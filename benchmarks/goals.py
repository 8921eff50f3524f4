"""The goals: which figure of which contest, and within which bounds it must lie.

The one rule: a goal is judged by the median of the rounds, and one without a figure is not met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .contest import spread
from .results import Judged

if TYPE_CHECKING:
    from .results import Group, Results


class Of(NamedTuple):
    """A contestant's figure itself."""

    scene: str
    series: str
    figure: str
    of: str
    at: float | None = None

    def values(self, group: Group) -> list[float]:
        """Of each round."""
        return group.figure(self.figure, self.of)


class Ratio(NamedTuple):
    """A contestant's figure divided by another's of the same round."""

    scene: str
    series: str
    figure: str
    of: str
    by: str
    at: float | None = None

    def values(self, group: Group) -> list[float]:
        """Of each round."""
        return _pairs(group.figure(self.figure, self.of), group.figure(self.figure, self.by))


class WorstRatio(NamedTuple):
    """The highest ratio, in each round, of all other contestants to one."""

    scene: str
    series: str
    figure: str
    by: str
    at: float | None = None

    def values(self, group: Group) -> list[float]:
        """Of each round."""
        base = group.figure(self.figure, self.by)
        each = [_pairs(group.figure(self.figure, of), base) for of in group.samples if of != self.by]
        return [max(ratios) for ratios in zip(*each, strict=True)]


class Value(NamedTuple):
    """A figure that no sender ran for."""

    scene: str
    series: str
    name: str
    at: float | None = None

    def values(self, group: Group) -> list[float]:
        """Of each round."""
        return group.values.get(self.name, [])


class Goal(NamedTuple):
    """One goal.

    Attributes:
        key: Its name; does not change.
        what: The figure, in words.
        figure: Where it is found.
        least: Lower bound, or None.
        most: Upper bound, or None.
        unit: Of the bounds.
        anywhere: It holds on any machine, and `--check` insists on it.
        quick: `--quick` measures it, too.
    """

    key: str
    what: str
    figure: Of | Ratio | WorstRatio | Value
    least: float | None = None
    most: float | None = None
    unit: str = ""
    anywhere: bool = False
    quick: bool = False

    @property
    def bound(self) -> str:
        """The bounds, in words."""
        unit = f" {self.unit}" if self.unit else ""
        if self.least is None:
            return f"≤ {self.most:g}{unit}"
        if self.most is None:
            return f"≥ {self.least:g}{unit}"
        return f"{self.least:g} … {self.most:g}{unit}"

    def judge(self, results: Results) -> Judged:
        """What these results say of it."""
        played = results.scene(self.figure.scene)
        group = played.group(self.figure.series, self.figure.at) if played else None
        values = self.figure.values(group) if group else []
        is_met = self._holds(spread(values).median) if values else None
        return Judged(
            key=self.key,
            what=self.what,
            bound=self.bound,
            anywhere=self.anywhere,
            values=values,
            is_met=is_met,
        )

    def _holds(self, median: float) -> bool:
        above = self.least is None or median >= self.least
        return above and (self.most is None or median <= self.most)


EMBED, EMBED_TLS, RAW = "embed 22.5 MB, plain", "embed 22.5 MB, TLS", "raw 30 MB, plain"
HASHED = ", sha256"
OURS, FLOOR = "chartsend", "floor"
WORKERS: Final = 3
WITH_WORKERS: Final = f"{OURS}, {WORKERS} workers"
CPU, SPEED, RSS = "cpu_s_per_gb", "mb_per_s", "rss_mib"
PLAIN_STALLED, TLS_STALLED = "plain, stalled", "TLS, stalled"
MOST_AT_ONCE: Final = 256.0
TLS_MOST_MIB: Final = 60 + 0.7 * MOST_AT_ONCE
"""60 MiB, and 0.7 MiB for what OpenSSL and asyncio keep for each connection."""


def _to_floor(series: str, words: str, most: float, *, hashed: bool) -> Goal:
    """CPU beside the loop that a C programmer would write."""
    suffix = HASHED if hashed else ""
    return Goal(
        key=f"cpu/floor: {series}{suffix}",
        what=f"{words}{suffix}: CPU s/GB ÷ floor",
        figure=Ratio("big", series + suffix, CPU, OURS, FLOOR),
        most=most,
        anywhere=True,
        quick=not hashed,
    )


def _to_rival(rival: str, series: str, least: float, *, everywhere: bool, of: str = OURS) -> Goal:
    """Throughput beside what else one would use."""
    ours = of.removeprefix(OURS)
    return Goal(
        key=f"speed{ours}/{rival}: {series}",
        what=f"{series}{ours}: MB/s ÷ {rival}",
        figure=Ratio("big", series, SPEED, of, rival),
        least=least,
        anywhere=everywhere,
        quick=everywhere,
    )


def _memory(key: str, words: str, series: str, of: str, most: float) -> Goal:
    """The highest resident set of so many files in flight to servers that have stopped reading."""
    return Goal(
        key=key,
        what=f"peak RSS above idle, {words}, every server stalled",
        figure=Of("memory", series, RSS, of, MOST_AT_ONCE),
        most=most,
        unit="MiB",
        anywhere=True,
        quick=of == LARGE,
    )


def _same_memory(series: str, words: str) -> Goal:
    """Files of another size take no other memory."""
    return Goal(
        key=f"rss 1 MB/29 MB: {series}",
        what=f"the same, {words}, with 1 MB files: RSS ÷ that of 29 MB files",
        figure=Ratio("memory", series, RSS, SMALL, LARGE, MOST_AT_ONCE),
        least=0.95,
        most=1.05,
        anywhere=True,
        quick=True,
    )


LARGE, SMALL, LARGE_EMBED = "29 MB files, raw", "1 MB files, raw", "21.7 MB files, embed (29 MB encoded)"

GOALS: Final[tuple[Goal, ...]] = (
    *(
        goal
        for hashed in (False, True)
        for goal in (
            _to_floor(EMBED, "embed, 22.5 MB files, plain", 1.10, hashed=hashed),
            _to_floor(EMBED_TLS, "embed, 22.5 MB, TLS", 1.10, hashed=hashed),
            _to_floor(RAW, "raw upload, 30 MB, plain", 1.15, hashed=hashed),
        )
    ),
    _to_rival("curl", EMBED, 1.3, everywhere=False),
    _to_rival("curl", EMBED_TLS, 1.1, everywhere=False),
    _to_rival("curl, encoding counted", EMBED, 2.0, everywhere=False),
    _to_rival("curl, encoding counted", EMBED, 2.0, everywhere=False, of=WITH_WORKERS),
    _to_rival("naive aiohttp", EMBED, 11.0, everywhere=True),
    _to_rival("naive httpx", EMBED, 11.0, everywhere=True),
    Goal(
        key="small: ledger/aiohttp bytes",
        what="100 KB documents/s, ledger on and durable ÷ bare aiohttp with bytes, both hashing",
        figure=Ratio("small", "100 KB", "documents_per_s", "chartsend, ledger", "aiohttp bytes"),
        least=0.85,
    ),
    Goal(
        key="workers: cpu/one",
        what="N workers, the worst N: CPU s/GB ÷ one worker's",
        figure=WorstRatio("cores", "22.5 MB", CPU, "1 worker"),
        most=1.1,
    ),
    _memory("rss: plain", "256 files of 29 MB in flight, plain", PLAIN_STALLED, LARGE, 96),
    _memory("rss: TLS", "256 files of 29 MB in flight, TLS", TLS_STALLED, LARGE, TLS_MOST_MIB),
    _memory(
        "rss: plain, embed",
        "256 files of 29 MB encoded in flight, plain",
        PLAIN_STALLED,
        LARGE_EMBED,
        96,
    ),
    _memory(
        "rss: TLS, embed",
        "256 files of 29 MB encoded in flight, TLS",
        TLS_STALLED,
        LARGE_EMBED,
        TLS_MOST_MIB,
    ),
    _same_memory(PLAIN_STALLED, "plain"),
    _same_memory(TLS_STALLED, "TLS"),
    Goal(
        key="stall: cold",
        what="event-loop stalls while sending from a cold cache, p99.9",
        figure=Of("cold", "22.5 MB, cold", "stall_p999_ms", OURS),
        most=10,
        unit="ms",
    ),
    Goal(
        key="start: import",
        what="`from chartsend import Document, Engine`",
        figure=Value("start", "a fresh process", "import, ms"),
        most=300,
        unit="ms",
    ),
    Goal(
        key="start: help",
        what="`chartsend --help`",
        figure=Value("start", "a fresh process", "chartsend --help, ms"),
        most=400,
        unit="ms",
    ),
)


def judge(results: Results) -> list[Judged]:
    """All goals, in order."""
    return [goal.judge(results) for goal in GOALS]


def due_of(results: Results) -> set[str]:
    """Keys of the goals that this run has to meet on any machine.

    A quick run owes those that it measures, and a run of chosen scenes those of its scenes.
    """
    ran = {played.scene for played in results.scenes}
    return {
        goal.key
        for goal in GOALS
        if goal.anywhere and (goal.quick or not results.quick) and goal.figure.scene in ran
    }


def short_of(results: Results) -> list[Judged]:
    """The goals that are due and are missed, or have no figure."""
    due = due_of(results)
    return [judged for judged in results.goals if judged.key in due and judged.is_met is not True]


def _pairs(a: list[float], b: list[float]) -> list[float]:
    """Round by round; nothing when one of them did not run every round, or has a zero."""
    if len(a) != len(b) or 0 in b:
        return []
    return [x / y for x, y in zip(a, b, strict=True)]
