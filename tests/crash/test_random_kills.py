"""Killed at any moment, as often as one likes, a batch still does each row once and says what it knows.

Run more with `python -m pytest tests/crash --kills 5000`.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from evidence import gather, refused_tokens, wait_until_quiet
from judge import judge
from scenery import Scene, make

pytestmark = pytest.mark.timeout(600)

ROWS = 40
SLOTS = 4
MOST_LIVES = 60
SOON_S = 0.03
"""As long as opening and planning take, more or less: a kill lands up to so long after a sign."""

TROUBLE: list[list[dict[str, Any]]] = [
    [
        {"do": "delay", "on": "message", "seconds": 0.1, "every": 5, "times": None},
        {"do": "delay", "on": "blob", "seconds": 0.1, "every": 4, "times": None, "when": "before"},
    ],
    [
        {"do": "status", "on": "message", "status": 503, "headers": {"Retry-After": "0"}, "every": 6,
         "times": None},
        {"do": "status", "on": "blob", "status": 503, "every": 5, "times": None},
    ],
    [
        {"do": "swallow", "on": "message", "then": "reset", "every": 12, "times": None},
        {"do": "swallow", "on": "blob", "then": "close", "every": 6, "times": None},
        {"do": "reset", "on": "message", "at_byte": 100, "every": 7, "times": None},
    ],
]  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What a test did."""

    kills: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class Plan:
    """How a batch is treated, drawn once."""

    policy: str
    trouble: list[dict[str, Any]]
    kills: int
    planted: list[str] = field(default_factory=list)
    workers: int = 1

    @classmethod
    def drawn(cls, draw: random.Random, most_kills: int) -> Plan:
        policy = "resend" if draw.random() < 0.3 else "hold"
        trouble = draw.choice(TROUBLE) if draw.random() < 0.4 else []
        workers = 2 if draw.random() < 0.2 else 1
        return cls(policy, trouble, min(most_kills, draw.randrange(4, 12)), workers=workers)


def a_moment(draw: random.Random):
    """A sign to wait for, how often, and how much longer: anywhere from the birth to the last row."""
    sign, most = draw.choice(
        [("pid", 1), ("open", 1), ("planned", 1), ("running", 1), ("settled", 3), ("settled", 20)]
    )
    return sign, draw.randrange(most), draw.random() * SOON_S


def live_and_die(life, draw: random.Random) -> bool:
    """Kill a life at a drawn moment; false when it ended before."""
    sign, skipped, after_s = a_moment(draw)
    if sign != "pid":
        for _ in range(skipped + 1):
            if not life.until(lambda line: line.startswith(sign)):
                return False
    time.sleep(after_s)
    return life.kill()


class WrongError(AssertionError):
    """What the judge found."""


def torture(scene: Scene, plan: Plan, nursery, sandbox, draw: random.Random, tally: Tally) -> int:
    """Run a batch to its end, killed so many times; how often it was killed.

    Raises:
        WrongError: The judge found something.
    """
    seen, refused_before = len(sandbox.events()), refused_tokens(sandbox.requests())
    numbers = sandbox.faults(plan.trouble) if plan.trouble else []
    told: list[tuple[int, str]] = []
    kills = 0
    for _ in range(MOST_LIVES):
        job = scene.job(
            sandbox,
            on_unknown=plan.policy,
            concurrency=SLOTS,
            workers=plan.workers,
            planted=plan.planted,
        )
        life = nursery.bear(job)
        was_killed = kills < plan.kills and live_and_die(life, draw)
        if not was_killed:
            life.end()
        told += life.settled
        kills += was_killed
        if was_killed:
            tally.kills[life.stage] += 1
        is_over = life.is_over
        assert was_killed or is_over or plan.trouble, (life.said[-3:], scene.folder / "stderr.txt")
        if is_over or draw.random() < 0.5:  # else what a kill left is first seen by the next life
            counts = wait_until_quiet(sandbox)
            evidence = gather(
                scene,
                sandbox.events(seen),
                told=told,
                kills=kills,
                slots=SLOTS,
                cuts=sum(fired(sandbox, numbers, plan)),
                refused_tokens=refused_tokens(counts) - refused_before,
                policy=plan.policy,
                is_over=is_over,
            )
            wrong = judge(evidence)
            if wrong:
                raise WrongError(wrong, scene.folder)
        if is_over:
            tally.rows.update(evidence.counts)
            return kills
        if not was_killed:
            sandbox.clear_faults()  # the guard stopped a batch in trouble: the trouble is over
    raise AssertionError(f"not over after {MOST_LIVES} lives: {life.said[-3:]}")


def fired(sandbox, numbers, plan):
    """How many answers each fault of the script has cut, of requests that were done."""
    counts = sandbox.fault_counts()
    for number, fault in zip(numbers, plan.trouble, strict=True):
        if fault["do"] == "swallow" and number in counts:
            yield counts[number]["fired"]


def test_killed_at_random_moments_it_does_every_row_once(
    seed, kills, nursery, busy_sandbox, folder, record_property
):
    draw = random.Random(f"kills {seed}")
    tally = Tally()
    left = kills
    number = 0
    while left:
        number += 1
        scene = make(folder / str(number), f"k{seed}-{number}", draw, rows=ROWS, bad=True)
        left -= torture(scene, Plan.drawn(draw, left), nursery, busy_sandbox, draw, tally)
        busy_sandbox.clear_faults()
    record_property("kills", dict(tally.kills))
    print(f"{number} batches; kills by how far a life had come: {dict(tally.kills)}; {tally.rows}")
    assert tally.kills.total() == kills


def test_kills_at_random_moments_find_a_planted_bug(nursery, busy_sandbox, folder):
    draw = random.Random("planted")
    plan = Plan("hold", [], 10, ["skip_the_intent"])
    with pytest.raises(WrongError, match="message event"):
        for number in range(10):
            scene = make(folder / str(number), f"{folder.name}-{number}", draw, rows=ROWS)
            torture(scene, plan, nursery, busy_sandbox, draw, Tally())
