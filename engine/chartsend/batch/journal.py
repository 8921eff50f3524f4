"""The engine's journal, kept in the ledger: intents before the last chunk, then outcomes.

The one rule: what the engine tells of a row is durable before the step it tells of happens. What
becomes of a row that was provably not applied is not a fact but a policy, and left to `run.py`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import msgspec

from ..errors import LedgerError
from .row import ROUTES, Route, RowReceipt

if TYPE_CHECKING:
    from ..document import Receipt
    from ..errors import TransferError
    from ..ports import Intent, Uploaded
    from .ledger import Ledger
    from .row import Claimed

HASH_BYTES: Final = 16
_ROUTE_NUMBERS: Final = {route: number for number, route in enumerate(ROUTES)}


def now_ms() -> int:
    """Unix milliseconds: the ledger outlives this machine's uptime."""
    return time.time_ns() // 1_000_000


def ledger_error_of(error: TransferError) -> LedgerError | None:
    """The ledger's own error, if it is that, or the cause of a doubt: it ends the run as it is."""
    found = error if isinstance(error, LedgerError) else error.__cause__
    return found if isinstance(found, LedgerError) else None


class LedgerJournal:
    """Tells the ledger what the engine tells it. Implements `ports.Journal`, and `NotAppliedJournal`.

    Args:
        ledger: Where it is kept.
        owner: Whose rows these are.
    """

    def __init__(self, ledger: Ledger, owner: str) -> None:
        self._ledger = ledger
        self._owner = owner
        self._begun: dict[int, Claimed] = {}
        self._changed: set[int] = set()
        self._sha256: dict[int, bytes | None] = {}
        self._uploading: set[int] = set()
        self._may_be_applied: set[int] = set()

    def begin(self, claimed: Claimed, *, has_changed: bool) -> None:
        """A row is about to be sent; pair with `end`.

        Args:
            claimed: The row.
            has_changed: Whether its file is not the one that was planned.
        """
        self._begun[claimed.row] = claimed
        if has_changed:
            self._changed.add(claimed.row)

    def begun(self, row: int) -> Claimed:
        """A row that was begun, with the time of its last message, if one was about to become whole."""
        return self._begun[row]

    def may_have_uploaded(self, row: int) -> bool:
        """Whether its file may be whole at the server without a reference that is known here."""
        return row in self._uploading

    def end(self, row: int) -> None:
        """Nothing more will be told of a row."""
        self._begun.pop(row, None)
        self._changed.discard(row)
        self._sha256.pop(row, None)
        self._uploading.discard(row)
        self._may_be_applied.discard(row)

    def can_give_back(self, row: int) -> bool:
        """Whether the row is ours, and provably not applied.

        A message that was allowed to become whole may be in the chart, unless it was told that it is
        not: of one whose outcome was never told the next run makes a doubt.
        """
        return row not in self._may_be_applied

    def not_applied(self, row: str | None) -> None:
        """See `ports.NotAppliedJournal`."""
        self._may_be_applied.discard(int(row or 0))

    async def intent(self, intent: Intent) -> None:
        """See `ports.Journal`.

        Raises:
            LedgerError: The intent is not durable, or the row is no longer ours.
            SourceChangedError: The message would differ from the one of unknown outcome.
        """
        row = int(intent.row or 0)
        claimed = self._begun[row]
        attempts = claimed.attempts + intent.attempt
        self._may_be_applied.discard(row)  # refused, or this were no new attempt
        sha256 = None if intent.sha256 is None else bytes.fromhex(intent.sha256)
        if intent.step == "upload":
            self._sha256[row] = sha256
            self._uploading.add(row)
            if intent.raw_bytes != claimed.size_bytes:
                self._changed.add(row)
            await self._ledger.uploading(row, self._owner, attempts=attempts)
            return
        message = (intent.message_sha256 or "").encode()
        at = intent.message_at
        message_ms = 0 if at is None else round(at.timestamp() * 1000)
        embeds = intent.reference_url is None
        is_left = embeds and claimed.reference_url is not None  # the upload of before
        earlier_sha256 = None if is_left else claimed.sha256
        await self._ledger.referencing(
            row,
            self._owner,
            attempts=attempts,
            sha256=sha256 or self._sha256.get(row) or earlier_sha256,
            message_hash=self._ledger.keyed(b"message", message, size_bytes=HASH_BYTES),
            message_ms=message_ms,
            embeds=embeds,
        )
        self._begun[row] = msgspec.structs.replace(claimed, message_ms=message_ms)
        self._may_be_applied.add(row)

    async def uploaded(self, uploaded: Uploaded) -> None:
        """See `ports.Journal`."""
        row = int(uploaded.row or 0)
        self._uploading.discard(row)
        await self._ledger.uploaded(
            row,
            self._owner,
            reference_url=uploaded.reference_url,
            source_id=uploaded.source_id,
            sha256=self._sha256.get(row),
            now_ms=0 if row in self._changed else now_ms(),
        )

    async def result(self, row: str | None, receipt: Receipt) -> None:
        """See `ports.Journal`. Accepted and in doubt are facts; a failure is `run.py`'s to judge."""
        number = int(row or 0)
        if receipt.status == "failed":
            self._may_be_applied.discard(number)
            return
        await self._ledger.settle(self.receipt(self._begun[number], receipt), self._owner)
        self._may_be_applied.add(number)

    def receipt(self, claimed: Claimed, receipt: Receipt) -> RowReceipt:
        """An engine's receipt as the ledger keeps it: without names and ids of documents."""
        method, error = receipt.method, receipt.error
        return RowReceipt(
            row=claimed.row,
            status=receipt.status,
            at_ms=now_ms(),
            route=-1 if method is None else _ROUTE_NUMBERS[Route(method, receipt.model)],
            size_bytes=receipt.bytes,
            milliseconds=round(receipt.seconds * 1000),
            attempts=claimed.attempts + receipt.attempts,
            sha256=None if receipt.sha256 is None else bytes.fromhex(receipt.sha256),
            reference_url=receipt.reference_url,
            trace_id=receipt.trace_id,
            log_ids=receipt.log_ids,
            resource_url=receipt.resource_url,
            error_code=None if error is None else error.code,
            error=None if error is None else error.message,
            maybe_duplicate=claimed.maybe_duplicate,
        )
