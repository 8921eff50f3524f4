"""Killed at the k-th system call that can matter, whichever it is, two rows end as they should.

Run more with `python -m pytest tests/crash --points 3000`.
"""

from __future__ import annotations

import random
from collections import Counter

import pytest
import tracing
from evidence import gather, wait_until_quiet
from judge import judge
from scenery import make
from watching import calls_of

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(tracing.obstacle() is not None, reason=str(tracing.obstacle())),
]

ROWS = 2
SLOTS = 2
MOST_LIVES = 20


@pytest.fixture(scope="session")
def every_point(nursery, shared_sandbox, tmp_path_factory):
    """Every point of a life that is not killed, in no order."""
    folder = tmp_path_factory.mktemp("unkilled")
    folder.chmod(0o700)
    scene = make(folder / "batch", f"unkilled-{folder.name}", random.Random(0), rows=ROWS)
    life = nursery.bear(scene.job(shared_sandbox, concurrency=SLOTS, waits_for_tracer=True))
    strace = tracing.write_down(life, folder / "log", tracing.KINDS)
    life.end()
    strace.end()
    assert life.is_over, life.said
    return tracing.points(calls_of(folder / "log"), life.pid)


def nth(every_point, number):
    """The points in an order that is the same each time: all of them, before any comes again."""
    turn, place = divmod(number, len(every_point))
    order = list(every_point)
    random.Random(turn).shuffle(order)
    return order[place]


def lives(scene, policy, fatal, nursery, sandbox):
    """A life for each fatal point, and then others until the batch is over; each when it has ended."""
    for number in range(MOST_LIVES):
        is_traced = number < len(fatal)
        job = scene.job(sandbox, on_unknown=policy, concurrency=SLOTS, waits_for_tracer=is_traced)
        life = nursery.bear(job)
        strace = tracing.kill_at(life, fatal[number]) if is_traced else None
        life.end()
        if strace is not None:
            strace.end()
        assert life.is_over or life.code == -9, (life.said, fatal, scene.folder)
        yield life
        if life.is_over:
            return
    raise AssertionError(f"not over after {MOST_LIVES} lives")


def test_killed_at_a_system_call_it_does_every_row_once(
    seed, points, every_point, nursery, busy_sandbox, folder
):
    draw = random.Random(f"points {seed}")
    killed: Counter[str] = Counter()
    for number in range(points):
        fatal = [nth(every_point, seed + number)]
        if draw.random() < 0.5:  # recovery is killed too
            fatal.append(draw.choice(every_point))
        policy = "resend" if draw.random() < 0.3 else "hold"
        scene = make(folder / str(number), f"p{seed}-{number}", draw, rows=ROWS)
        seen = len(busy_sandbox.events())
        told: list[tuple[int, str]] = []
        kills = 0
        for place, life in enumerate(lives(scene, policy, fatal, nursery, busy_sandbox)):
            told += life.settled
            if life.code:
                kills += 1
                killed[fatal[place].kind] += 1
            if life.is_over or draw.random() < 0.3:
                wait_until_quiet(busy_sandbox)
                evidence = gather(
                    scene, busy_sandbox.events(seen), told=told, kills=kills, slots=SLOTS,
                    policy=policy, is_over=life.is_over,
                )  # fmt: skip
                wrong = judge(evidence)
                assert not wrong, (wrong, fatal, scene.folder)
    print(f"{points} batches, killed on entering {dict(killed)} of {len(every_point)} points")
    assert killed.total() >= points * 0.8, "points were not reached: they are of another program"
