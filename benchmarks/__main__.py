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
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import goals, machine, report, results
from .compare import text
from .contest import ContestError
from .results import Played, Results
from .sample import Samples, UnfitDiskError
from .scenes import AGAINST_SANDBOX, SCENES, Scene, Stage
from .sink import SinkError
from .tables import goals_for_terminal

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, QUICK_ROUNDS = 5, 3
OUT = Path(__file__).parent / "results"
FAILED, MISUSED, STOPPED = 1, 2, 130


def say(words: str) -> None:
    """Tell whoever waits what is going on."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')}  {words}\n")
    sys.stderr.flush()


def measure(asked: argparse.Namespace, samples: Samples) -> tuple[Results, Path]:
    """Play the scenes; one that fails is noted, and the others go on.

    The file is written anew after each of them: a run that is broken off keeps what it has.
    """
    found = Results(
        date=results.today(),
        quick=asked.quick,
        rounds=asked.rounds or (QUICK_ROUNDS if asked.quick else ROUNDS),
        against=asked.against,
        machine=machine.this(samples.folder),
    )
    path = results.create(found, asked.out)
    for scene in chosen(asked):
        stage = Stage(samples, rounds=found.rounds, quick=asked.quick, say=say)
        found.scenes.append(play(scene, stage))
        found.goals = goals.judge(found)
        results.replace(found, path)
    return found, path


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
    scenes = AGAINST_SANDBOX if asked.against == "sandbox" else SCENES
    if asked.only:
        return [scene for scene in scenes if scene.name in asked.only]
    return [scene for scene in scenes if scene.is_quick or not asked.quick]


def run(asked: argparse.Namespace) -> int:
    """Measure, write, and judge."""
    if not chosen(asked):
        names = ", ".join(scene.name for scene in SCENES)
        sys.stderr.write(f"no scene to run: give --only one of {names}\n")
        return MISUSED
    with Samples.open(asked.files) as samples:
        found, path = measure(asked, samples)
    say(f"{report.write(found, path)}")
    return tell(found, insists=asked.check)


def tell(found: Results, *, insists: bool) -> int:
    """Print the goals table, what fell short when that is asked for, and what failed.

    Returns:
        The exit code.
    """
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
    return FAILED if failed or short else 0


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
    print(report.write(found, path))
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
    names = [scene.name for scene in SCENES + AGAINST_SANDBOX]
    parser.add_argument("--quick", action="store_true", help="what holds on any machine, in under 40 s")
    parser.add_argument("--check", action="store_true", help="leave with 1 when such a goal is not met")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the results")
    parser.add_argument("--files", type=Path, help="folder for sample files, on the disk to be measured")
    parser.add_argument("--against", choices=("sink", "sandbox"), default="sink")
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}, quick {QUICK_ROUNDS}")
    asked = parser.parse_args(arguments)
    if asked.rounds is not None and asked.rounds < 1:
        parser.error("--rounds is at least 1")
    return asked


def main() -> int:
    """Do what the command line says."""
    arguments = sys.argv[1:]
    further = {"compare": compare, "report": write_again, "check": check}
    try:
        if arguments and arguments[0] in further:
            return further[arguments[0]](arguments[1:])
        return run(parse(arguments))
    except (results.ResultsError, UnfitDiskError) as error:
        sys.stderr.write(f"{error}\n")
        return MISUSED
    except KeyboardInterrupt:
        say("stopped; the scenes that were played to their end are in the file of results")
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
