"""A server that reads everything, as fast as it comes, and counts it.

The one rule: it is a process of its own, and the harness's: what it uses is in no sender's figure, and
it dies with whoever started it.
"""

from __future__ import annotations

from .counts import Counts, Kind
from .process import SinkError, SinkProcess

__all__ = ["Counts", "Kind", "SinkError", "SinkProcess"]
