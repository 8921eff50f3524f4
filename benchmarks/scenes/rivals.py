"""Who runs beside chartsend, by the names they have in all scenes, and how much work each is given.

The one rule: whoever is slower gets fewer documents, so that a run takes about a second for everyone,
but never less than fills what is in flight, twice if it is not a short run: figures are per gigabyte
and per second, not per run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from .scene import Entrant

if TYPE_CHECKING:
    from ..job import Route

MB: Final = 1_000_000
KB: Final = 1_000
LARGEST_EMBED_BYTES: Final = 22_500_000
"""30 MB when encoded, less the message around it: Redox's limit."""
LARGEST_RAW_BYTES: Final = 30 * MB
FULL_RUN_S: Final = 0.6
"""Runs that are planned to be shorter may be of as many documents as are in flight."""


class Rival(NamedTuple):
    """A sender and roughly how fast it is; only how long a run takes depends on this."""

    name: str
    sender: str
    mb_per_s: int
    documents_per_s: int


RIVALS: Final = {
    rival.name: rival
    for rival in (
        Rival("chartsend", "chartsend", 1200, 2000),
        Rival("chartsend in threads", "chartsend_threads", 1200, 2000),
        Rival("floor", "floor_embed", 1500, 8000),
        Rival("floor in processes", "floor_processes", 1500, 8000),
        Rival("naive aiohttp", "naive_aiohttp", 150, 1500),
        Rival("naive httpx", "naive_httpx", 150, 500),
        Rival("requests in threads", "requests_pool", 150, 800),
        Rival("curl", "curl", 1200, 5000),
        Rival("curl, encoding counted", "curl_encoding", 400, 2000),
        Rival("aiohttp, base64 multipart", "aiohttp_multipart_base64", 150, 1000),
        Rival("aiohttp, file object", "aiohttp_file", 1000, 1500),
        Rival("aiohttp bytes", "aiohttp_bytes", 1000, 4000),
        Rival("sendfile", "floor_sendfile", 3000, 8000),
    )
}
"""By name; where nothing is encoded, `floor` is another program."""


def entrant(  # noqa: PLR0913  # fields of one entrant
    name: str,
    route: Route,
    size_bytes: int,
    *,
    concurrency: int = 8,
    hashes: bool = False,
    tls: bool = False,
    seconds: float = 0.8,
    called: str | None = None,
    **changes: object,
) -> Entrant:
    """A rival with its share of work: about so many seconds of it.

    Args:
        name: In `RIVALS`.
        route: What bytes go where.
        size_bytes: Of each file.
        concurrency: How many at once.
        hashes: Whether it hashes what it sends.
        tls: It will be slower by a half.
        seconds: How long a run takes, roughly.
        called: Its name in this contest, if not that in `RIVALS`.
        **changes: Further fields of its Job.
    """
    rival = RIVALS[name]
    sender = "floor_raw" if name == "floor" and route in {"raw", "multipart"} else rival.sender
    per_s = min(rival.mb_per_s * MB / size_bytes, rival.documents_per_s)
    least = 1 if seconds < FULL_RUN_S else 2
    count = max(round(per_s * seconds * (0.5 if tls else 1)), least * concurrency)
    return Entrant(
        name=called or name,
        sender=sender,
        route=route,
        size_bytes=size_bytes,
        count=count,
        concurrency=concurrency,
        hashes=hashes,
        changes=changes,
    )
