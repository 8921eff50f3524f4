"""What happens when chartsend itself is wrong: a line that helps, and no data in it.

The one rule: an exception's text and a traceback's variables may hold a document's data, so an
unexpected exception shows its type and place only.
"""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Final

from .exits import INTERRUPTED, SOME_FAILED

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import TracebackType

REPORT_TO: Final = "the issue tracker of chartsend"


@contextlib.contextmanager
def guard() -> Generator[None]:
    """Install the hooks of this file, forbid core files, and turn what comes out into exit codes.

    Ctrl-C before a verb runs gives 130. A reader of stdout that has gone away ends the command.
    """
    # Memory holds files of patients, tokens and keys: it must not end up in a core file.
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.excepthook = _show
    threading.excepthook = lambda args: _show(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )
    sys.unraisablehook = lambda args: _show(
        args.exc_type, args.exc_value or args.exc_type(), args.exc_traceback
    )
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        sys.exit(SOME_FAILED)
    finally:
        _flush_stdout()


def _flush_stdout() -> None:
    """Write what is left; when that cannot be, let the interpreter's last try go nowhere."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)


def _show(kind: type[BaseException], error: BaseException, frames: TracebackType | None) -> None:
    """Type and place; with `--log-level debug` the frames too. Never a value, never a text."""
    if issubclass(kind, KeyboardInterrupt) or sys.stderr is None:
        return
    lines = [f"chartsend: an error of its own: {_names(error)}{_place(frames)}"]
    if logging.getLogger("chartsend").isEnabledFor(logging.DEBUG):
        lines += [
            f"  {frame.filename}:{frame.lineno} in {frame.name}"
            for frame in traceback.extract_tb(frames)
        ]
    else:
        lines.append(f"Please tell {REPORT_TO}; --log-level debug shows where it happened.")
    print("\n".join(lines), file=sys.stderr)  # noqa: T201  # logging may be what failed


def _names(error: BaseException) -> str:
    """The type, and of a group the types inside."""
    name = type(error).__name__
    inside: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inside:
        name += f" of {', '.join(_names(each) for each in inside)}"
    return name


def _place(frames: TracebackType | None) -> str:
    last = traceback.extract_tb(frames)[-1:]
    return f" at {last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else ""
