"""Results as a run of the benchmarks would have found them, with figures that a test chooses."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from benchmarks.figures import FIGURES, MIB
from benchmarks.job import Sample
from benchmarks.machine import Machine
from benchmarks.results import Group, Played, Results

from benchmarks import goals

GB = 1_000_000_000
MACHINE = Machine(
    cpu="Some Processor",
    cores=4,
    memory_bytes=24 * GB,
    kernel="Linux 6.1 x86_64",
    python="CPython 3.11.2",
    versions={"chartsend": "0.1.0", "curl": "7.88.1"},
    file_system="ext4",
    load=0.25,
)


def sample(figure: str = "cpu_s_per_gb", value: float = 1.0) -> Sample:
    """A run of a gigabyte whose one figure is this."""
    run = Sample(
        seconds=1.0,
        cpu_s=1.0,
        documents=1,
        raw_bytes=GB,
        idle_rss_bytes=50 * MIB,
        peak_rss_bytes=60 * MIB,
    )
    match figure:
        case "cpu_s_per_gb":
            run.cpu_s = value
        case "mb_per_s":
            run.seconds = GB / 1e6 / value
        case "documents_per_s":
            run.documents, run.seconds = 1000, 1000 / value
        case "rss_mib":
            run.peak_rss_bytes = run.idle_rss_bytes + round(value * MIB)
        case "stall_p999_ms":
            run.stalls_ms = [value / 10, value / 5, value, value * 2]
        case _:
            raise AssertionError(figure)
    found = FIGURES[figure].of(run)
    assert found is not None
    assert found == pytest.approx(value)
    return run


@dataclass
class Planted:
    """Results in which every goal has a figure, well within its bounds until a test changes it."""

    results: Results = field(
        default_factory=lambda: Results(
            date="2026-01-31", quick=False, rounds=3, against="sink", machine=MACHINE
        )
    )

    def __post_init__(self):
        for goal in goals.GOALS:
            bound = goal.least if goal.least is not None else goal.most
            assert bound is not None
            inside = (goal.least + goal.most) / 2 if goal.least and goal.most else bound
            self.plant(goal.key, [inside] * 3)

    def plant(self, key, values):
        """Let a goal's figure be this, round by round."""
        goal = next(goal for goal in goals.GOALS if goal.key == key)
        figure = goal.figure
        group = self._group(figure)
        match figure:
            case goals.Value():
                group.values[figure.name] = values
            case goals.Of():
                group.samples[figure.of] = [sample(figure.figure, value) for value in values]
            case goals.Ratio():
                base = group.samples.setdefault(figure.by, [sample(figure.figure, 8.0) for _ in values])
                of = FIGURES[figure.figure].of
                self._set(
                    group,
                    figure.of,
                    figure.figure,
                    [v * of(b) for v, b in zip(values, base, strict=True)],
                )
            case goals.WorstRatio():
                group.samples[figure.by] = [sample(figure.figure, 2.0) for _ in values]
                for name, share in (("2 workers", 0.9), ("3 workers", 1.0)):
                    group.samples[name] = [sample(figure.figure, 2.0 * v * share) for v in values]
        self.results.goals = goals.judge(self.results)

    def _set(self, group, name, figure, values):
        """Change one figure of runs that may have others already."""
        runs = group.samples.setdefault(name, [sample() for _ in values])
        for run, value in zip(runs, values, strict=True):
            other = sample(figure, value)
            match figure:
                case "cpu_s_per_gb":
                    run.cpu_s = other.cpu_s
                case "rss_mib":
                    run.peak_rss_bytes = other.peak_rss_bytes
                case _:
                    run.seconds, run.documents, run.raw_bytes = (
                        other.seconds,
                        other.documents,
                        other.raw_bytes,
                    )

    def _group(self, figure):
        played = self.results.scene(figure.scene)
        if played is None:
            played = Played(scene=figure.scene)
            self.results.scenes.append(played)
        group = played.group(figure.series, figure.at)
        if group is None:
            group = Group(series=figure.series, at=figure.at)
            played.groups.append(group)
        return group

    def judged(self, key):
        return next(each for each in self.results.goals if each.key == key)


@pytest.fixture
def planted() -> Planted:
    return Planted()
