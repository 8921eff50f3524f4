"""The other ledgers of this user: what they have sent already, asked as a plan is made and before a run.

The one rule: no row is begun before every other ledger that may have sent something new was asked; one
that cannot be asked is named by its place on the user's list, and nothing is sent.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NamedTuple

from ..aio import Shared
from .sqlite import listed_ledgers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ..aio import Lane
    from .ledger import Ledger
    from .sqlite import Listed

_NAME_BYTES: Final = 8


class Earlier(NamedTuple):
    """Another ledger, and how much it had sent when it was looked at.

    Attributes:
        directory: Where it is.
        name: What it is called in errors.
        alias: What it is called in this ledger's facts: a keyed hash of its directory.
        mark: As `Ledger.sent_so_far` gave it.
    """

    directory: Path
    name: str
    alias: str
    mark: str


class EarlierLedgers:
    """Asks the other ledgers on the user's list.

    Args:
        ledger: The one whose rows are compared, open for writing.
        lane: Threads for blocking calls.

    Attributes:
        missing: How many ledgers of the list were not there when it was last read.
    """

    def __init__(self, ledger: Ledger, *, lane: Lane) -> None:
        self._ledger = ledger
        self._lane = lane
        self._shared = Shared(lambda: None)
        self.missing = 0

    async def look(self) -> list[Earlier]:
        """Those that can say something, each with how much it has sent by now. Costs no look at rows.

        Raises:
            LedgerError: The list, or one of them, cannot be read.
            InsecureConfigError: Somebody else could have changed one of them.
        """
        listed = await self._lane.run(self._shared, lambda: list(listed_ledgers()))
        self.missing = sum(not each.is_there for each in listed)
        found = [await self._look_at(each) for each in listed if each.is_there]
        return [each for each in found if each is not None]

    async def _look_at(self, listed: Listed) -> Earlier | None:
        name = (
            f"another ledger of yours (line {listed.number} of the list `ledgers` in"
            " $XDG_STATE_HOME/chartsend, usually ~/.local/state/chartsend)"
        )
        mark = await self._ledger.sent_so_far(str(listed.directory), name=name)
        if mark is None:
            return None
        place = os.fsencode(listed.directory)
        alias = self._ledger.keyed(b"ledger", place, size_bytes=_NAME_BYTES).hex()
        return Earlier(listed.directory, name, alias, mark)

    async def have_sent(self, identity: bytes) -> bool:
        """Whether one of them has sent the document with an identity, or may have sent it.

        One that is on the list and not there may have.

        Raises:
            LedgerError: The list, or one of them, cannot be read.
            InsecureConfigError: Somebody else could have changed one of them.
        """
        for each in await self.look():
            if await self._ledger.is_sent_by(str(each.directory), identity, name=each.name):
                return True
        return self.missing > 0

    async def reject_sent(self, earlier: Sequence[Earlier]) -> int:
        """Reject the rows that these have sent, or may have sent; how many.

        Raises:
            LedgerError: One of them cannot be read, or the rows' own ledger failed.
            InsecureConfigError: Somebody else could have changed one of them.
        """
        rejected = 0
        for each in earlier:
            rejected += await self._ledger.reject_already_sent(str(each.directory), name=each.name)
        return rejected


def marks_of(earlier: Sequence[Earlier]) -> dict[str, str]:
    """How much each had sent, as a fact to be noted once the rows were compared."""
    return {each.alias: each.mark for each in earlier}


def not_heard(earlier: Sequence[Earlier], heard: Mapping[str, str]) -> list[Earlier]:
    """Those that may have sent more than the rows were compared with, by the fact of then."""
    return [each for each in earlier if heard.get(each.alias) != each.mark]
