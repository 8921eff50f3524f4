"""The ledger on one machine: SQLite, one thread that writes, any number that read.

The one rule: what was confirmed is on the disk, and what is read is what was written, or it is an
error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .holding import held
from .ledger import SqliteLedger
from .place import Listed, ledgers_of_this_user, listed_ledgers
from .reader import SqliteReader

if TYPE_CHECKING:  # the type checker holds both to the port
    from ..ledger import Ledger, LedgerReader

    _LEDGER: type[Ledger] = SqliteLedger
    _READER: type[LedgerReader] = SqliteReader

__all__ = ["Listed", "SqliteLedger", "SqliteReader", "held", "ledgers_of_this_user", "listed_ledgers"]
