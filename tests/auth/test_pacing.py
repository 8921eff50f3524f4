"""The series of token requests: what is told of an outage, however long it is."""

from __future__ import annotations

import logging
import math

from chartsend.aio import Deadline
from chartsend.auth.pacing import Pace
from chartsend.errors import ServerUnavailableError
from chartsend.settings import Retry


async def test_an_outage_is_told_once_and_then_at_growing_intervals(caplog):
    async def at_once(_: float) -> None:
        return None

    asked = 0

    async def down_for_twenty(_: Deadline) -> str:
        nonlocal asked
        asked += 1
        if asked <= 20:
            raise ServerUnavailableError("the server answered 503", status=503)
        return "token"

    pace = Pace(Retry(), sleep=at_once)
    with caplog.at_level(logging.DEBUG, logger="chartsend"):
        for _ in range(2):
            asked = 0
            assert await pace.run(down_for_twenty, deadline=Deadline.after(math.inf)) == "token"

    told = [record for record in caplog.records if record.levelno == logging.WARNING]
    failures = [record.getMessage().partition("failures=")[2].split()[0] for record in told]
    assert failures == ["1", "2", "4", "8", "16"] * 2, "a second outage is told from its beginning"
    assert len(caplog.records) == 40, "at level debug, every one"
