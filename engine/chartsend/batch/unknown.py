"""What becomes of a message whose outcome is unknown: `--on-unknown hold|verify|resend`.

The one rule: nothing is sent a second time unless that was asked for, the ledger has listed it as a
possible duplicate first, and the message is the same to the byte.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from ..document import Receipt
from ..errors import LedgerError, TransferError
from ..redox.search import Presence
from .journal import now_ms

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine import Engine
    from .checking import Wanted
    from .ledger import Ledger
    from .options import OnUnknown
    from .row import Claimed

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

    async def decide(self, claimed: Claimed, wanted: Wanted, error: TransferError) -> Receipt | Claimed:
        """What becomes of a row that is `IN_DOUBT` in the ledger.

        Returns:
            Its receipt when it stays in doubt or was found, or the row, claimed, to send again.
        """
        known = error.receipt
        assert isinstance(known, Receipt)  # noqa: S101  # the engine gives every failure one
        if self._policy == "hold" or claimed.maybe_duplicate >= MOST_RESENDS:
            return known
        await anyio.sleep(1 + (WAIT_S - 1) * self._draw())
        if self._policy == "verify":
            found = await self._find(wanted)
            if found is Presence.FOUND:
                await self._ledger.sent(claimed.row, decided_by="query", now_ms=now_ms())
                return msgspec.structs.replace(known, status="accepted", error=None)
            if found is not Presence.ABSENT:
                return known
        again = await self._ledger.send_again(claimed.row, self._owner, now_ms=now_ms())
        return known if again is None else again

    async def decide_later(self, claimed: Claimed, wanted: Wanted) -> None:
        """Decide about a row that an earlier run left in doubt; one to send again waits for its claim.

        Raises:
            LedgerError: The ledger failed.
        """
        if self._policy == "hold" or claimed.maybe_duplicate >= MOST_RESENDS:
            return
        if self._policy == "verify":
            found = await self._find(wanted)
            if found is Presence.FOUND:
                await self._ledger.sent(claimed.row, decided_by="query", now_ms=now_ms())
            if found is not Presence.ABSENT:
                return
        await self._ledger.send_again(claimed.row, None, now_ms=now_ms())

    async def _find(self, wanted: Wanted) -> Presence:
        try:
            return await self._engine.find(
                wanted.ask.document_id, to=wanted.to, api=wanted.ask.api, model=wanted.ask.model
            )
        except LedgerError:
            raise
        except TransferError:
            return Presence.UNCLEAR  # no clear answer is no answer
