"""Forgetting what old receipts say.

The one rule: a receipt that is emptied keeps its place in the chain, by the hash of what it said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ...errors import LedgerCorruptError
from . import chain, sql

if TYPE_CHECKING:
    from ..row import RowReceipt
    from .records import Column
    from .store import Store

_PART: Final = 1000


def purge(store: Store, before_ms: int, after: int) -> tuple[int, int | None]:
    """Empty those of the next receipts that were settled before then; how many, and where to go on.

    Receipts of rows that are pending or in doubt are no such receipts, however old.
    """
    lines = [(line[0], line[1]) for line in store.select(sql.FULL_ENTRIES, (after, _PART))]
    old = [
        (chain.digest(body), seq)
        for seq, body in lines
        if isinstance(body, bytes) and _said(body, seq).at_ms < before_ms
    ]
    store.connection.executemany(sql.EMPTY_ENTRY, old)
    store.purged(len(old))
    last = lines[-1][0] if lines else None
    return len(old), last if isinstance(last, int) else None


def _said(body: bytes, seq: Column) -> RowReceipt:
    try:
        return chain.decode(body)
    except msgspec.MsgspecError as exc:
        raise LedgerCorruptError(
            f"receipt {seq!r} is not as it was written; run `batch verify`, and restore a copy"
        ) from exc
