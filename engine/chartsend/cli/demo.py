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
    from collections.abc import Generator, Mapping, Sequence


@contextlib.contextmanager
def private_sandbox(names: Sequence[str], overrides: Mapping[str, object]) -> Generator[Loaded]:
    """Settings that lead to a sandbox in a process of its own; it ends with the block.

    Args:
        names: Of the destinations that it shall have.
        overrides: As for `load_settings`.

    Raises:
        ConfigError: One of them can be no destination's name.
    """
    from ..testing.sandbox import SandboxError, SandboxProcess  # noqa: PLC0415  # only here

    usual = Settings()
    named = [word for name in names for word in ("--destination", usual.destination(name).name)]
    try:
        # Its clients do not pace themselves, so a limit here would only meet many files.
        process = SandboxProcess.start("--quota", "off", *named)
    except SandboxError as exc:
        raise click.ClickException(f"the private sandbox did not start: {exc}") from None
    with process:
        known = {
            each["slug"]: {"slug": each["slug"], "id": each["id"]}
            for each in process.accounts()["destinations"]
        }
        given = {**overrides, "destinations": known}
        yield load_settings(str(process.info.profile), given, use_environment=False)
