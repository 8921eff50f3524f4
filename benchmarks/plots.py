"""Plots of a scene's figures, as SVG.

The one rule: the same results give the same file, byte for byte, so that a change of a report is a
change of its figures. Only this module knows matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from .contest import spread
from .figures import FIGURES
from .scenes import by_name
from .tables import number, size

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from .results import Group, Played
    from .scenes import Scene

NO_METADATA = {"Date": None, "Creator": None}
LINE_INCHES, LINE_WIDE_INCHES = 3.4, 4.2
BAR_INCHES, BAR_WIDE_INCHES = 0.26, 8.0
MARKERS = "osD^vPX*<>"
OURS = "chartsend"


def draw(played: Played, path: Path) -> Path | None:
    """Draw a scene.

    Returns:
        The file; None where there is nothing to draw.
    """
    scene = by_name(played.scene)
    panels = _panels(scene, played)
    if not panels:
        return None
    with mpl.rc_context(
        {
            "svg.hashsalt": "chartsend",
            "svg.fonttype": "none",
            "font.family": "sans-serif",
            "font.size": 9.0,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
        }
    ):
        figure = _lines(scene, panels) if scene.axis else _bars(panels)
        FigureCanvasSVG(figure)
        figure.savefig(path, format="svg", metadata=NO_METADATA)
    return path


Panel = tuple[str, list[tuple[str, float | None, list[float]]]]
"""A title with its unit, and (name, place, values) of each mark."""


def _panels(scene: Scene, played: Played) -> list[Panel]:
    """One panel for each figure that anything has."""
    panels: list[Panel] = []
    for name in scene.shows:
        figure = FIGURES[name]
        marks = [
            (_name(played, group, contestant), group.at, values)
            for group in played.groups
            for contestant in group.samples
            if (values := group.figure(name, contestant))
        ]
        if marks:
            panels.append((f"{figure.name}, {figure.unit}", marks))
    panels += [
        (title, [(each.series, each.at, each.values[title]) for each in _with(played, title)])
        for title in dict.fromkeys(title for group in played.groups for title in group.values)
    ]
    return panels


def _with(played: Played, title: str) -> list[Group]:
    return [group for group in played.groups if title in group.values]


def _name(played: Played, group: Group, contestant: str) -> str:
    """The sender, with its series when there are several."""
    if len({each.series for each in played.groups}) == 1:
        return contestant
    return f"{contestant} · {group.series}"


def _lines(scene: Scene, panels: list[Panel]) -> Figure:
    """Figures over the scene's axis, both in powers."""
    assert scene.axis is not None
    figure = Figure(figsize=(LINE_WIDE_INCHES * len(panels), LINE_INCHES + 1.0), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    names = list(dict.fromkeys(name for _, marks in panels for name, _, _ in marks))
    for axes, (title, marks) in zip(all_axes, panels, strict=True):
        for index, name in enumerate(names):
            points = sorted((at or 0.0, spread(values)) for each, at, values in marks if each == name)
            if points:
                _line(axes, name, index, points)
        places = sorted({at or 0.0 for _, at, _ in marks})
        axes.set(title=title, xlabel=scene.axis.name, xscale="log", yscale="log", xticks=places)
        axes.set_xticklabels(
            [size(at) if scene.axis.is_bytes else f"{at:,g}" for at in places], rotation=45
        )
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(_tick))
        axes.yaxis.set_minor_formatter(NullFormatter())
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _tick(value: float, _: int) -> str:
    return number(value)


def _line(axes: Axes, name: str, index: int, points: list[tuple[float, Any]]) -> None:
    medians = [point.median for _, point in points]
    below = [point.median - point.low for _, point in points]
    above = [point.high - point.median for _, point in points]
    axes.errorbar(
        [at for at, _ in points],
        medians,
        yerr=[below, above],
        label=name,
        marker=MARKERS[index % len(MARKERS)],
        color=f"C{index % 10}",
        linewidth=2.0 if name.startswith(OURS) else 1.2,
        markersize=4.0,
        capsize=2.0,
    )


def _bars(panels: list[Panel]) -> Figure:
    """One bar for each sender or figure, with its lowest and highest."""
    heights = [BAR_INCHES * len(marks) + 0.7 for _, marks in panels]
    figure = Figure(figsize=(BAR_WIDE_INCHES, sum(heights)), layout="constrained")
    all_axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (title, marks) in zip(all_axes, panels, strict=True):
        spreads = [spread(values) for _, _, values in marks]
        lows = [each.median - each.low for each in spreads]
        highs = [each.high - each.median for each in spreads]
        places = list(range(len(marks)))
        colors = ["C0" if name.startswith(OURS) else "0.65" for name, _, _ in marks]
        medians = [each.median for each in spreads]
        axes.barh(places, medians, xerr=[lows, highs], color=colors, capsize=2.0, height=0.7)
        axes.set_yticks(places, [name for name, _, _ in marks])
        axes.set_title(title, loc="left", fontsize=9)
        axes.set_xlim(left=0)
        axes.grid(visible=False, axis="y")
        axes.invert_yaxis()
    return figure
