"""Kinds of values that several verbs take: sizes, durations, destinations.

The one rule: what is wrong is said where it was typed, with an example of what is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ..errors import ConfigError, TransferError
from ..settings.quantity import parse_duration, parse_size
from ..workers.count import MOST

if TYPE_CHECKING:
    from collections.abc import Callable

    from .asked import Asked

F = TypeVar("F", bound="Callable[..., Any]")


class Size(click.ParamType[int]):
    """Bytes, such as `200KB`."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes."""
        try:
            return parse_size(value)
        except ConfigError as exc:
            self.fail(exc.message, param, ctx)


class Duration(click.ParamType[float]):
    """Seconds, such as `10m`."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        try:
            seconds = parse_duration(value)
        except ConfigError as exc:
            self.fail(exc.message, param, ctx)
        if not 0 < seconds <= 7 * 24 * 3600:
            self.fail("a deadline is more than 0 and at most 7 days", param, ctx)
        return seconds


class Workers(click.ParamType[int]):
    """A number of processes; `auto` is 0."""

    name = "N"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or 0."""
        if value == 0 or str(value).lower() == "auto":
            return 0
        if not str(value).isdecimal() or not 1 <= int(value) <= MOST:
            self.fail(f"workers is auto, or 1 to {MOST}", param, ctx)
        return int(value)


def workers_option(command: F) -> F:
    """Give a click command `--workers`."""
    return click.option(
        "--workers",
        type=Workers(),
        metavar="auto|N",
        default="auto",
        show_default=True,
        help="Processes to send from; auto starts several where the job and the quota are worth it.",
    )(command)


def complete_destination(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001  # click's signature
    incomplete: str,
) -> list[CompletionItem]:
    """The destinations of the profile in force that begin so."""
    from ..settings.load import load_settings  # noqa: PLC0415  # completion only

    asked: Asked | None = ctx.obj
    profile = asked.profile if asked else ctx.find_root().params.get("profile")
    try:
        names = load_settings(profile, {}).settings.destinations
    except TransferError:
        return []
    return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]
