"""`--sandbox`: a private sandbox for one run, whatever the name of the destination.

The one rule: nothing of the user's real settings reaches it, and nothing leaves this machine: the
sandbox's own profile is the only one that is read, without the environment.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from ..settings import Settings
from ..settings.load import Loaded, load_settings

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping


@contextlib.contextmanager
def private_sandbox(to: str, overrides: Mapping[str, object]) -> Generator[Loaded]:
    """Settings that lead to a sandbox in a process of its own; it ends with the block.

    Args:
        to: Name of a destination that it shall have.
        overrides: As for `load_settings`.

    Raises:
        ConfigError: `to` can be no destination's name.
    """
    from ..testing.sandbox import SandboxError, SandboxProcess  # noqa: PLC0415  # only here

    Settings().destination(to)
    try:
        # Its clients do not pace themselves, so a limit here would only meet a large folder.
        process = SandboxProcess.start("--quota", "off", "--destination", to)
    except SandboxError as exc:
        raise click.ClickException(f"the private sandbox did not start: {exc}") from None
    with process:
        yield load_settings(str(process.info.profile), overrides, use_environment=False)
