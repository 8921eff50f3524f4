"""The largest files: the goals, and everything that one would use instead, side by side.

The one rule: the floor does what chartsend does on the wire, byte for byte, and hashes when it hashes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from ..goals import EMBED, EMBED_TLS, HASHED, RAW, WITH_WORKERS, WORKERS
from .rivals import LARGEST_EMBED_BYTES, LARGEST_RAW_BYTES, entrant
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..job import Route
    from ..results import Group
    from .scene import Entrant, Stage


class Work(NamedTuple):
    """Who runs, and for how long."""

    hashes: bool
    seconds: float
    quick: bool

    @property
    def _is_short(self) -> bool:
        """Only what the goals ask for: in the short form, and with hashing, which no rival does."""
        return self.quick or self.hashes

    def embedded(self, *, tls: bool = False) -> list[Entrant]:
        """Files in messages."""
        names = ["chartsend", "floor"]
        if not tls and not self.hashes:
            names += ["naive aiohttp", "naive httpx"]
        if not self._is_short:
            names += (
                ["curl", "naive aiohttp"]
                if tls
                else ["requests in threads", "curl", "curl, encoding counted"]
            )
        entrants = [self._entrant(name, "embed", tls=tls) for name in names]
        if not self._is_short and not tls:
            entrants.append(self._entrant("chartsend", "embed", called=WITH_WORKERS, workers=WORKERS))
        if not self.quick and find_spec("uvloop"):
            uvloop = self._entrant(
                "chartsend", "embed", tls=tls, called="chartsend, uvloop", loop="uvloop"
            )
            entrants.append(uvloop)
        return entrants

    def raw(self) -> list[Entrant]:
        """Files as they are."""
        names = ["chartsend", "floor"]
        if not self._is_short:
            names += ["sendfile", "aiohttp, file object"]
        return [self._entrant(name, "raw") for name in names]

    def _entrant(
        self,
        name: str,
        route: Route,
        *,
        tls: bool = False,
        called: str | None = None,
        **changes: Any,
    ) -> Entrant:
        return entrant(
            name,
            route,
            LARGEST_EMBED_BYTES if route == "embed" else LARGEST_RAW_BYTES,
            hashes=self.hashes,
            tls=tls,
            seconds=self.seconds,
            called=called,
            **changes,
        )


def run(stage: Stage) -> Iterator[Group]:
    """Plain, then TLS; each without hashing and, in the long form, with it."""
    seconds = 0.4 if stage.quick else 1.0
    for hashes in (False,) if stage.quick else (False, True):
        suffix = HASHED if hashes else ""
        work = Work(hashes=hashes, seconds=seconds, quick=stage.quick)
        with stage.sink() as sink:
            yield stage.contest(sink, EMBED + suffix, work.embedded())
            yield stage.contest(sink, RAW + suffix, work.raw())
        with stage.sink(tls=True) as sink:
            yield stage.contest(sink, EMBED_TLS + suffix, work.embedded(tls=True))


SCENE = Scene(
    name="big",
    title="The largest files",
    how=(
        "Files of 22.5 MB (30 MB when encoded) are embedded, and files of 30 MB uploaded, 8 at"
        " once, from a warm page cache, to a sink in processes of its own. `floor` is one thread"
        " that reads, encodes by SIMD and calls `sendall`; `curl` gets bodies that were encoded"
        " before the clock started, and `curl, encoding counted` encodes on all cores."
    ),
    shows=("mb_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
    is_quick=True,
)
