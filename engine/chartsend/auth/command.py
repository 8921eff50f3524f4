"""Runs the command that prints a private key: a vault's or a password store's client.

The one rule: it ends. After 10 s, or too much output, its whole process group is killed; and what
it printed is in no log and no error.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from typing import Final

from ..errors import ConfigError

LIMIT_S: Final = 10.0


def output_of(command: str, *, setting: str, largest_bytes: int, limit_s: float = LIMIT_S) -> bytes:
    """What `command` prints on standard output. It blocks, for at most `limit_s`.

    There is no shell: the text is split as one would, and nothing in it is expanded. Standard
    error is dropped, since a key could stand there too.

    Raises:
        ConfigError: It cannot be split or started, took too long, printed more than
            `largest_bytes`, or ended with another code than 0.
    """
    try:
        arguments = shlex.split(command)
    except ValueError:
        raise ConfigError(f"{setting}: the quotes of the command are not balanced") from None
    if not arguments:
        raise ConfigError(f"{setting}: the command is empty")
    try:
        process = subprocess.Popen(  # noqa: S603  # the user's own command, split and without a shell
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except (OSError, ValueError) as exc:
        reason = (exc.strerror or "error") if isinstance(exc, OSError) else "not a usable command"
        raise ConfigError(f"{setting}: the command cannot be started ({reason})") from None
    try:
        output, code = _collect(process, largest_bytes, time.monotonic() + limit_s)
    except TimeoutError:
        raise ConfigError(f"{setting}: the command did not end within {limit_s:g} s") from None
    finally:
        _end(process)
    if len(output) > largest_bytes:
        raise ConfigError(f"{setting}: the command printed over {largest_bytes} bytes, so no key")
    if code != 0:
        raise ConfigError(f"{setting}: the command ended with code {code}; run it by hand to see why")
    return output


def _collect(
    process: subprocess.Popen[bytes], largest_bytes: int, until: float
) -> tuple[bytes, int | None]:
    """Read to the end of the output or beyond the limit, never waiting past `until`.

    Raises:
        TimeoutError: `until` passed.
    """
    if process.stdout is None:
        raise ValueError("the process was started without a pipe")
    descriptor = process.stdout.fileno()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    output = bytearray()
    while len(output) <= largest_bytes:
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        part = os.read(descriptor, 65536)
        if not part:
            try:
                return bytes(output), process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise TimeoutError from None
        output += part
    return bytes(output), None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the process group, close the pipe, and reap the child."""
    if process.returncode is None:  # once reaped, the number could be another process's
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if process.stdout is not None:
        process.stdout.close()
    process.wait()
