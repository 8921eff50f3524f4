"""How long `from chartsend import Document, Engine` takes in a fresh process.

The one rule: what is timed is the import statement alone, in an interpreter that has done nothing
else; the time that the interpreter itself needs to start is printed beside it, not added.

    python -m benchmarks.import_time [RUNS]
"""

from __future__ import annotations

import platform
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

STATEMENT = "from chartsend import Document, Engine"
PROGRAM = f"import time; start = time.perf_counter(); {STATEMENT}; print(time.perf_counter() - start)"


def import_s() -> float:
    """Seconds of the import statement in one fresh process."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True)
    return float(done.stdout)


def interpreter_s() -> float:
    """Seconds of a process that starts the interpreter and does nothing."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.perf_counter() - start


def row(name: str, seconds: list[float]) -> str:
    """One line of the table, in milliseconds."""
    low, middle, high = (
        round(1000 * value) for value in (min(seconds), statistics.median(seconds), max(seconds))
    )
    return f"{name:<42} min {low:>4} ms   median {middle:>4} ms   max {high:>4} ms"


def main(runs: int) -> None:
    """Measure and print. One process beforehand fills the page cache and writes the byte code."""
    import_s()
    imports = [import_s() for _ in range(runs)]
    starts = [interpreter_s() for _ in range(runs)]
    print(row(STATEMENT, imports))
    print(row("starting the interpreter", starts))
    print(
        f"{runs} processes; Python {platform.python_version()}, chartsend {version('chartsend')},"
        f" aiohttp {version('aiohttp')}, {platform.machine()}"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
