"""What a run of the benchmarks has found: every sample of every round, in one JSON file.

The one rule: a file holds what was measured and nothing of who measured it: no host's name, no path.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

import msgspec

from .figures import FIGURES
from .job import Sample
from .machine import Machine  # noqa: TC001  # msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA: Final = 1
"""Of the file; a file with another is refused."""


class ResultsError(Exception):
    """A file of results cannot be used; the text says why."""


class Group(msgspec.Struct, kw_only=True):
    """One contest: contestants that ran in turn, so that sample i of each comes from round i.

    Attributes:
        series: What is the same along an axis, such as `TLS, stalled`; unique in the scene with `at`.
        at: The place on the scene's axis, such as a file's size in bytes; None without an axis.
        samples: By contestant.
        values: Figures that no sender ran for, such as the time of an import; the name ends in the
            unit, behind a comma.
    """

    series: str
    at: float | None = None
    samples: dict[str, list[Sample]] = msgspec.field(default_factory=dict[str, list[Sample]])
    values: dict[str, list[float]] = msgspec.field(default_factory=dict[str, list[float]])

    def figure(self, name: str, contestant: str) -> list[float]:
        """A figure of each round, in order; empty where the contestant did not run or has none."""
        of = FIGURES[name].of
        found = [of(sample) for sample in self.samples.get(contestant, [])]
        return [] if None in found else [value for value in found if value is not None]


class Played(msgspec.Struct, kw_only=True):
    """A scene that was run.

    Attributes:
        scene: Its name.
        groups: What was measured, in order.
        remarks: What was left out, and why.
        failed: It broke off: groups are missing, and the command leaves with an error.
    """

    scene: str
    groups: list[Group] = msgspec.field(default_factory=list[Group])
    remarks: list[str] = msgspec.field(default_factory=list[str])
    failed: bool = False

    def group(self, series: str, at: float | None = None) -> Group | None:
        """The group of that name and place."""
        found = (each for each in self.groups if each.series == series and each.at == at)
        return next(found, None)


class Judged(msgspec.Struct, kw_only=True):
    """A goal, and what was measured against it.

    Attributes:
        key: The goal's name, which does not change between versions.
        what: The figure, in words.
        bound: The goal, in words.
        anywhere: Whether it is held to on any machine.
        values: The figure of each round.
        is_met: By the median; None when it was not measured.
    """

    key: str
    what: str
    bound: str
    anywhere: bool
    values: list[float] = msgspec.field(default_factory=list[float])
    is_met: bool | None = None


class Results(msgspec.Struct, kw_only=True):
    """One run of the command.

    Attributes:
        schema: Version of this shape.
        date: Day of the run, UTC, `2026-01-31`.
        quick: The short form: fewer scenes, less work.
        rounds: How often each contestant ran.
        against: `sink`, or `sandbox`.
        machine: Where it ran.
        scenes: What was measured.
        goals: How the goals were judged at the time.
        finished: All scenes that were asked for have been played; False until then, and so in the file
            of a run that was broken off.
    """

    schema: int = SCHEMA
    date: str
    quick: bool
    rounds: int
    against: str
    machine: Machine
    scenes: list[Played] = msgspec.field(default_factory=list[Played])
    goals: list[Judged] = msgspec.field(default_factory=list[Judged])
    finished: bool = True

    def scene(self, name: str) -> Played | None:
        """The scene of that name, if it ran."""
        return next((each for each in self.scenes if each.scene == name), None)

    def everything(self) -> Iterator[tuple[tuple[str, ...], list[float]]]:
        """Every figure: (scene, series and place, contestant, figure with unit), and its values."""
        for played in self.scenes:
            for group in played.groups:
                place = group.series if group.at is None else f"{group.series} @ {group.at:,.0f}"
                for contestant in group.samples:
                    for name, figure in FIGURES.items():
                        if values := group.figure(name, contestant):
                            title = f"{figure.name}, {figure.unit}"
                            yield (played.scene, place, contestant, title), values
                for name, values in group.values.items():
                    yield (played.scene, place, "", name), values


def today() -> str:
    """The day, UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def create(results: Results, folder: Path) -> Path:
    """Write the JSON beside the earlier ones, none of which is overwritten.

    Returns:
        The file: `<date>.json`, or `<date>-quick.json`, with `-2`, `-3` … for further ones of a day.

    Raises:
        ResultsError: The folder cannot be made, or not be written to.
    """
    try:
        return _create(results, folder)
    except OSError as error:
        raise ResultsError(f"{folder}: no results can be written there: {error.strerror}") from error


def _create(results: Results, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{results.date}-quick" if results.quick else results.date
    number = 1
    while True:
        path = folder / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
        try:
            with path.open("xb") as file:
                file.write(_text(results))
        except FileExistsError:
            number += 1
        else:
            return path


def replace(results: Results, path: Path) -> None:
    """Write what is known now over what was known before; whoever reads meets the one or the other.

    Raises:
        ResultsError: It cannot be written.
    """
    beside = path.with_suffix(".part")
    try:
        beside.write_bytes(_text(results))
        beside.replace(path)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error.strerror}") from error


def _text(results: Results) -> bytes:
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


def read(path: Path) -> Results:
    """Read a file of results.

    Raises:
        ResultsError: It cannot be read, or was written by a version with another schema.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        schema = msgspec.json.decode(content, type=_Head).schema
        if schema != SCHEMA:
            raise ResultsError(f"{path}: schema {schema}, but this version reads {SCHEMA}: measure anew")
        return msgspec.json.decode(content, type=Results)
    except msgspec.MsgspecError as error:
        raise ResultsError(f"{path}: is no file of results: {error}") from error


class _Head(msgspec.Struct):
    schema: int
