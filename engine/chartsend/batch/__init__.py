"""Many documents from a manifest, each accounted for: planned, sent, resumed, reported.

Names are imported when they are first asked for: who only reads a ledger need not pay for the engine.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .batch import Batch
    from .facts import BatchPlan
    from .options import BatchOptions
    from .run import Runner, Settled

__all__ = ["Batch", "BatchOptions", "BatchPlan", "Runner", "Settled"]

_ROOM_OF = {
    "Batch": "batch",
    "BatchOptions": "options",
    "BatchPlan": "facts",
    "Runner": "run",
    "Settled": "run",
}


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value
