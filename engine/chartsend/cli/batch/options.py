"""The options that `batch plan` and `batch run` have in common: all of them.

The one rule: a plan becomes a run by changing one word, so neither has an option that the other lacks,
except those that say how to show it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from ...errors import ConfigError
from ...settings.quantity import parse_duration
from ..describe import description_options
from ..options import Duration, Size, complete_destination, workers_option

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

LONGEST_GIVE_UP_S: Final = 60 * 24 * 3600.0
"""60 days, as long as Redox keeps what it was sent."""


class _GiveUpAfter(click.ParamType[float]):
    """Seconds, such as `24h`; 0 for no second try after the first ones in a row."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            seconds = parse_duration(value)
        except ConfigError as exc:
            self.fail(exc.message, param, ctx)
        if seconds > LONGEST_GIVE_UP_S:
            self.fail("rows are tried for at most 60 days (1440h)", param, ctx)
        return seconds


_OPTIONS: Final = (
    click.argument("manifest", metavar="MANIFEST", type=click.Path(path_type=Path)),
    click.option(
        "--to",
        metavar="DESTINATION",
        shell_complete=complete_destination,
        help="A destination of the profile, or a slug or id, for rows that name none.",
    ),
    description_options(leave_out=("--document-id",)),
    click.option("--note-text/--no-note-text", default=None, help="Text files as searchable Notes."),
    click.option(
        "--ledger",
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where what became of every row is kept.  [default: MANIFEST.chartsend]",
    ),
    click.option(
        "--root",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="Folder of the rows' paths, which none may leave.  [default: the manifest's]",
    ),
    click.option(
        "--format",
        "form",
        type=click.Choice(["jsonl", "csv"]),
        help="Of the manifest.  [default: by its name]",
    ),
    click.option(
        "--pattern",
        metavar="PATTERN",
        help="MANIFEST is a folder: what its files' names say, such as '{mrn}_{type}_{id}.pdf'.",
    ),
    click.option(
        "--concurrency",
        type=click.IntRange(1, 4096),
        metavar="N",
        help="Sends at a time.  [default: 16]",
    ),
    workers_option,
    click.option("--deadline", type=Duration(), default="1h", show_default=True, help="For each row."),
    click.option("--embed-up-to", type=Size(), help="Embed up to this size.  [default: 200KB]"),
    click.option(
        "--on-unknown",
        type=click.Choice(["hold", "verify", "resend"]),
        default="hold",
        show_default=True,
        help="A message whose outcome is unknown: hold the row for a person, ask the destination,"
        " or send the same once more.",
    ),
    click.option(
        "--give-up-after",
        type=_GiveUpAfter(),
        default="24h",
        show_default=True,
        help="How long a row that was provably not taken is tried again.",
    ),
    click.option(
        "--canaries",
        type=click.IntRange(0, 1000),
        default=3,
        metavar="N",
        show_default=True,
        help="Rows of each destination and type that must be accepted before more go.",
    ),
    click.option(
        "--send-again", is_flag=True, help="Also what an earlier batch of yours has sent already."
    ),
    click.option(
        "--retry-failed", is_flag=True, help="Look again at rows that failed or were rejected."
    ),
    click.option("--sandbox", is_flag=True, help="A trial: a private sandbox, a ledger that goes away."),
)


def batch_options(command: F) -> F:
    """Give a click command the manifest and every option above, for `Given`."""
    wrapped: Any = command
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    result: F = wrapped
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The options, as click gives them."""

    manifest: Path
    to: str | None
    described: dict[str, Any]
    api: Any
    method: Any
    model: Any
    metadata: str | None
    note_text: bool | None
    ledger: Path | None
    root: str | None
    form: Literal["jsonl", "csv"] | None
    pattern: str | None
    concurrency: int | None
    workers: int
    deadline: float
    embed_up_to: int | None
    on_unknown: Literal["hold", "verify", "resend"]
    give_up_after: float
    canaries: int
    send_again: bool
    retry_failed: bool
    sandbox: bool
    as_json: bool
