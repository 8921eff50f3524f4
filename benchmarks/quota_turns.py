"""What one turn of the request quota costs: `take` and `answered`, written to the file that is shared.

The one rule: the ring is as long as the limit before the first turn, so every turn looks a whole limit
back; nobody else uses the file.

    python -m benchmarks.quota_turns [TURNS]
"""

from __future__ import annotations

import asyncio
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import version

from chartsend.aio import Deadline
from chartsend.ports import Operation
from chartsend.transport.quota import Quota, Terms
from chartsend.transport.quota.clock import SECOND_NS, boot_ns
from chartsend.transport.quota.ring import Ring

WINDOW_S = 300


def fill(origin: str, answers: int) -> None:
    """Write answers that have just left the window."""
    ring = Ring.open(origin)
    page = ring.load()
    ring.push(page, boot_ns() - (WINDOW_S + 1) * SECOND_NS, answers)
    ring.save(page)
    ring.close()


async def turn_us(requests: int, turns: int) -> float:
    """Microseconds of processor time for one turn."""
    terms = Terms(requests, WINDOW_S * SECOND_NS, f"https://{requests}.example:443")
    fill(terms.origin, requests)
    deadline = Deadline.after(3600)
    with Quota(terms) as quota:
        began_s = time.process_time()
        for _ in range(turns):
            turn = await quota.take(Operation.MESSAGE, deadline)
            quota.answered(turn, is_clean=True)
        return (time.process_time() - began_s) / turns * 1e6


def main(turns: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        for requests in (10_000, 100_000, 1_000_000):
            times = [asyncio.run(turn_us(requests, min(turns, requests // 2))) for _ in range(5)]
            print(f"{requests:>9,} per window   min {min(times):5.1f} us   max {max(times):5.1f} us")
    print(
        f"5 times {turns} turns; Python {platform.python_version()}, chartsend {version('chartsend')},"
        f" {platform.machine()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
