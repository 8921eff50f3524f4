"""The door of the command: `chartsend` and `python -m chartsend` both come in here."""

from __future__ import annotations


def main() -> None:
    """Run the command line and leave with its exit code."""
    from .cli.main import run  # noqa: PLC0415  # the library never pays for click

    run()


if __name__ == "__main__":
    main()
