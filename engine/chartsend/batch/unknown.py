"""What becomes of a message whose outcome is unknown: `--on-unknown hold|verify|resend`.

The one rule: nothing is sent a second time unless that was asked for, the ledger has listed it as a
possible duplicate first, and the message is the same to the byte. What is not there yet is not missing
before it has had the time to arrive, and what is there need not be this message (`arrival.py`).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from ..document import Receipt
from ..errors import LedgerError, TransferError
from ..redox.search import Presence
from . import asking
from .arrival import proved, sent_now, sent_then
from .journal import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine import Engine
    from ..redox.traces import SentMessage
    from .checking import Wanted
    from .ledger import Ledger
    from .options import OnUnknown
    from .row import Claimed, RowReceipt

MOST_RESENDS: Final = 2
WAIT_S: Final = 5.0
"""Before a query or a second send, drawn from the first to this many: the receiver may be busy."""


class Unknown:
    """Decides about rows in doubt, as the operator chose.

    Args:
        policy: `hold`, `verify` or `resend`.
        engine: Asks and sends.
        ledger: Lists a possible duplicate before it can become one.
        owner: Whose rows these are.
        draw: Draws from [0, 1); replaced in tests.

    Attributes:
        only_holds: Whether nothing is decided here.
        ask_again_ms: When the first row that was not there yet has had the time to arrive, Unix
            milliseconds; None while there is none. Who asks then sets it to None first.
    """

    def __init__(
        self,
        policy: OnUnknown,
        engine: Engine,
        ledger: Ledger,
        owner: str,
        *,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self.only_holds = policy == "hold"
        self._engine = engine
        self._ledger = ledger
        self._owner = owner
        self._draw = draw
        self.ask_again_ms: int | None = None

    @property
    def asks_again_in_s(self) -> float | None:
        """Seconds until a row that was not there yet is asked about again; None when none is."""
        return None if self.ask_again_ms is None else max(0.0, (self.ask_again_ms - now_ms()) / 1000)

    @property
    def is_due(self) -> bool:
        """Whether that is now."""
        return self.asks_again_in_s == 0

    async def decide(self, claimed: Claimed, wanted: Wanted, error: TransferError) -> Receipt | Claimed:
        """What becomes of a row that is `IN_DOUBT` in the ledger.

        Args:
            claimed: The row with the time of its message.
            wanted: What it asks for.
            error: How its send ended.

        Returns:
            Its receipt when it stays in doubt or was found, or the row, claimed, to send again.
        """
        known = error.receipt
        assert isinstance(known, Receipt)  # noqa: S101  # the engine gives every failure one
        if not self._has_a_say(claimed):
            return known
        sent_ms = now_ms()
        sent = sent_now(claimed, wanted, known)
        await anyio.sleep(1 + (WAIT_S - 1) * self._draw())
        if self._policy == "verify":
            found = await self._find(claimed, wanted, sent, sent_ms)
            if found is Presence.FOUND:
                await self._ledger.sent(claimed.row, decided_by="query", now_ms=now_ms())
                return msgspec.structs.replace(known, status="accepted", error=None)
            if found is not Presence.ABSENT or claimed.maybe_duplicate >= MOST_RESENDS:
                return known
        again = await self._ledger.send_again(claimed.row, self._owner, now_ms=now_ms())
        return known if again is None else again

    async def decide_later(self, claimed: Claimed, wanted: Wanted, receipt: RowReceipt | None) -> None:
        """Decide about a row that was left in doubt; one to send again waits for its claim.

        Args:
            claimed: The row; nobody works on it.
            wanted: What it asks for.
            receipt: What put it in doubt, when its message was given up waiting for.

        Raises:
            LedgerError: The ledger failed.
        """
        if not self._has_a_say(claimed):
            return
        if self._policy == "verify":
            sent_ms = 0 if receipt is None else receipt.at_ms
            found = await self._find(claimed, wanted, sent_then(claimed, wanted, receipt), sent_ms)
            if found is Presence.FOUND:
                await self._ledger.sent(claimed.row, decided_by="query", now_ms=now_ms())
            if found is not Presence.ABSENT or claimed.maybe_duplicate >= MOST_RESENDS:
                return
        await self._ledger.send_again(claimed.row, None, now_ms=now_ms())

    def _has_a_say(self, claimed: Claimed) -> bool:
        """Whether the policy can decide about a row; a question does no harm, at any time."""
        if self._policy == "resend":
            return claimed.maybe_duplicate < MOST_RESENDS
        return self._policy == "verify"

    async def _find(self, claimed: Claimed, wanted: Wanted, sent: SentMessage, sent_ms: int) -> Presence:
        """What the destination proves; `ABSENT` only when that is a reason to send again."""
        try:
            finding = await self._engine.trace(
                wanted.ask.document_id, to=wanted.to, api=wanted.ask.api, model=wanted.ask.model
            )
        except LedgerError:
            raise
        except TransferError:
            return Presence.UNCLEAR  # no clear answer is no answer
        found = await proved(finding, sent, claimed, self._ledger)
        may_arrive_until_ms = sent_ms + round(asking.LEAST_AGE_S * 1000)
        if found is Presence.ABSENT and now_ms() < may_arrive_until_ms:
            self.ask_again_ms = min(self.ask_again_ms or may_arrive_until_ms, may_arrive_until_ms)
            return Presence.UNCLEAR
        return found
