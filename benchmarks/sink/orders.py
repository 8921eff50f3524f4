"""What a process of the sink is told when it begins, as one JSON argument.

The one rule: it is complete; the process reads nothing else.
"""

from __future__ import annotations

import msgspec


class Orders(msgspec.Struct, frozen=True, kw_only=True):
    """What a process of the sink is told when it begins.

    Attributes:
        door: Descriptor of the Unix socket that connections come through.
        parent: Process id of who started it.
        base_url: The sink's own address.
        certificate: PEM file with key and chain; None for no TLS.
        stalls: Stop reading large bodies after 64 KiB.
        keep: Folder to keep bodies in.
    """

    door: int
    parent: int
    base_url: str
    certificate: str | None = None
    stalls: bool = False
    keep: str | None = None
