"""Holding a ledger that is not opened, while something beside it changes.

The one rule: it is held by the lock that whoever opens it must have, and nothing in it is touched.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from . import failures, place as places
from .lock import Lock

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


@contextlib.contextmanager
def held(directory: Path) -> Generator[None]:
    """While the block runs, nobody else opens the ledger there. There need not be one yet.

    Raises:
        LedgerLockedError: Another process has it; the text names it.
        LedgerError: A ledger cannot be kept there.
        InsecureConfigError: Somebody else could read or replace it.
    """
    with failures.told("opening the ledger"):
        place = places.prepare(directory.absolute())
        lock = Lock.take(place.lock)
    try:
        yield
    finally:
        lock.release()
