"""The command `chartsend`: global options, and verbs that are imported only when they are called.

The one rule: a verb costs nothing until it is used. `chartsend --help` imports click and these
lines only, no aiohttp, no rich, no engine (a test counts them), and answers in about 0.1 s.
"""

from __future__ import annotations

import sys
from typing import Final

import click
from click.shell_completion import CompletionItem

from ..errors import TransferError
from .asked import Asked
from .crash import guard
from .exits import INTERRUPTED, MEANINGS, of_error
from .lazy import LazyGroup, Verb
from .logs import LEVELS, start_logging

VERBS: Final = {
    "send": Verb(".send", "send", "Send files and folders now."),
    "batch": Verb(".batch", "batch", "Send the rows of a manifest: durable, resumable, accounted for."),
    "delete": Verb(".delete", "delete", "Delete a document that was sent (Data Model)."),
    "sandbox": Verb(".sandbox", "sandbox", "Run Redox on this machine, to try everything out."),
    "doctor": Verb(".doctor", "doctor", "Check that everything is set up right."),
    "config": Verb(".config", "config", "Show the settings in force and where they come from."),
    "key": Verb(".key", "key", "Make a key pair for Redox."),
}

_EPILOG: Final = """\b
Examples:
  chartsend send consent.pdf --to memorial-ehr --sandbox
      try it: a private sandbox, a made-up patient, nothing leaves this machine
  chartsend --profile staging send scans/ --to memorial-ehr \\
          --patient 0000991234:MR --type "Consent Form"
      every file of a folder, for one patient
  chartsend --profile staging batch run tonight.jsonl --to memorial-ehr
      many documents, overnight; run it again and it goes on
  chartsend --profile staging doctor
      is this set up right?

\b
A profile NAME is a table in ~/.config/chartsend/config.toml; a value with a / or ending
in .toml is a file. CHARTSEND_... variables come after the profile, options after both.

\b
Completion for bash (zsh and fish alike), in ~/.bashrc:
  eval "$(_CHARTSEND_COMPLETE=bash_source chartsend)"

\b
Exit codes:
"""


def _exit_codes() -> str:
    return "\n".join(f"  {code:>3}  {meaning}" for code, meaning in MEANINGS.items())


def _complete_profile(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    from ..settings.profile import profile_names  # noqa: PLC0415  # completion only

    try:
        names = profile_names()
    except TransferError:
        names = []
    named = [CompletionItem(name) for name in names if name.startswith(incomplete)]
    return named or [CompletionItem(incomplete, type="file")]


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__package__,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG + _exit_codes(),
    subcommand_metavar="VERB ...",
)
@click.option(
    "--profile",
    metavar="NAME|FILE",
    shell_complete=_complete_profile,
    help="Where the settings stand (or CHARTSEND_PROFILE).",
)
@click.option(
    "--environment",
    type=click.Choice(["Development", "Staging", "Production"]),
    help="Redox's environment flag; there is no default.",
)
@click.option("--source-id", metavar="ID", help="Id of the Redox source that sends.")
@click.option(
    "--log-level",
    type=click.Choice(LEVELS, case_sensitive=False),
    default="warning",
    show_default=True,
    help="How much is logged, on stderr.",
)
@click.version_option(package_name="chartsend", message="%(prog)s %(version)s")
@click.pass_context
def chartsend(
    ctx: click.Context,
    profile: str | None,
    environment: str | None,
    source_id: str | None,
    log_level: str,
) -> None:
    """Send clinical files (documents, photos, scans, results) into patients' charts through Redox.

    Files stream from disk, 30 MB or 30 bytes alike; each is sent once, or you are told so.
    """
    start_logging(log_level)
    ctx.obj = Asked(profile, environment, source_id, log_level)


def run() -> None:
    """Run the command and leave with its exit code (see `exits.py`)."""
    with guard():
        sys.exit(_run())


def _run() -> int:
    try:
        result = chartsend.main(prog_name="chartsend", standalone_mode=False)
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except click.Abort:
        return INTERRUPTED
    except TransferError as exc:
        click.echo(f"chartsend: {exc.message}", err=True)
        return of_error(exc)
    return result if isinstance(result, int) else 0
