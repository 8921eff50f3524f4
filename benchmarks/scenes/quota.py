"""The request quota: processor time of one turn, by the length of the record.

The one rule: a record of its own, in a folder that is thrown away.
"""

from __future__ import annotations

import asyncio
import os
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest import mock

from .. import quota_turns
from ..results import Group
from .scene import Axis, Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .scene import Stage

REQUESTS = (10_000, 100_000, 1_000_000)
TURNS = 2_000


def run(stage: Stage) -> Iterator[Group]:
    """From the documented limit to the longest record."""
    for requests in REQUESTS:
        stage.say(f"{requests:,} requests per window")
        times: list[float] = []
        for _ in range(stage.rounds):
            with (
                TemporaryDirectory(dir=stage.folder) as folder,
                mock.patch.dict(os.environ, {"XDG_STATE_HOME": folder}),
            ):
                times.append(asyncio.run(quota_turns.turn_us(requests, TURNS)))
        yield Group(series="a turn", at=requests, values={"take and answered, µs": times})


SCENE = Scene(
    name="quota",
    title="The quota",
    how=(
        f"One process takes {TURNS:,} turns and notes their answers in the file that all processes"
        " share; the figure is processor time for a turn and its answer. The record holds a whole"
        " window of earlier answers before the first turn."
    ),
    shows=(),
    run=run,
    axis=Axis("requests in a window"),
)
