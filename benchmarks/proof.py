"""Whether the bytes that a job calls for are the bytes that the sink has counted.

The one rule: the files' own bytes are counted exactly; only the message around them may differ, and
only within bounds that no file fits between.
"""

from __future__ import annotations

import os
from functools import cache
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from .job import Job, Route, Sample
    from .sink import Counts, Kind

ENVELOPE_BYTES: Final[dict[Route, tuple[int, int]]] = {
    "embed": (500, 4096),
    "embed_notes": (200, 4096),
    "notes": (200, 4096),
    "multipart": (50, 1024),
    "raw": (0, 0),
}
"""What stands around a file in its request, at least and at most."""
_KIND: Final[dict[Route, Kind]] = {
    "embed": "message",
    "embed_notes": "endpoint",
    "notes": "endpoint",
    "multipart": "upload",
    "raw": "binary",
}
_SECOND: Final[dict[Route, Kind]] = {"multipart": "endpoint", "raw": "message"}
"""The message that names an upload."""


class ProofError(Exception):
    """What came is not what was to come."""


def prove(job: Job, sample: Sample, counts: Counts) -> dict[str, float]:
    """Compare; a run that was cancelled on purpose has nothing to compare.

    Returns:
        Notes for the sample: `envelope_bytes` around each file, `messages` that named an upload.

    Raises:
        ProofError: Documents are missing, or too many; or their bytes are other ones.
    """
    if job.duration_s is not None:
        return {"stalled": float(counts.stalled)}
    if sample.documents != job.count:
        raise ProofError(f"it speaks of {sample.documents} documents, and was asked for {job.count}")
    if counts.odd or counts.broken:
        raise ProofError(f"{counts.odd} bodies had no proper end, {counts.broken} requests broke off")
    came = counts.of(_KIND[job.route])
    if came.requests != job.count:
        raise ProofError(f"{came.requests} documents came, and {job.count} were asked for")
    around = [(came.body_bytes - content) / job.count for content in _wire_bytes(job)]
    least, most = ENVELOPE_BYTES[job.route]
    fitting = [each for each in around if least <= each <= most]
    if not fitting:
        raise ProofError(
            f"{came.body_bytes} bytes came: {around[0]:.1f} around each file, not {least} to {most}"
        )
    second = _SECOND.get(job.route)
    messages = 0 if second is None else counts.of(second).requests
    if messages not in {0, job.count}:
        raise ProofError(f"{messages} messages named the {job.count} uploads")
    return {"envelope_bytes": fitting[0], "messages": float(messages)}


def _wire_bytes(job: Job) -> list[int]:
    """Bytes of all files on the wire; a part of a form may have its file in base64 as well."""
    paths = list(islice(cycle(job.files), job.count))
    if job.route == "notes":
        return [sum(_escaped_bytes(path) for path in paths)]
    sizes = [os.stat(path).st_size for path in paths]  # noqa: PTH116
    encoded = sum((size + 2) // 3 * 4 for size in sizes)
    return {"raw": [sum(sizes)], "multipart": [sum(sizes), encoded]}.get(job.route, [encoded])


@cache
def _escaped_bytes(path: str) -> int:
    return len(orjson.dumps(Path(path).read_text(encoding="utf-8"))) - 2  # the quotation marks
