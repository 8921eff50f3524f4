"""The report: Markdown beside the JSON, with a plot for each scene.

The one rule: everything in it comes from the results, so it can be written again from the file alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import doubts, plots
from .figures import FIGURES, is_limited_by_sink
from .scenes import by_name
from .tables import GOALS_HEAD, NONE, goal_rows, markdown, size, spread_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .job import Sample
    from .machine import Machine
    from .results import Group, Played, Results
    from .scenes import Scene

BROKEN_OFF = "broken off: scenes are missing"
"""Of a run that did not come to its end."""
MARK = " †"
"""Behind a contestant whose sink may have been the limit."""
SINK_NOTE = (
    "† In at least one round a process of the sink used more than 85 % of a core: the sink may be the"
    " limit here, not the sender."
)


def write(results: Results, json_file: Path) -> Path:
    """Write the Markdown and the plots beside the JSON file, under the same name.

    Returns:
        The Markdown file.
    """
    stem = json_file.stem
    parts = [_head(results), _goals(results)]
    for played in results.scenes:
        drawing = plots.draw(played, json_file.with_name(f"{stem}-{played.scene}.svg"))
        parts.append(_section(played, drawing))
    path = json_file.with_suffix(".md")
    path.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return path


def _head(results: Results) -> str:
    kind = "A quick run" if results.quick else "A full run"
    how = (
        f"{kind}, {doubts.rounds(results)}, against the {results.against}. Every figure is the"
        " median of its rounds with the lowest and the highest; contestants ran in turn, each in a"
        " fresh process, and ratios are taken round by round. MB and GB are powers of ten, of the"
        " raw files."
    )
    parts = [f"# Benchmarks of {results.date}", how, _machine(results.machine)]
    if not results.finished:
        parts.insert(1, f"**This run was {BROKEN_OFF}.**")
    return "\n\n".join(parts)


def _machine(machine: Machine) -> str:
    rows = [
        ("processor", f"{machine.cpu}, {machine.cores} cores"),
        ("memory", f"{machine.memory_bytes / 1e9:.0f} GB"),
        ("kernel", machine.kernel),
        ("Python", machine.python),
        ("versions", ", ".join(f"{name} {version}" for name, version in machine.versions.items())),
        ("file system of the files", machine.file_system),
        ("load average at the start", f"{machine.load:g}"),
    ]
    return markdown(("machine", ""), rows, left=2)


def _goals(results: Results) -> str:
    table = markdown(GOALS_HEAD, goal_rows(results.goals), left=2)
    return f"## Goals\n\n{table}\n\n\\* Holds on any machine: `--check` insists on it."


def _section(played: Played, drawing: Path | None) -> str:
    scene = by_name(played.scene)
    parts = [f"## {scene.title}", scene.how]
    if sent := _by_series(group for group in played.groups if group.samples):
        parts.append(_sent(scene, sent))
    if any(group.values for group in played.groups):
        parts.append(_values(played))
    if any(is_limited_by_sink(samples) for group in played.groups for samples in group.samples.values()):
        parts.append(SINK_NOTE)
    if played.failed:
        parts.append("**Broken off:** a contestant failed, so figures are missing.")
    parts += played.remarks
    if drawing is not None:
        parts.append(f"![{scene.title}]({drawing.name})")
    return "\n\n".join(parts)


def _by_series(groups: Iterable[Group]) -> list[Group]:
    """Groups of one series beside each other, in the order of the first of each."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.series, []).append(group)
    return [group for series in found.values() for group in series]


def _sent(scene: Scene, groups: list[Group]) -> str:
    figures = [FIGURES[name] for name in scene.shows]
    place = (scene.axis.name,) if scene.axis else ()
    head = ("", *place, "sender", *(f"{figure.name}, {figure.unit}" for figure in figures))
    rows: list[tuple[str, ...]] = []
    for group in groups:
        for contestant, samples in group.samples.items():
            at = (_at(scene, group),) if scene.axis else ()
            cells = (spread_of(group.figure(name, contestant)) for name in scene.shows)
            rows.append((group.series, *at, _named(contestant, samples), *cells))
    return markdown(head, rows, left=2 + len(place))


def _named(contestant: str, samples: list[Sample]) -> str:
    return contestant + (MARK if is_limited_by_sink(samples) else "")


def _at(scene: Scene, group: Group) -> str:
    if group.at is None or scene.axis is None:
        return NONE
    return size(group.at) if scene.axis.is_bytes else f"{group.at:,g}"


def _values(played: Played) -> str:
    rows: list[tuple[str, ...]] = []
    for group in played.groups:
        series = group.series if group.at is None else f"{group.series}, {group.at:,.0f}"
        rows += [(series, name, spread_of(values)) for name, values in group.values.items()]
    return markdown(("", "figure", "median (min…max)"), rows, left=2)
