"""A disk that is full, or fails: the batch stops, claims nothing that is not kept, and can go on."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import tracing
from evidence import gather, wait_until_quiet
from judge import judge
from scenery import make
from watching import calls_of

from chartsend.errors import LedgerError, LedgerFullError

if TYPE_CHECKING:
    from lives import Life

pytestmark = pytest.mark.timeout(300)
traced = pytest.mark.skipif(tracing.obstacle() is not None, reason=str(tracing.obstacle()))

SLOTS = 4
ROWS = 24
STOPPED = 6


@pytest.fixture
def scene(folder):
    return make(folder / "batch", f"disk-{folder.name}", random.Random(2), rows=ROWS)


@pytest.fixture
def judged(scene, busy_sandbox):
    """A function: lives so far, to the evidence, on which nothing is wrong."""
    seen = len(busy_sandbox.events())

    def look(*lives: Life, is_over: bool):
        wait_until_quiet(busy_sandbox)
        told = [each for life in lives for each in life.settled]
        stopped = sum(not life.is_over for life in lives)
        evidence = gather(
            scene, busy_sandbox.events(seen), told=told, kills=stopped, slots=SLOTS, is_over=is_over
        )
        assert judge(evidence) == []
        return evidence

    return look


@pytest.mark.parametrize("room_bytes", [0, 30_000, 150_000])
def test_a_full_disk_stops_the_batch_and_it_goes_on_when_there_is_room(
    scene, nursery, busy_sandbox, judged, room_bytes
):
    first = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS, room_bytes=room_bytes)).end()
    assert (first.code, first.said[-1]) == (STOPPED, f"error {LedgerFullError.code}")
    evidence = judged(first, is_over=False)
    assert evidence.counts["done"] < ROWS
    second = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS)).end()
    assert second.is_over, second.said
    judged(first, second, is_over=True)


@pytest.fixture(scope="session")
def sound_calls(nursery, shared_sandbox, tmp_path_factory):
    """What a life calls that nothing happens to."""
    folder = tmp_path_factory.mktemp("sound")
    folder.chmod(0o700)
    scene = make(folder / "batch", f"sound-{folder.name}", random.Random(2), rows=ROWS)
    life = nursery.bear(scene.job(shared_sandbox, concurrency=SLOTS, waits_for_tracer=True))
    strace = tracing.write_down(life, folder / "log", ("pwrite64", "fdatasync"))
    life.end()
    strace.end()
    return calls_of(folder / "log")


def number_of(calls, kind, file, share):
    """Which call of its kind is about that far among those on a file (one thread makes all of them)."""
    of_kind = [call for call in calls if call.name == kind]
    assert len({call.task for call in of_kind}) == 1
    numbers = [k for k, call in enumerate(of_kind, 1) if call.what.endswith(file)]
    return numbers[int(share * (len(numbers) - 1))]


@traced
@pytest.mark.parametrize(
    ("file", "share"),
    [("db.new", 0), ("db.new", 1), ("-wal", 0), ("-wal", 0.3), ("-wal", 0.5), ("-wal", 0.8)],
)
@pytest.mark.parametrize(
    ("kind", "error", "expected"),
    [("fdatasync", "EIO", LedgerError), ("pwrite64", "ENOSPC", LedgerFullError)],
)
def test_a_call_that_fails_is_the_last_one(
    scene, nursery, busy_sandbox, folder, judged, sound_calls, kind, error, expected, file, share
):
    """fsync is never asked twice: the kernel may have dropped what it could not write."""
    k = number_of(sound_calls, kind, file, share)
    life = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS, waits_for_tracer=True))
    strace = tracing.write_down(life, folder / "log", fault=f"{kind}:error={error}:when={k}")
    life.end()
    strace.end()
    calls = calls_of(folder / "log")
    (failed,) = [call for call in calls if call.name == kind and call.result == -1]
    # Not a directory, whose sync SQLite's own code does not mind, and not the tables at the end.
    assert failed.what.endswith((file, "mark")), "it was another file's turn"
    assert (life.code, life.said[-1]) == (STOPPED, f"error {expected.code}")
    if failed.what.endswith("-wal"):
        assert [c for c in calls if c.what == failed.what and c.entered > failed.entered] == []
    judged(life, is_over=False)
    again = nursery.bear(scene.job(busy_sandbox, concurrency=SLOTS)).end()
    assert again.is_over, again.said
    judged(life, again, is_over=True)
