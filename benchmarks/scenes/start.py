"""How long it takes until anything can happen: the import, and the command's help.

The one rule: each in a fresh process, after one that has filled the page cache and written byte code.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from .. import import_time
from ..results import Group
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scene import Stage

LEAST_RUNS = 10
"""However few rounds there are: each takes a tenth of a second, and the first ones differ most."""


def _help_s() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "chartsend", "--help"], check=True, capture_output=True)
    return time.perf_counter() - start


def run(stage: Stage) -> Iterator[Group]:
    """In turn."""
    stage.say("a fresh process")
    measures = {
        "import, ms": import_time.import_s,
        "chartsend --help, ms": _help_s,
        "python -c pass, ms": import_time.interpreter_s,
    }
    values: dict[str, list[float]] = {name: [] for name in measures}
    for measure in measures.values():
        measure()
    for _ in range(max(LEAST_RUNS, stage.rounds)):
        for name, measure in measures.items():
            values[name].append(measure() * 1000)
    yield Group(series="a fresh process", values=values)


SCENE = Scene(
    name="start",
    title="Start",
    how=(
        f"The figures are of fresh processes, at least {LEAST_RUNS} processes each; one more beforehand"
        " has filled the page cache. The"
        " import is timed inside the process, so without the interpreter's own start, and the help"
        " is timed from outside."
    ),
    shows=(),
    run=run,
)
