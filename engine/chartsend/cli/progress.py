"""How far a run is, on stderr: a live bar in a terminal, a plain line now and then elsewhere.

The one rule: no file's name, and nothing that grows: one entry for each send in flight.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from ..settings.quantity import show_seconds, show_size

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self, TextIO

    from ..document import Receipt
    from ..ports import Progress
    from .summary import Summary

PLAIN_EVERY_S: Final = 5.0
TICK_S: Final = 0.25


class Flow:
    """Bytes that went out, those of sends still in flight included.

    Of each document its largest body counts, as far as it got: the count never runs backwards, neither
    when an upload's message follows its file nor when an attempt begins again.
    """

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._in_flight: dict[str, int] = {}
        self._finished_bytes = 0

    def note(self, progress: Progress) -> None:
        """A send got on; called on the event loop a few times a second."""
        before = self._in_flight.get(progress.document_id, 0)
        self._in_flight[progress.document_id] = max(before, progress.sent_bytes)

    def finish(self, receipt: Receipt) -> None:
        """A send has ended."""
        sent = self._in_flight.pop(receipt.document_id, 0)
        known = receipt.bytes if receipt.bytes and not receipt.error else 0
        self._finished_bytes += max(sent, known)

    @property
    def sent_bytes(self) -> int:
        """So much went out until now."""
        return self._finished_bytes + sum(self._in_flight.values())

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started_s

    def line(self, summary: Summary) -> str:
        """One line: counts, bytes, speed."""
        sent = self.sent_bytes
        outcome = summary.outcome
        parts = [f"{outcome.accepted:,} accepted"]
        if outcome.failed:
            parts.append(f"{outcome.failed:,} failed")
        if outcome.in_doubt:
            parts.append(f"{outcome.in_doubt:,} in doubt")
        if self._in_flight:
            parts.append(f"{len(self._in_flight)} under way")
        parts.append(f"{show_size(sent)}, {show_size(int(sent / max(self.seconds, 0.001)))}/s")
        parts.append(show_seconds(self.seconds))
        return " · ".join(parts)


class _Stderr(io.TextIOBase):
    """stderr for a display: when the terminal goes away, the display does, and nothing else."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # of a stream, it can be read only
        """What the terminal understands."""
        return self._stream.encoding

    def isatty(self) -> bool:
        """Whether a terminal is there."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The terminal's descriptor, for its size."""
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Show a text."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Show it now."""
        with contextlib.suppress(OSError):
            self._stream.flush()


class Bar:
    """The live line of a terminal; use it with `with`."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  # 45 ms, paid in a terminal only
        from rich.live import Live  # noqa: PLC0415
        from rich.spinner import Spinner  # noqa: PLC0415

        stream: Any = _Stderr(sys.stderr)  # typeshed does not count a TextIOBase as TextIO
        self._console = Console(file=stream, highlight=False)
        self._spinner = Spinner("line", "starting")
        self._live = Live(self._spinner, console=self._console, transient=True, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, text: str) -> None:
        """Replace the live line."""
        self._spinner.update(text=text)

    def above(self, text: str, style: str) -> None:
        """Print a line above the live one."""
        from rich.text import Text  # noqa: PLC0415

        shown = Text(text)
        if style:
            shown.stylize(style, 0, 8)
        self._console.print(shown, soft_wrap=True)


class Ticker:
    """Shows the flow from time to time: often in a bar, seldom in plain lines."""

    def __init__(self, flow: Flow, summary: Summary, bar: Bar | None) -> None:
        self._flow = flow
        self._summary = summary
        self._bar = bar
        self._next_plain_s = PLAIN_EVERY_S

    def tick(self) -> None:
        """Called every `TICK_S`."""
        if self._bar is not None:
            self._bar.show(self._flow.line(self._summary))
        elif self._flow.seconds >= self._next_plain_s:
            self._next_plain_s += PLAIN_EVERY_S
            say(self._flow.line(self._summary))


def say(text: str) -> None:
    """One line for people, on stderr; a stderr that is gone is no reason to stop."""
    if sys.stderr is None:  # closed by the caller; print would take stdout then
        return
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)  # noqa: T201  # this is the place for it


def make_bar() -> Bar | None:
    """A live display where stderr is a terminal that can show one."""
    return Bar() if sys.stderr is not None and sys.stderr.isatty() else None
