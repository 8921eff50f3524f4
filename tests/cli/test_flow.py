"""The count of bytes under way grows, whatever becomes of a document's bodies."""

from __future__ import annotations

import pytest

from chartsend import Document, Engine
from chartsend.cli.progress import Flow


@pytest.mark.parametrize(
    ("method", "size_bytes", "bodies"), [("upload", 5_000_000, 2), ("embed", 150_000, 1)]
)
@pytest.mark.parametrize("is_repeated", [False, True], ids=["at once", "after a 429"])
async def test_the_count_never_runs_backwards(
    sandbox, settings_of, make_file, described, method, size_bytes, bodies, is_repeated
):
    if is_repeated:
        kind = "blob" if method == "upload" else "message"
        sandbox.fault(on=kind, do="status", status=429, headers={"Retry-After": "0"})
    flow = Flow()
    counted, declared = [], set()

    def note(progress):
        flow.note(progress)
        counted.append(flow.sent_bytes)
        declared.add(progress.declared_bytes)

    async with Engine(settings_of(sandbox)) as engine:
        receipt = await engine.send(
            Document.from_path(make_file(size_bytes)[0], document_id="1", **described),
            to=sandbox.info.destination,
            method=method,
            on_progress=note,
        )
    flow.finish(receipt)
    counted.append(flow.sent_bytes)

    assert receipt.status == "accepted"
    assert receipt.attempts == bodies + is_repeated
    assert len(declared) == bodies
    assert counted == sorted(counted)
    assert counted[-1] >= size_bytes
