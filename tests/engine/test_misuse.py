"""What is asked for wrongly is said at once, and in words that fit."""

from __future__ import annotations

import pytest

from chartsend import Document, Engine, Settings
from chartsend.errors import ConfigError, DeadlineExceededError


@pytest.mark.parametrize("workers", ["auto", "2", 2.5, 0, 65, -1, None, float("nan")])
def test_workers_that_are_no_number_of_them_are_refused_by_the_constructor(workers):
    with pytest.raises(ConfigError) as caught:
        Engine(Settings(environment="Development"), workers=workers)

    assert caught.value.message == (
        "workers is a whole number, 1 to 64; `workers_for(settings, ...)` tells how many"
    )


async def test_a_deadline_that_was_over_from_the_start_is_not_blamed_on_the_quota(
    sandbox, settings_of, described
):
    document = Document.from_bytes(b"x", title="x.txt", document_id="1", **described)
    async with Engine(settings_of(sandbox, quota="10/300")) as engine:
        with pytest.raises(DeadlineExceededError) as caught:
            await engine.send(document, to=sandbox.info.destination, deadline_s=0)

    assert "the deadline had passed" in caught.value.message
    assert "quota" not in caught.value.message
    assert sandbox.requests()["total"] == 0


async def test_a_quota_that_is_used_up_is_still_said_to_be(sandbox, settings_of, described):
    async with Engine(settings_of(sandbox, quota="3/300")) as engine:
        with pytest.raises(DeadlineExceededError, match="the request quota is used up"):
            for number in range(9):
                document = Document.from_bytes(b"x", title="x.txt", document_id=str(number), **described)
                await engine.send(document, to=sandbox.info.destination, deadline_s=60)
