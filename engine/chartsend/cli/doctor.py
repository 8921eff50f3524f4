"""`chartsend doctor`: is this set up right? Without sending a document.

The one rule: every line says what to do, and the exit code says whether sending can work.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import click

from .exits import ACCEPTED, FATAL, USAGE
from .options import complete_destination

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..settings.load import Loaded
    from .checks import Check

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red", "skip": "bright_black"}

_EPILOG = """\b
Examples:
  chartsend --profile staging doctor
  chartsend --profile staging doctor --to memorial-ehr --offline

\b
Exit codes: 0 sending can work, 2 a setting is missing or wrong or a host cannot be reached,
7 Redox or its certificate was refused.
"""


@click.command(epilog=_EPILOG)
@click.option(
    "--to",
    metavar="DESTINATION",
    shell_complete=complete_destination,
    help="Check this destination, not all of the profile.",
)
@click.option("--offline", is_flag=True, help="Nothing that needs the network.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.pass_context
def doctor(ctx: click.Context, to: str | None, offline: bool, as_json: bool) -> None:  # noqa: FBT001
    """Check the set-up: settings, key, clock, limits, hosts, and a real token. Sends no document."""
    import anyio  # noqa: PLC0415  # help and completion stay fast

    from .checks import Check, local_checks  # noqa: PLC0415

    loaded: Loaded = ctx.obj.load()
    checks: list[Check] = []

    def note(check: Check) -> None:
        checks.append(check)
        if not as_json:
            status = click.style(f"{check.status:<4}", fg=_COLOURS[check.status])
            click.echo(f"{status}  {check.name:<14}  {check.text}")

    for check in local_checks(loaded, to):
        note(check)
    can_ask = not any(check.status == "fail" and check.name == "credentials" for check in checks)
    if offline:
        note(Check("network", "skip", "--offline"))
    elif can_ask:
        anyio.run(_ask_network, loaded, note)
    else:
        note(Check("network", "skip", "mend the credentials first"))
    codes = {check.exit_code for check in checks if check.status == "fail"}
    code = FATAL if FATAL in codes else USAGE if codes else ACCEPTED
    if as_json:
        listed = [{"name": c.name, "status": c.status, "text": c.text} for c in checks]
        click.echo(json.dumps({"ok": code == ACCEPTED, "checks": listed}, indent=2))
    ctx.exit(code)


async def _ask_network(loaded: Loaded, note: Callable[[Check], None]) -> None:
    from .reach import network_checks  # noqa: PLC0415

    async for check in network_checks(loaded.settings):
        note(check)
