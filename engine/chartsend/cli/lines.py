"""Lines for programs, on stdout.

The one rule: a reader of stdout that is slow or gone never holds up the transfers: lines are written
whole, by a thread, and after the first that could not be written there are no more.
"""

from __future__ import annotations

import sys

from ..aio import Lane, Shared


class Lines:
    """Writes to stdout, one whole line at a time.

    Args:
        what: The lines are, for people.

    Attributes:
        broken: Why stdout takes no more lines; None while it does.
    """

    def __init__(self, what: str = "lines on stdout") -> None:
        self._what = what
        self._lane = Lane(threads=1, name="stdout")
        self._stdout = Shared(lambda: None)
        self.broken: str | None = None

    @property
    def is_writing(self) -> bool:
        """Whether a write hangs: then the process cannot end in the usual way."""
        return self._lane.running > 0

    async def write(self, line: bytes) -> None:
        """Write a line and its end. Cancelled, it may still appear."""
        if self.broken is not None:
            return
        try:
            await self._lane.run(self._stdout, _write, line + b"\n")
        except BrokenPipeError:
            self.broken = f"nobody reads the {self._what} any more"
        except OSError as exc:
            self.broken = f"the {self._what} cannot be written any more ({exc.strerror})"

    async def aclose(self) -> None:
        """Let the writing thread end; one that hangs is left behind."""
        await self._lane.aclose()


def _write(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
