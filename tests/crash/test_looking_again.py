"""Killed while rows that failed or were rejected are planned again, a batch has them all the same.

Between the moment in which such rows leave the ledger and the one in which planning finds them missing,
nothing but the ledger's own facts says that they are missing.
"""

from __future__ import annotations

import random

import pytest
from driver import POINTS
from evidence import gather, wait_until_quiet
from judge import judge
from scenery import make
from test_random_kills import WrongError, live_and_die

pytestmark = pytest.mark.timeout(300)

ROWS = 20
SLOTS = 4
REFUSED = (4, 8, 14)
"""Embedded ones: orphans from before a row was planned again stand in its earlier receipts only."""


@pytest.fixture
def failed(folder, busy_sandbox, nursery):
    """A batch of which three rows failed and two were rejected, and how many events were before it."""
    name = f"again-{folder.name}"
    scene = make(folder / "scene", name, random.Random(name), rows=ROWS, bad=True)
    seen = len(busy_sandbox.events())
    busy_sandbox.faults(
        [
            {"on": "message", "do": "status", "status": 422, "where": {"document_id": f"{name}-{row}"}}
            for row in REFUSED
        ]
    )
    life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS)).end()
    assert life.is_over, life.said
    assert counts(scene, busy_sandbox, seen) == {"done": ROWS - 3, "failed": 3, "rejected": 2}
    return scene, seen


def counts(scene, sandbox, seen, *, kills=0, is_over=True):
    """Rows by state, once the judge has found nothing wrong."""
    wait_until_quiet(sandbox)
    events = sandbox.events(seen)
    evidence = gather(scene, events, kills=kills, slots=SLOTS, is_over=is_over)
    wrong = judge(evidence)
    if wrong:
        raise WrongError(wrong, scene.folder)
    return {state: count for state, count in evidence.counts.items() if count}


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_point_of_looking_again_no_row_is_lost(point, failed, nursery, busy_sandbox):
    scene, seen = failed
    dies = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS, looks_again=True, dies_at=point))
    assert dies.end().code == -9

    life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS)).end()

    assert life.is_over, life.said
    failed_still = 3 if POINTS[point] is None else 0
    assert counts(scene, busy_sandbox, seen, kills=1) == {
        state: count
        for state, count in (("done", ROWS - failed_still), ("failed", failed_still), ("rejected", 2))
        if count
    }


def test_killed_at_random_moments_of_looking_again_no_row_is_lost(failed, nursery, busy_sandbox):
    scene, seen = failed
    draw = random.Random("looking again")
    kills = 0
    for _ in range(8):
        life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS, looks_again=True))
        kills += live_and_die(life, draw)
        life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS))
        kills += live_and_die(life, draw)

    life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS, looks_again=True)).end()

    assert life.is_over, life.said
    found = counts(scene, busy_sandbox, seen, kills=kills)
    assert found.pop("in_doubt", 0) <= kills * SLOTS
    assert found.pop("rejected") == 2
    assert set(found) == {"done"}
