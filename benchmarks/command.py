"""All benchmarks with one command; see `python -m benchmarks --help`.

    python -m benchmarks [--quick] [--check] [--only NAME]... [--against sink|sandbox]
    python -m benchmarks compare A.json B.json
    python -m benchmarks report A.json
    python -m benchmarks check A.json

The one rule: it leaves with 0 only when everything that was asked for was measured, and, with `--check`,
when every goal that holds on any machine was met.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import doubts, goals, machine, report, results
from .compare import text
from .contest import ContestError
from .results import Played, Results, ResultsError
from .sample import Samples, UnfitDiskError
from .scenes import AGAINST_SANDBOX, SCENES, Scene, Stage
from .sink import SinkError
from .tables import goals_for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, QUICK_ROUNDS = 5, 3
AGAINST = {"sink": SCENES, "sandbox": AGAINST_SANDBOX}
OUT = Path(__file__).parent / "results"
FAILED, MISUSED, STOPPED = 1, 2, 130


def say(words: str) -> None:
    """Tell whoever waits what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {words}\n")
    sys.stderr.flush()


def begin(asked: argparse.Namespace, samples: Samples) -> Results:
    """Results with nothing in them yet, on this machine."""
    return Results(
        date=results.today(),
        quick=asked.quick,
        rounds=asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS),
        against=asked.against,
        machine=machine.this(samples.folder),
        finished=False,
    )


def measure(scenes: list[Scene], samples: Samples, found: Results, path: Path) -> None:
    """Play the scenes; one that fails is noted, and the others go on.

    The file is written anew after each of them: a run that is broken off keeps what it has.
    """
    for scene in scenes:
        stage = Stage(samples, rounds=found.rounds, quick=found.quick, say=say)
        found.scenes.append(play(scene, stage))
        found.goals = goals.judge(found)
        results.replace(found, path)
    found.finished = True
    results.replace(found, path)


def play(scene: Scene, stage: Stage) -> Played:
    """One scene; what it has measured before it failed is kept."""
    say(f"== {scene.title}")
    played = Played(scene=scene.name, remarks=stage.remarks)
    try:
        for group in scene.run(stage):
            played.groups.append(group)
    except (ContestError, SinkError, OSError, subprocess.SubprocessError) as error:
        played.failed = True
        say(f"{scene.name} failed: {error}")
    return played


def chosen(asked: argparse.Namespace) -> list[Scene]:
    """The scenes to play: those named, or all of them, or the quick ones."""
    scenes = AGAINST[asked.against]
    if asked.only:
        return [scene for scene in scenes if scene.name in asked.only]
    return [scene for scene in scenes if scene.is_quick or not asked.quick]


def run(asked: argparse.Namespace) -> int:
    """Measure, write, and judge."""
    with Samples.open(asked.files) as samples:
        found = begin(asked, samples)
        path = results.create(found, asked.out)
        try:
            measure(chosen(asked), samples, found, path)
            say(f"{reported(found, path)}")
        except KeyboardInterrupt:
            file = shlex.quote(str(path))
            say(f"stopped; the scenes that were played to their end are in {file}")
            say(f"their report: python -m benchmarks report {file}")
            return STOPPED
    return tell(found, insists=asked.check)


def reported(found: Results, path: Path) -> Path:
    """Write the report beside the file.

    Raises:
        ResultsError: It cannot be written there.
    """
    try:
        return report.write(found, path)
    except OSError as error:
        raise ResultsError(f"{path.parent}: no report can be written: {error.strerror}") from error


def tell(found: Results, *, insists: bool) -> int:
    """Print the goals table, what fell short when that is asked for, and what failed.

    Returns:
        The exit code.
    """
    if insists and (doubt := doubts.of(found)):
        sys.stderr.write(f"{doubt}\n")
    due = goals.due_of(found)
    if shown := [each for each in found.goals if each.values or each.key in due]:
        print(goals_for_terminal(shown))
    short = goals.short_of(found) if insists else []
    for judged in short:
        state = "not measured" if judged.is_met is None else "not met"
        print(f"{state}: {judged.what} (goal {judged.bound})")
    failed = [played.scene for played in found.scenes if played.failed]
    if failed:
        print(f"failed: {', '.join(failed)}")
    if not found.finished:
        print(report.BROKEN_OFF)
    is_empty = insists and not any(each.anywhere and each.values for each in found.goals)
    if is_empty:
        print("none of the goals that hold on any machine was measured")
    return FAILED if failed or short or is_empty or not found.finished else 0


def compare(files: list[str]) -> int:
    """Print which figures of two results differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks compare", description=compare.__doc__)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    given = parser.parse_args(files)
    print(text(results.read(given.a), results.read(given.b)))
    return 0


def write_again(files: list[str]) -> int:
    """Write the report and the plots of results once more, judged by today's goals."""
    found, path = _judged_anew("report", write_again, files)
    print(reported(found, path))
    return 0


def check(files: list[str]) -> int:
    """Judge results by today's goals; leave with 1 when one that holds on any machine is not met."""
    found, _ = _judged_anew("check", check, files)
    return tell(found, insists=True)


def _judged_anew(
    name: str, command: Callable[[list[str]], int], files: list[str]
) -> tuple[Results, Path]:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}", description=command.__doc__)
    parser.add_argument("file", type=Path)
    path: Path = parser.parse_args(files).file
    found = results.read(path)
    found.goals = goals.judge(found)
    return found, path


def parse(arguments: list[str]) -> argparse.Namespace:
    """What is to be measured."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure chartsend beside what one would use instead, and write a report.",
        epilog="further: compare A.json B.json; report A.json; check A.json",
    )
    parser.add_argument("--quick", action="store_true", help="what holds on any machine, in under 40 s")
    parser.add_argument("--check", action="store_true", help="leave with 1 when such a goal is not met")
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help=f"this scene; may be repeated: {names('sink')}; --against sandbox: {names('sandbox')}",
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--files", type=Path, help="folder that is there, for sample files, on the disk")
    parser.add_argument("--against", choices=tuple(AGAINST), default="sink")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    asked = parser.parse_args(arguments)
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds is at least 1")
    only: list[str] = asked.only or []
    for name in only:
        if wrong := misnamed(name, asked.against):
            parser.error(wrong)
    return asked


def names(against: str) -> str:
    """Names of the scenes against this server."""
    return ", ".join(scene.name for scene in AGAINST[against])


def misnamed(name: str, against: str) -> str | None:
    """What is wrong about a scene's name; None when it is one against this server."""
    fits = [server for server, scenes in AGAINST.items() if name in [scene.name for scene in scenes]]
    if against in fits:
        return None
    others = f"--against {against} has {'only' if len(AGAINST[against]) == 1 else 'the scenes'}: "
    needs = f"--only {name} needs --against {fits[0]}" if fits else f"there is no scene {name}"
    return f"{needs}; {others}{names(against)}"


def main(arguments: list[str]) -> int:
    """Do what the command line says.

    Args:
        arguments: Without the program's name.

    Returns:
        The exit code.
    """
    further = {"compare": compare, "report": write_again, "check": check}
    try:
        if arguments and arguments[0] in further:
            return further[arguments[0]](arguments[1:])
        return run(parse(arguments))
    except (ResultsError, UnfitDiskError) as error:
        sys.stderr.write(f"{error}\n")
        return MISUSED
