"""What another ledger of this user has sent already.

The one rule: the other ledger is only read; and one with another key says nothing, since the same
document has another identity there.
"""

from __future__ import annotations

import hmac
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..row import State
from . import failures, keys, mark, place as places, reading, sql
from .plans import PART, reject_fresh
from .records import Found, found
from .store import counters_of

if TYPE_CHECKING:
    import sqlite3

    from .store import Store

READING: Final = "reading an earlier ledger"
_SENT: Final = frozenset({State.DONE, State.IN_DOUBT, State.REFERENCING})


class Earlier:
    """Another ledger, open for reading. Made by `open`; blocking."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, directory: str, *, key: bytes, ours: Path) -> Earlier | None:
        """Open it; None when it can say nothing: it is our own, or has another key.

        Raises:
            LedgerError: It cannot be read, or is not as it was written.
            InsecureConfigError: Somebody else could have changed it.
        """
        with failures.told(READING):
            place = places.find(Path(directory))
            if place.directory == ours or not hmac.compare_digest(keys.read_key(place.key), key):
                return None
            marked = mark.read(place.mark)
            connection = reading.connect(place)
            try:
                mark.check(marked, counters_of(connection))
            except BaseException:
                connection.close()
                raise
            return cls(connection)

    def sent(self, identities: list[bytes]) -> set[bytes]:
        """Those of the identities whose documents were sent there, or may have been.

        Raises:
            LedgerError: It cannot be read, or is not as it was written.
        """
        present = sql.present_identities(len(identities))
        with failures.told(READING):
            with closing(self._connection.execute(present, identities)) as lines:
                shared = [line[0] for line in lines]
            return {identity for identity in shared if self._may_be_sent(identity)}

    def _may_be_sent(self, identity: bytes) -> bool:
        with closing(self._connection.execute(sql.ROWS_WITH_IDENTITY, (identity,))) as lines:
            return any(_may_be_sent(found(line)) for line in lines)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


def _may_be_sent(one: Found) -> bool:
    return one.state in _SENT or (one.work is not None and one.work.maybe_duplicate > 0)


def identities(store: Store, after: bytes) -> list[bytes]:
    """The next identities of our own rows, in order."""
    lines = store.select(sql.IDENTITIES, (after, PART))
    return [line[0] for line in lines if isinstance(line[0], bytes)]


def reject_sent(store: Store, sent: set[bytes]) -> int:
    """Reject our rows with these identities that were never claimed; how many."""
    text = "an earlier batch sent this document to this receiver, or may have"
    return sum(reject_fresh(store, one, but=0, code="already_sent", text=text) for one in sorted(sent))
