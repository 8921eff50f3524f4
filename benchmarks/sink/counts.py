"""What the sink has seen, added up.

The one rule: a request counts when its body has come whole, and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["token", "binary", "message", "upload", "endpoint", "other"]


class Tally(msgspec.Struct):
    """Whole requests of one kind.

    Attributes:
        requests: How many.
        body_bytes: Of their bodies, chunked framing apart.
    """

    requests: int = 0
    body_bytes: int = 0


class Counts(msgspec.Struct):
    """Since the start or the last reset.

    Attributes:
        kinds: By kind of request.
        odd: Whole bodies that do not end as their type must end (`}`, or the closing boundary).
        broken: Connections that ended, or stopped making sense, inside a request.
        stalled: Bodies whose reading was stopped on purpose.
        cpu_s: User and system time of each process since it began; a reset leaves it alone.
    """

    kinds: dict[Kind, Tally] = msgspec.field(default_factory=dict[Kind, Tally])
    odd: int = 0
    broken: int = 0
    stalled: int = 0
    cpu_s: list[float] = msgspec.field(default_factory=list[float])

    def of(self, kind: Kind) -> Tally:
        """Requests of a kind."""
        return self.kinds.get(kind, Tally())

    def add(self, kind: Kind, body_bytes: int) -> None:
        """Count a whole request."""
        tally = self.kinds.setdefault(kind, Tally())
        tally.requests += 1
        tally.body_bytes += body_bytes


def summed(parts: Sequence[Counts]) -> Counts:
    """What several processes have seen together; their CPU times stay apart."""
    whole = Counts()
    for part in parts:
        for kind, tally in part.kinds.items():
            into = whole.kinds.setdefault(kind, Tally())
            into.requests += tally.requests
            into.body_bytes += tally.body_bytes
        whole.odd += part.odd
        whole.broken += part.broken
        whole.stalled += part.stalled
        whole.cpu_s += part.cpu_s
    return whole
