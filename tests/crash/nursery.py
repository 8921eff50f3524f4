"""A process that has imported everything and bears lives: a fork is quicker than a start.

The one rule: what is born here is a process of its own, with nothing running in it yet: this one has
no thread and no event loop, and only reads jobs, forks, and waits.

    python nursery.py   (jobs as lines of JSON on stdin; what lives say, and `end CODE`, on stdout)
"""

from __future__ import annotations

import gc
import importlib
import os
import sys

import driver
import msgspec
from job import Job

LATE = ("chartsend.auth.oauth", "chartsend.settings.load", "chartsend._version", "jwt", "jwt.algorithms")
"""What the library imports when it first needs it: once here, not in each life."""


def main() -> None:
    """Bear lives until stdin ends."""
    for name in LATE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # or every life would copy the pages of all modules when it collects
    for line in sys.stdin.buffer:
        job = msgspec.json.decode(line, type=Job)
        pid = os.fork()
        if pid == 0:
            code = driver.FAILED
            try:
                os.close(0)
                code = driver.live(job)
            finally:
                sys.stderr.flush()
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        driver.say("end", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
