"""What the answer about a row in doubt proves: that its message arrived, or only that its id is there.

The one rule: a row is `done` by a query only when the document that was found cannot be an earlier one:
a corrected file goes under the id of the one before, and nobody may be told that it arrived by that.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from ..aio import Lane
from ..errors import InsecureConfigError, LedgerError
from ..redox.search import Presence
from ..redox.traces import SentMessage, Tie, tie
from .earlier import EarlierLedgers

if TYPE_CHECKING:
    from ..document import Receipt
    from ..redox.search import Finding
    from .checking import Wanted
    from .ledger import Ledger
    from .row import Claimed, RowReceipt


def sent_now(claimed: Claimed, wanted: Wanted, receipt: Receipt) -> SentMessage:
    """The message of a row that has just been given up waiting for.

    Args:
        claimed: The row with the time of that message.
        wanted: What it asks for.
        receipt: What the engine knows of the send.
    """
    return SentMessage(
        at=_moment(claimed.message_ms),
        shows_time=wanted.document.documented_at is None,
        reference_url=receipt.reference_url,
        size_bytes=receipt.bytes,
        sha256=receipt.sha256,
    )


def sent_then(claimed: Claimed, wanted: Wanted, receipt: RowReceipt | None) -> SentMessage:
    """The message of a row in doubt, as the ledger knows it."""
    return SentMessage(
        at=_moment(claimed.message_ms),
        shows_time=wanted.document.documented_at is None,
        reference_url=claimed.reference_url,
        size_bytes=None if receipt is None else receipt.size_bytes,
        sha256=None if claimed.sha256 is None else claimed.sha256.hex(),
    )


async def proved(finding: Finding, sent: SentMessage, claimed: Claimed, ledger: Ledger) -> Presence:
    """What a finding says of a row: `FOUND` only if its own message brought the document.

    Where a destination shows nothing that tells, the id is enough, unless another ledger of this
    user has sent it too, or cannot say. What was sent without a ledger is not known here.

    Args:
        finding: What the destination said.
        sent: What was sent.
        claimed: The row.
        ledger: Its ledger.
    """
    if finding.presence is not Presence.FOUND:
        return finding.presence
    tied = tie(finding.traces, sent)
    if tied is Tie.OURS:
        return Presence.FOUND
    if tied is Tie.OTHERS or await _is_sent_elsewhere(claimed.identity, ledger):
        return Presence.UNCLEAR
    return Presence.FOUND


async def _is_sent_elsewhere(identity: bytes, ledger: Ledger) -> bool:
    """Whether another ledger of this user has sent a document, or may have; True if one cannot say."""
    lane = Lane(threads=1, name="chartsend-arrival")
    try:
        return await EarlierLedgers(ledger, lane=lane).have_sent(identity)
    except (LedgerError, InsecureConfigError):
        return True
    finally:
        await lane.aclose()


def _moment(unix_ms: int | None) -> dt.datetime | None:
    """A time of the ledger, which has 0 where there was none."""
    return dt.datetime.fromtimestamp(unix_ms / 1000, dt.UTC) if unix_ms else None
