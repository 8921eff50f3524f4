"""The sink by itself, to look at or to load.

    python -m benchmarks.sink [--tls] [--stalled] [--processes N]
    python -m benchmarks.sink capacity [--tls] [--processes N] [--senders N]

The one rule: it ends with its stdin, or with Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import sys

from .capacity import capacity, told
from .process import SinkProcess


def main() -> None:
    """Parse the arguments; serve, or measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", nargs="?", choices=["serve", "capacity"], default="serve")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--stalled", action="store_true", help="stop reading large bodies")
    parser.add_argument("--processes", type=int)
    parser.add_argument("--senders", type=int, default=2, help="of capacity")
    given = parser.parse_args()
    with SinkProcess.start(tls=given.tls, stalled=given.stalled, processes=given.processes) as sink:
        if given.what == "capacity":
            print(told(capacity(sink, senders=given.senders)))
            return
        print(sink.url, sink.ca_file or "", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            sys.stdin.read()
        print(sink.counts())


if __name__ == "__main__":
    main()
