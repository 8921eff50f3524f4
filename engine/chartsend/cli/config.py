"""`chartsend config show`: every setting in force, and where it comes from.

The one rule: a secret is shown as masked, whatever else goes wrong; names and places are shown.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..settings.load import Loaded

MASKED: Final = frozenset({"auth.api_key", "auth.key_command"})
"""`key_command` is a command line: it may hold a vault's token."""
MASK: Final = "********"


@click.group()
def config() -> None:
    """Settings: what is in force."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@click.pass_context
def show(ctx: click.Context, as_json: bool, changed: bool) -> None:  # noqa: FBT001  # click
    """Show every setting with its value and its origin.

    Later ones win: defaults, the profile, CHARTSEND_... variables, options.
    """
    loaded: Loaded = ctx.obj.load()
    rows = [row for row in _rows(loaded) if not changed or row[2] != "default"]
    if as_json:
        settings = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        document = json.loads(json.dumps(loaded.document, default=str))
        click.echo(json.dumps({"settings": settings, "document": document}, indent=2))
        return
    width = max((len(f"{name} = {_text(value)}") for name, value, _ in rows), default=0)
    for name, value, origin in rows:
        click.echo(f"{f'{name} = {_text(value)}':<{min(width, 56)}}  # {origin}")
    if loaded.document:
        click.echo(f"[document] has defaults for: {', '.join(sorted(loaded.document))}")


def _rows(loaded: Loaded) -> Iterator[tuple[str, Any, str]]:
    """Name, value and origin of every setting, in the order of the settings, secrets masked."""
    settings = loaded.settings
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name == "destinations":
            continue
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            for inner in dataclasses.fields(value):
                name = f"{field.name}.{inner.name}"
                yield name, _masked(name, getattr(value, inner.name)), loaded.origins[name]
        else:
            yield field.name, _masked(field.name, value), loaded.origins[field.name]
    for name, destination in settings.destinations.items():
        for inner in dataclasses.fields(destination):
            dotted = f"destinations.{name}.{inner.name}"
            if inner.name != "name":
                value = getattr(destination, inner.name)
                yield dotted, value, loaded.origins.get(dotted, "default")


def _masked(name: str, value: Any) -> Any:
    return MASK if name in MASKED and value is not None else value


def _text(value: Any) -> str:
    """A value as TOML would spell it; `(not set)` for what TOML cannot."""
    if value is None:
        return "(not set)"
    return json.dumps(value, ensure_ascii=False)
