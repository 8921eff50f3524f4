"""`chartsend delete`: ask a receiver to delete a document that was sent (Data Model Notes and Media).

The one rule: as for `send`, accepted means that Redox took the request; the receiver acts on it later.
"""

from __future__ import annotations

from typing import Any

import click

from ..description import merge
from .describe import description_options, from_options
from .options import Duration, complete_destination
from .progress import say

_EPILOG = """\b
Example:
  chartsend --profile staging delete f8664bda-07fd-597f-afd0-3cb6246635c9 --to memorial-ehr \\
          --model notes --type "Consent Form" --patient 0000991234:MR --provider 9999999995:NPI

\b
The id is the document_id of the receipt. Type, patient and provider are those it was sent with.
"""


@click.command(epilog=_EPILOG)
@click.argument("ident", metavar="ID")
@click.option(
    "--to",
    metavar="DESTINATION",
    required=True,
    shell_complete=complete_destination,
    help="Who has the document.",
)
@click.option(
    "--model", type=click.Choice(["notes", "media"]), required=True, help="As what it was sent."
)
@description_options(leave_out=["--api", "--method", "--model", "--document-id", "--order", "--code"])
@click.option("--title", metavar="NAME", help="File name it was sent with; Media requires it.")
@click.option("--deadline", type=Duration(), default="10m", show_default=True, help="For the request.")
@click.option("--json", "as_json", is_flag=True, help="The receipt as JSON on stdout.")
@click.pass_context
def delete(ctx: click.Context, /, **given: Any) -> None:
    """Ask the receiver to delete the document with this ID."""
    import anyio  # noqa: PLC0415  # help and completion stay fast

    from ..disk.sidecar import read_metadata  # noqa: PLC0415
    from ..document import Document  # noqa: PLC0415
    from ..shape import parse_shape  # noqa: PLC0415
    from .deleting import ask_to_delete  # noqa: PLC0415
    from .destination import say_if_mistyped  # noqa: PLC0415
    from .show import receipt_line  # noqa: PLC0415

    loaded = ctx.obj.load()
    metadata = read_metadata(given["metadata"]) if given["metadata"] else {}
    described = merge(from_options(given["described"]), merge(metadata, loaded.document))
    own = {"document_id": given["ident"]} | ({"title": given["title"]} if given["title"] else {})
    document = parse_shape(Document, {**described, **own})
    say_if_mistyped(given["to"], loaded.settings)
    receipt, code = anyio.run(
        ask_to_delete, loaded.settings, document, given["to"], given["model"], given["deadline"]
    )
    click.echo(receipt.to_json() if given["as_json"] else receipt_line(receipt))
    if receipt.status == "accepted":
        say("Accepted by Redox; the receiver has still to delete it.")
    ctx.exit(code)
