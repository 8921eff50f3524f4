"""What another ledger of this user has sent already.

The one rule: the other ledger is only read; and one with another key says nothing, since the same
document has another identity there.
"""

from __future__ import annotations

import hmac
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import AlreadySentError, InsecureConfigError, LedgerError
from ..row import State
from . import failures, keys, mark, place as places, reading, sql
from .mark import COMMITS
from .plans import PART, reject_unsent
from .records import Found, found
from .store import counters_of, head_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator

    from .store import Store

READING: Final = "reading an earlier ledger"
_MARK_BYTES: Final = 8
_SENT: Final = frozenset({State.DONE, State.IN_DOUBT, State.REFERENCING})


class Earlier:
    """Another ledger, open for reading. Made by `open`; blocking."""

    def __init__(self, connection: sqlite3.Connection, key: bytes) -> None:
        self._connection = connection
        self._key = key

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
            return cls(connection, key)

    def so_far(self) -> str:
        """A mark of all that it has sent so far: another one whenever that may have changed.

        A message is sent after a commit that says so, and each commit has its number. The end of the
        chain tells it from a copy that was put back and went on from there.

        Raises:
            LedgerError: It cannot be read, or is not as it was written.
        """
        with failures.told(READING):
            commits = counters_of(self._connection).get(COMMITS, 0)
            return f"{commits}:{head_of(self._connection, self._key).link[:_MARK_BYTES].hex()}"

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


@contextmanager
def told_of(name: str) -> Generator[None]:
    """Say of failures inside which ledger they are about: not the one that is being written.

    Args:
        name: Of the other ledger, in words that are safe to log.
    """
    try:
        yield
    except (LedgerError, InsecureConfigError) as exc:
        raise type(exc)(
            f"{name} cannot be asked what it has sent: {exc.message}. Nothing was sent from this one;"
            " mend the other, or take it off the list, or go on with --send-again, which asks none"
        ) from exc


def _may_be_sent(one: Found) -> bool:
    return one.state in _SENT or (one.work is not None and one.work.maybe_duplicate > 0)


def identities(store: Store, after: bytes) -> list[bytes]:
    """The next identities of our own rows, in order."""
    lines = store.select(sql.IDENTITIES, (after, PART))
    return [line[0] for line in lines if isinstance(line[0], bytes)]


def reject_sent(store: Store, sent: set[bytes]) -> int:
    """Reject our rows with these identities that were not sent; how many."""
    text = "an earlier batch sent this document to this receiver, or may have"
    return sum(reject_unsent(store, one, code=AlreadySentError.code, text=text) for one in sorted(sent))
