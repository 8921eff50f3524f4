"""Many processes at one file: never more than the limit in any window, whoever dies, and at little cost.

The judge knows only what each process noted for itself on the machine's clock: when a request went and
when it was answered.
"""

from __future__ import annotations

import random
import time

import pytest

from chartsend.transport.quota.clock import SECOND_NS, boot_ns

REQUESTS, LIMIT, WINDOW_S = 100, 98, 1.0


def wait_until(condition, within_s=60.0):
    give_up = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.002)


@pytest.mark.parametrize("count", [1, 4, 16])
def test_no_window_holds_more_than_the_limit(takers, most, count):
    turns = 480 // count
    for n in range(count):
        jumps = ["--clock-jumps"] if n % 2 else []
        takers.start("--wait", "--turns", turns, "--latency-s", 0.02, "--seed", n, *jumps)
    takers.go()
    takers.wait()

    requests = takers.requests()
    assert len(requests) == turns * count
    assert most(requests, WINDOW_S) == LIMIT  # not one more, and it was really reached
    assert takers.said() == ""  # and all found the file in order, although they made it together


def test_the_judge_sees_processes_that_share_nothing(takers, most, tmp_path):
    for n in range(4):
        takers.start("--wait", "--turns", 120, state=tmp_path / f"state-{n}")
    takers.go()
    takers.wait()

    assert most(takers.requests(), WINDOW_S) > LIMIT


def test_batches_of_several_processes_leave_a_tenth_free(takers, most):
    for _ in range(3):
        takers.start("--wait", "--turns", 100, "--priority", "backfill")
    takers.go()
    takers.wait()

    assert most(takers.requests(), WINDOW_S) == int(LIMIT * 0.9)


@pytest.mark.parametrize("seed", [1, 2])
def test_processes_that_are_killed_with_requests_in_flight_and_started_again(takers, most, seed):
    draw = random.Random(seed)

    def start():
        options = ("--turns", 10_000, "--tasks", 8, "--latency-s", 0.2)
        return takers.start(*options, "--seed", draw.randrange(10**6))

    running = [start() for _ in range(4)]
    for _ in range(16):
        victim = draw.choice(running)
        wait_until(lambda: takers.in_flight(victim) >= draw.randint(1, 8))  # noqa: B023
        takers.kill(victim)
        running.remove(victim)
        running.append(start())
    for process in running:
        wait_until(lambda: takers.in_flight(process) > 0)  # noqa: B023  # nobody is locked out
        takers.kill(process)

    requests = takers.requests()
    assert len(requests) > LIMIT
    assert most(requests, WINDOW_S) <= LIMIT
    assert takers.said() == ""


def test_after_a_kill_the_next_process_starts_with_the_window_as_it_is(takers, most):
    first = takers.start("--turns", 10_000, "--window-s", 3, "--tasks", 20, "--latency-s", 0.01)
    wait_until(lambda: first.log.exists() and len(first.log.read_text().splitlines()) > 150)
    takers.kill(first)
    takers.start("--turns", 120, "--window-s", 3)
    takers.wait()

    assert most(takers.requests(), 3.0) <= LIMIT


def test_a_deadline_ends_a_wait_behind_other_processes(takers):
    holder = takers.start("--turns", 10_000, "--window-s", 600)
    wait_until(lambda: holder.log.exists() and len(holder.log.read_text().splitlines()) == 2 * LIMIT)
    late = takers.start("--turns", 1, "--window-s", 600, "--deadline-s", 20)

    assert late.stdout.readline() == "late\n"  # long before its deadline
    assert late.wait(60) == 0
    assert not late.log.read_text()
    takers.kill(holder)


@pytest.mark.parametrize("window_s", [600, 2])
def test_waiting_costs_next_to_nothing(takers, window_s):
    """Less than 2 % of a processor for each of four that wait on one ring.

    With a window of 600 s nothing moves; with one of 2 s a place becomes free every 20 ms, and all
    four are after it.
    """
    options = ("--turns", 100_000, "--window-s", window_s, "--tasks", 16)
    processes = [takers.start(*options) for _ in range(4)]
    wait_until(lambda: all(process.log.exists() for process in processes))
    wait_until(lambda: len(takers.requests()) >= LIMIT)
    before = [cpu_s(process.pid) for process in processes]
    began_ns = boot_ns()
    time.sleep(5)
    passed_s = (boot_ns() - began_ns) / SECOND_NS
    used = [cpu_s(each.pid) - was for each, was in zip(processes, before, strict=True)]
    for process in processes:
        takers.kill(process)

    assert max(used) / passed_s < 0.02, used


def cpu_s(pid):
    """Processor time of a process so far."""
    with open(f"/proc/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / SECOND_NS
