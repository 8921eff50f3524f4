"""`chartsend sandbox`: Redox on this machine, for trying things out and for tests."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..sandbox.options import AccountKind, Preset


class _Quota(click.ParamType[tuple[int, float] | None]):
    """`N/S`: so many requests in so many seconds, or `off`."""

    name = "N/S|off"

    def convert(
        self,
        value: object,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> tuple[int, float] | None:
        text = str(value)
        if text == "off":
            return None
        match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,6}(?:\.[0-9]{1,3})?)", text)
        if match is None or not int(match[1]) or not float(match[2]):
            self.fail("a quota is N/S, such as 10000/300, or off", param, ctx)
        return int(match[1]), float(match[2])


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port on 127.0.0.1; 0: any.")
@click.option(
    "--store",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep what is received in this folder.",
)
@click.option("--quota", type=_Quota(), default="10000/300", help="Requests per seconds, or off.")
@click.option("--account", type=click.Choice(["paid", "free"]), default="paid")
@click.option(
    "--preset",
    type=click.Choice(["documented", "strict", "lenient"]),
    default="documented",
    help="How strictly messages are judged.",
)
@click.option("--latency", type=click.IntRange(0), default=0, metavar="MS", help="Delay answers.")
@click.option("--tls", is_flag=True, help="https with a throw-away certificate authority.")
@click.option("--json", "as_json", is_flag=True, help="One line of JSON on stdout.")
@click.option("--destination", "destinations", multiple=True, hidden=True)
@click.option("--exit-with-stdin", is_flag=True, hidden=True)
@click.option("--legacy", is_flag=True, hidden=True)
@click.option("--token-lifetime", type=click.FloatRange(0), default=300.0, hidden=True)
@click.option("--megabyte", type=click.Choice(["1000000", "1048576"]), default="1000000", hidden=True)
@click.option("--patience", type=click.FloatRange(0.01), default=60.0, hidden=True)
@click.option("--sources", type=click.IntRange(1, 100), default=1, hidden=True)
def sandbox(  # noqa: PLR0913, PLR0917  # one parameter per option
    port: int,
    store: Path | None,
    quota: tuple[int, float] | None,
    account: AccountKind,
    preset: Preset,
    latency: int,
    tls: bool,  # noqa: FBT001  # click passes options by name
    as_json: bool,  # noqa: FBT001
    destinations: tuple[str, ...],
    exit_with_stdin: bool,  # noqa: FBT001
    legacy: bool,  # noqa: FBT001
    token_lifetime: float,
    megabyte: str,
    patience: float,
    sources: int,
) -> None:
    """Run a server that behaves like Redox, on this machine only.

    It prints how to reach it and runs until it is stopped. Unless --store is given, everything it
    received is deleted then.
    """
    from ..sandbox.options import Allowance, Options  # noqa: PLC0415  # only this command needs them
    from ..sandbox.server import StartError, run  # noqa: PLC0415

    options = Options(
        port=port,
        store=store,
        allowance=None if quota is None else Allowance(*quota),
        account=account,
        preset=preset,
        latency_s=latency / 1000,
        tls=tls,
        json=as_json,
        destinations=destinations,
        exit_with_stdin=exit_with_stdin,
        legacy=legacy,
        token_lifetime_s=token_lifetime,
        megabyte_bytes=int(megabyte),
        patience_s=patience,
        sources=sources,
    )
    try:
        run(options)
    except StartError as exc:
        raise click.UsageError(str(exc)) from exc
