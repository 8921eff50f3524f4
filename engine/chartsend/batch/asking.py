"""Asks destinations whether they have the documents of rows in doubt.

The one rule: an answer about another document would be worse than none, so a row is asked about only
when its line, its destination and its document's id are proved to be those that were planned; and what
an earlier message brought under the same id is another document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import (
    AuthRejectedError,
    ClockSkewError,
    ConfigError,
    LedgerError,
    TlsError,
    TransferError,
)
from ..redox.search import Presence
from .arrival import proved, sent_then
from .checking import Checker
from .journal import now_ms
from .manifest.entry import Position
from .options import BatchOptions
from .row import ROUTES

if TYPE_CHECKING:
    from ..document import Model
    from ..engine import Engine
    from ..settings import Settings
    from .checking import Wanted
    from .ledger import Ledger
    from .manifest.reading import Manifest
    from .row import Claimed, RowReceipt

LEAST_AGE_S: Final = 300.0
"""Redox takes a message before it delivers it: what is not there sooner may still arrive."""

UNTOLD: Final = "the manifest or the profile does not say any more which document it is"
EARLY: Final = "it is not there yet, and was sent too recently for that to mean something"
UNCLEAR: Final = "the destination gave no clear answer, or cannot be asked"
UNPROVED: Final = "a document with its id is there, but it may be one that was sent earlier"


class Answer(NamedTuple):
    """What a destination said.

    Attributes:
        presence: `ABSENT` only when that is a reason to send again.
        why: Why it is unclear; empty otherwise.
    """

    presence: Presence
    why: str = ""


class Asker:
    """Asks about rows, one at a time or many.

    Args:
        engine: Open.
        settings: The engine's.
        manifest: Open; read again for each row.
        ledger: The rows', open for writing.
        to: Name of the destination of rows that have none of their own; None when it is not known.
        least_age_s: How long ago a message must have been sent for its absence to mean something.
    """

    def __init__(  # put together once
        self,
        engine: Engine,
        settings: Settings,
        manifest: Manifest,
        ledger: Ledger,
        *,
        to: str | None,
        least_age_s: float = LEAST_AGE_S,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._manifest = manifest
        self._ledger = ledger
        self._to = to
        self._least_age_s = least_age_s
        self._checkers: dict[Model, Checker] = {}

    async def ask(self, claimed: Claimed, receipt: RowReceipt | None) -> Answer:
        """Ask about one row.

        Args:
            claimed: The row, in doubt.
            receipt: What put it in doubt.

        Raises:
            TransferError: The credentials or a setting were refused: no row can be asked about.
            LedgerError: As it says.
        """
        wanted = self._wanted(claimed)
        if wanted is None:
            return Answer(Presence.UNCLEAR, UNTOLD)
        try:
            finding = await self._engine.trace(
                wanted.ask.document_id, to=wanted.to, api=wanted.asking.api, model=wanted.asking.model
            )
        except (AuthRejectedError, ClockSkewError, ConfigError, LedgerError, TlsError):
            raise
        except TransferError:
            return Answer(Presence.UNCLEAR, UNCLEAR)
        found = await proved(finding, sent_then(claimed, wanted, receipt), claimed, self._ledger)
        sent_ms = 0 if receipt is None else receipt.at_ms
        if found is Presence.ABSENT and now_ms() - sent_ms < self._least_age_s * 1000:
            return Answer(Presence.UNCLEAR, EARLY)
        if found is not Presence.UNCLEAR:
            return Answer(found)
        return Answer(found, UNPROVED if finding.presence is Presence.FOUND else UNCLEAR)

    def _wanted(self, claimed: Claimed) -> Wanted | None:
        """What the row asked for, if that is provably what was planned."""
        model = ROUTES[claimed.route].model
        checker = self._checkers.get(model)
        if checker is None:
            checker = self._checkers[model] = Checker(
                self._settings,
                BatchOptions(to=self._to, model=model),
                self._ledger.keyed,
            )
        try:
            entry = self._manifest.entry_at(Position(claimed.offset, claimed.row))
            if entry.row is None or checker.content(entry) != claimed.content:
                return None
            wanted = checker.wanted(entry.row)
        except TransferError:
            return None
        return wanted if checker.identity(wanted.ask) == claimed.identity else None
