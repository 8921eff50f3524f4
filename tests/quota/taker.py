"""A process that takes turns from the quota's file and notes when, without asking the quota.

Arguments: LOG ORIGIN, then as `--help` says. Each line of LOG is `went|answered REQUEST NANOSECONDS`, on
the clock of the machine: written after the turn was given, and before the answer is told, so what it
claims is within what the quota counts.
"""

import argparse
import itertools
import os
import random
import sys
import time

import anyio

from chartsend.aio import Deadline
from chartsend.errors import DeadlineExceededError
from chartsend.ports import Operation
from chartsend.transport.quota import Quota, Terms
from chartsend.transport.quota.clock import SECOND_NS


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


async def main(asked):
    log = os.open(asked.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    counts = frozenset({Operation.MESSAGE})
    terms = Terms(asked.requests, int(asked.window_s * SECOND_NS), asked.origin, counts=counts)
    numbers = itertools.count(1)
    draw = random.Random(asked.seed)

    if asked.wait:
        print("ready", flush=True)
        sys.stdin.readline()
    with Quota(terms, priority=asked.priority) as quota:

        async def take_turns():
            while (number := next(numbers)) <= asked.turns:
                try:
                    turn = await quota.take(Operation.MESSAGE, Deadline.after(asked.deadline_s))
                except DeadlineExceededError:
                    print("late", flush=True)
                    return
                os.write(log, b"went %d %d\n" % (number, now_ns()))
                if asked.latency_s:
                    await anyio.sleep(draw.random() * 2 * asked.latency_s)
                os.write(log, b"answered %d %d\n" % (number, now_ns()))
                quota.answered(turn, is_clean=True)

        async with anyio.create_task_group() as tasks:
            for _ in range(asked.tasks):
                tasks.start_soon(take_turns)


def jumping_clock():
    """The time of day, for a process whose machine's clock is set again and again."""
    return time.monotonic() + random.uniform(-1e6, 1e6)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("log")
    parser.add_argument("origin")
    parser.add_argument("--requests", type=int, default=100, help="per window, 98 % of which are used")
    parser.add_argument("--window-s", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--latency-s", type=float, default=0.0, help="mean time to an answer")
    parser.add_argument("--deadline-s", type=float, default=None)
    parser.add_argument("--priority", default="realtime")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--wait", action="store_true", help="say `ready`, begin at a line on stdin")
    parser.add_argument("--clock-jumps", action="store_true")
    arguments = parser.parse_args()
    if arguments.clock_jumps:
        time.time = jumping_clock
        time.time_ns = lambda: int(jumping_clock() * SECOND_NS)
    anyio.run(main, arguments)
