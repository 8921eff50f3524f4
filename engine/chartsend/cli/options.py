"""Kinds of values that several verbs take: sizes, durations, destinations.

The one rule: what is wrong is said where it was typed, with an example of what is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from ..errors import ConfigError, TransferError
from ..settings.quantity import parse_duration, parse_size

if TYPE_CHECKING:
    from .asked import Asked


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
