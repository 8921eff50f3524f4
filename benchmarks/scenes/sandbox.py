"""The real sandbox instead of the sink: it parses, decodes and hashes everything, and syncs it to disk.

The one rule: these figures are of both together, sender and sandbox, and no goal is judged by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chartsend.testing import SandboxProcess

from ..job import Job
from ..results import Group
from ..sandbox_sends import measure
from .rivals import KB, MB
from .scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..job import Route, Sample
    from .scene import Stage

ROUTES: dict[str, Route] = {
    "embed FHIR": "embed",
    "upload raw": "raw",
    "embed Notes": "embed_notes",
    "upload multipart": "multipart",
}
WORK = {"10 MB": (10 * MB, 16), "100 KB": (100 * KB, 200)}
"""Size of a file, and how many documents."""


def run(stage: Stage) -> Iterator[Group]:
    """Every route in turn, round by round."""
    for series, (size_bytes, count) in WORK.items():
        stage.say(series)
        files = stage.samples.files(size_bytes, 8)
        samples: dict[str, list[Sample]] = {name: [] for name in ROUTES}
        with SandboxProcess.start() as sandbox:
            for _ in range(stage.rounds):
                for name, route in ROUTES.items():
                    job = Job(
                        route=route, api_url=sandbox.info.api_url, files=files, count=count, hashes=True
                    )
                    samples[name].append(measure(sandbox, job))
        yield Group(series=series, samples=samples)


SCENE = Scene(
    name="sandbox",
    title="Against the sandbox",
    how=(
        "The engine sends with the sandbox's own profile, hashing, 8 at once, and every document"
        " is looked up in the sandbox's log afterwards. The sandbox checks and stores each byte,"
        " so the throughput is its own; CPU is that of the sender."
    ),
    shows=("mb_per_s", "documents_per_s", "cpu_s_per_gb", "rss_mib"),
    run=run,
    is_quick=True,
)
