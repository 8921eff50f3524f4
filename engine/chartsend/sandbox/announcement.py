"""How a sandbox says that it is there: one line for programs on stdout, or a text for people."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from pathlib import Path

    from .state import Sandbox


def announce(sandbox: Sandbox, profile: Path) -> None:
    """Write what is needed to use the sandbox; with `--json` to stdout, else to stderr."""
    if sandbox.options.json:
        # Whoever started this may have gone already: then its stdin ends too, and so do we.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.buffer.write(orjson.dumps(_facts(sandbox, profile)) + b"\n")
            sys.stdout.buffer.flush()
    else:
        sys.stderr.write(_text(sandbox, profile))
        sys.stderr.flush()


def _facts(sandbox: Sandbox, profile: Path) -> dict[str, str]:
    destination = sandbox.account.main_destination
    return {
        "api_url": sandbox.api_url.geturl(),
        "blob_url": sandbox.blob_url.geturl(),
        "token_url": sandbox.token_url,
        "dashboard_url": sandbox.dashboard_url,
        "admin_token": sandbox.admin_token,
        "destination": destination.slug,
        "destination_id": destination.id,
        "source_id": sandbox.account.sources[0].id,
        "profile": str(profile),
    }


def _text(sandbox: Sandbox, profile: Path) -> str:
    facts = _facts(sandbox, profile)
    end = (
        f"Everything received is kept in {sandbox.store.folder}."
        if sandbox.store.is_kept
        else "Everything received is thrown away when this stops."
    )
    return f"""\
A Redox sandbox is running on this machine. Made-up patients only, please. Ctrl-C stops it.

  API      {facts["api_url"]}
  uploads  {facts["blob_url"]}
  profile  {facts["profile"]}
  log      {facts["dashboard_url"]}?token={facts["admin_token"]}

Try, in another terminal:

  chartsend --profile {facts["profile"]} doctor
  chartsend --profile {facts["profile"]} send FILE.pdf --to {facts["destination"]} \\
      --patient 0000991234:MR --type "Consent Form"

{end}
"""
