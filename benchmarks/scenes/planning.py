"""A batch around its sending: rows planned, settled, continued, read; bytes in the ledger.

The one rule: the programs that measure a million rows do the measuring; here are only fewer rows.
"""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest import mock

from chartsend.testing import SandboxProcess

from .. import batch_rows, ledger_rows, manifest_rows
from ..results import Group
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scene import Stage

ROWS = 20_000


def run(stage: Stage) -> Iterator[Group]:
    """The batch, the ledger alone, the reading of manifests alone."""
    for series, measure in (
        ("batch", _batch),
        ("ledger alone", _ledger),
        ("reading a manifest", _manifest),
    ):
        stage.say(f"{series}, {ROWS:,} rows")
        values: dict[str, list[float]] = {}
        for _ in range(stage.rounds):
            with TemporaryDirectory(dir=stage.folder) as folder:
                for name, value in measure(Path(folder)).items():
                    values.setdefault(name, []).append(value)
        yield Group(series=f"{series}, {ROWS:,} rows", values=values)


def _batch(folder: Path) -> dict[str, float]:
    state = {"XDG_STATE_HOME": str(folder / "state")}
    with mock.patch.dict(os.environ, state), SandboxProcess.start() as sandbox:
        profile, to = str(sandbox.info.profile), sandbox.info.destination
        manifest = batch_rows.write_manifest(folder / "rows", ROWS)
        plan = batch_rows.child("plan", profile, to, str(manifest))
        planned_bytes = batch_rows.size_of(manifest)
        settled = batch_rows.child("settle", str(manifest))
        settled_bytes = batch_rows.size_of(manifest)
        went_on = batch_rows.child("go_on", profile, to, str(manifest), str(time.time()))
        status = batch_rows.child("status", str(manifest))
    per_planned = planned_bytes / ROWS
    return {
        "planning, rows/s": ROWS / plan["seconds"],
        "settling, rows/s": settled["rows"] / settled["seconds"],
        "continue to the first accepted row, s": went_on["seconds"],
        "status, ms": status["median_s"] * 1000,
        "planned row in the ledger, bytes": per_planned,
        "done row in the ledger, bytes": per_planned + (settled_bytes - planned_bytes) / settled["rows"],
        "highest resident set while planning, MB": plan["peak_mb"],
    }


def _ledger(folder: Path) -> dict[str, float]:
    found = ledger_rows.in_a_process(folder, ROWS)
    shutil.rmtree(folder / "state", ignore_errors=True)
    return {
        "planning, rows/s": found["plan, rows/s"],
        "durable steps of 64 tasks, 1/s": found["durable steps/s, 64 tasks"],
        "open, take over and first claim, s": found["open, take over, first claim, s"],
    }


def _manifest(folder: Path) -> dict[str, float]:
    rows = {form: manifest_rows.measured(folder, form, ROWS) for form in manifest_rows.FORMS}
    return {f"{form}, rows/s": found["rows"] / found["seconds"] for form, found in rows.items()}


SCENE = Scene(
    name="planning",
    title="Planning and continuing",
    how=(
        f"A manifest of {ROWS:,} rows is planned, nine rows in ten are settled through the"
        " ledger's own steps, and the batch is continued against the sandbox, each in a process of"
        " its own. `python -m benchmarks.batch_rows`, `ledger_rows` and `manifest_rows` do the"
        " same with a million rows."
    ),
    shows=(),
    run=run,
)
