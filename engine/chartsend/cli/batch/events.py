"""What `batch run --json` writes: NDJSON events, one object a line.

The one rule: the last line is always `end`, with the exit code; what comes after a broken pipe is
nowhere, and the exit code says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ..lines import Lines
from ..show import encodable

if TYPE_CHECKING:
    from ...batch.row import RowReceipt
    from ...batch.run import Settled


class Events:
    """Writes events to stdout.

    Args:
        is_on: False for a run without `--json`: then nothing is written.
    """

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on
        self._lines = Lines()

    @property
    def broken(self) -> str | None:
        """Why stdout takes no more events; None while it does."""
        return self._lines.broken

    async def event(self, kind: str, **fields: Any) -> None:
        """Write an event."""
        if self._is_on:
            await self._lines.write(msgspec.json.encode({"event": kind, **fields}))

    async def row(self, settled: Settled) -> None:
        """Write how a row ended: its number, and its receipt as `send --json` has it."""
        if self._is_on:
            receipt = settled.receipt
            receipt = msgspec.structs.replace(receipt, source=encodable(receipt.source))
            await self._lines.write(b'{"event":"row","row":%d,' % settled.row + receipt.to_json()[1:])

    async def settled_unheard(self, receipt: RowReceipt) -> None:
        """Write how a row ended that nobody heard of, from what the ledger knows of it."""
        error = None
        if receipt.error_code is not None:
            error = {"code": receipt.error_code, "message": receipt.error}
        await self.event(
            "row",
            row=receipt.row,
            bytes=receipt.size_bytes,
            sha256=None if receipt.sha256 is None else receipt.sha256.hex(),
            status=receipt.status,
            reference_url=receipt.reference_url,
            log_ids=receipt.log_ids,
            trace_id=receipt.trace_id,
            resource_url=receipt.resource_url,
            attempts=receipt.attempts,
            seconds=receipt.milliseconds / 1000,
            error=error,
        )

    async def aclose(self) -> None:
        """Let the writing thread end; one that hangs is left behind."""
        await self._lines.aclose()
