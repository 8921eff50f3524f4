"""Text on stdout, as much as there are rows.

The one rule: nothing is held but the block that is being written, and a reader that has had enough
(`| head`) ends it cleanly.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from ...errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Writer:
    """Writes text to stdout in blocks; use it with `with`.

    A pipe that nobody reads any more raises `BrokenPipeError`, which ends the command.

    Raises:
        ConfigError: stdout is closed.
    """

    def __init__(self) -> None:
        if sys.stdout is None:
            raise ConfigError("stdout is closed; the rows need it, if only to be thrown away")
        self._stdout = sys.stdout.buffer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind is None:
            self._do(b"")

    def write(self, text: str, end: str = "\n") -> None:
        """Write a text; what UTF-8 cannot hold becomes the replacement character.

        Raises:
            BrokenPipeError: Nobody reads it.
            click.ClickException: It cannot be written otherwise (exit code 1).
        """
        self._do(f"{text}{end}".encode("utf-8", "replace"))

    def _do(self, block: bytes) -> None:
        try:
            self._stdout.write(block) if block else self._stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as exc:
            why = os.strerror(exc.errno) if exc.errno else "unknown"
            raise click.ClickException(f"stdout cannot be written any more ({why})") from None
