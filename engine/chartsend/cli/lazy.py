"""A group of verbs that are imported only when they are called.

The one rule: a verb costs nothing until it is used; until then a line of help stands for it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verb(NamedTuple):
    """Where a verb's command lives, and the line of help that stands for it until it is imported.

    Attributes:
        module: Relative to the package of the group's module, such as `.send`.
        name: Of the command in there.
        summary: One line.
    """

    module: str
    name: str
    summary: str


class LazyGroup(click.Group):
    """A group that knows its verbs' names and summaries without importing them.

    Args:
        verbs: By name, in the order of the help.
        package: What the verbs' modules are relative to.
        **more: As for `click.Group`.
    """

    def __init__(self, *, verbs: Mapping[str, Verb], package: str, **more: Any) -> None:
        super().__init__(**more)
        self._verbs = verbs
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """The verbs' names."""
        return list(self._verbs)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        cmd_name: str,
    ) -> click.Command | None:
        """Import a verb; None when there is none of that name."""
        verb = self._verbs.get(cmd_name)
        if verb is None:
            return None
        module = importlib.import_module(verb.module, self._package)
        command: click.Command = getattr(module, verb.name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb that was meant, or suggest one."""
        is_unknown = args and args[0] not in self._verbs and not args[0].startswith("-")
        if is_unknown and not ctx.resilient_parsing:
            raise click.exceptions.NoSuchCommand(
                args[0], f"There is no verb {args[0]!r}.", possibilities=self._verbs, ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002  # click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """The verbs and their lines."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, verb.summary) for name, verb in self._verbs.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs that begin so, and the group's own options."""
        verbs = [
            CompletionItem(name, help=verb.summary)
            for name, verb in self._verbs.items()
            if name.startswith(incomplete)
        ]
        # The group's own options, without the verbs, which click would import to list them.
        return verbs + click.Command.shell_complete(self, ctx, incomplete)
