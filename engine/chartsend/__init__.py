"""Send clinical files into patients' charts through Redox: streamed, bounded, never silently wrong.

::

    from chartsend import Document, Engine, Patient, Settings

    async with Engine(Settings.load(profile="staging")) as engine:
        receipt = await engine.send(
            Document.from_path("consent.pdf", type="Consent Form",
                               patient=Patient.identified("0000991234", "MR")),
            to="memorial-ehr",
        )
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._version import __version__
    from .batch import Batch, BatchOptions, BatchPlan, Runner, Settled
    from .document import (
        Address,
        Coding,
        Document,
        Identifier,
        Location,
        Order,
        Patient,
        Provider,
        Receipt,
        ReceiptError,
        Visit,
    )
    from .engine import Engine, Statistics
    from .errors import TransferError, Verdict
    from .histogram import Histogram
    from .ports import Intent, Journal, NoJournal, Progress, Uploaded
    from .redox.search import Finding, Presence
    from .send import Plan
    from .settings import Auth, Destination, Limits, Retry, Settings, Timeouts
    from .transport.meter import Meter
    from .workers.count import workers_for

__all__ = [
    "Address",
    "Auth",
    "Batch",
    "BatchOptions",
    "BatchPlan",
    "Coding",
    "Destination",
    "Document",
    "Engine",
    "Finding",
    "Histogram",
    "Identifier",
    "Intent",
    "Journal",
    "Limits",
    "Location",
    "Meter",
    "NoJournal",
    "Order",
    "Patient",
    "Plan",
    "Presence",
    "Progress",
    "Provider",
    "Receipt",
    "ReceiptError",
    "Retry",
    "Runner",
    "Settings",
    "Settled",
    "Statistics",
    "Timeouts",
    "TransferError",
    "Uploaded",
    "Verdict",
    "Visit",
    "__version__",
    "workers_for",
]

# Names are imported when they are first asked for (PEP 562): the command's help and the sandbox's
# process must not pay for aiohttp and the engine.
_ROOMS = {
    "_version": ("__version__",),
    "batch": ("Batch", "BatchOptions", "BatchPlan", "Runner", "Settled"),
    "document": (
        "Address", "Coding", "Document", "Identifier", "Location", "Order", "Patient", "Provider",
        "Receipt", "ReceiptError", "Visit",
    ),
    "engine": ("Engine", "Statistics"),
    "errors": ("TransferError", "Verdict"),
    "histogram": ("Histogram",),
    "ports": ("Intent", "Journal", "NoJournal", "Progress", "Uploaded"),
    "redox.search": ("Finding", "Presence"),
    "send": ("Plan",),
    "settings": ("Auth", "Destination", "Limits", "Retry", "Settings", "Timeouts"),
    "transport.meter": ("Meter",),
    "workers.count": ("workers_for",),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    room = _ROOM_OF.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{room}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
