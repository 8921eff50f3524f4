"""What `delete` does: one request, one receipt.

The one rule: as for `send`, whatever happens there is a receipt that says what is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ..document import Receipt
from ..engine import Engine
from ..errors import TransferError
from .exits import Outcome, of_error

if TYPE_CHECKING:
    from ..document import Document
    from ..settings import Settings


async def ask_to_delete(
    settings: Settings,
    document: Document,
    to: str,
    model: Literal["notes", "media"],
    deadline_s: float,
) -> tuple[Receipt, int]:
    """Ask, and give the receipt and the exit code.

    Raises:
        ConfigError: A setting is wrong; nothing was sent.
    """
    async with Engine(settings) as engine:
        try:
            receipt = await engine.delete(document, to=to, model=model, deadline_s=deadline_s)
        except TransferError as exc:
            if not isinstance(exc.receipt, Receipt):
                raise
            return exc.receipt, of_error(exc)
    outcome = Outcome()
    outcome.add(receipt)
    return receipt, outcome.exit_code()
