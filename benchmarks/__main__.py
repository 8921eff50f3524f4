"""`python -m benchmarks`: hands over to `benchmarks.command`.

The one rule: Ctrl-C leaves with 130, also while the modules are still being imported.
"""

from __future__ import annotations

import sys

STOPPED = 130


def main() -> int:
    """Do what the command line says."""
    try:
        from .command import main as command  # noqa: PLC0415  # takes a second, in which Ctrl-C may come

        return command(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return STOPPED


if __name__ == "__main__":
    sys.exit(main())
