"""A batch of real small files against a real sandbox, run through the library."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions
from chartsend.batch.sqlite import SqliteReader

PATIENT = {"identifiers": [{"id": "0000991234", "type": "MR"}], "last_name": "Quillfeather"}


class Job:
    """A manifest in a folder of its own, and the sandbox that it is sent to."""

    def __init__(self, folder, sandbox, settings_of):
        self.folder = folder
        self.sandbox = sandbox
        self.settings_of = settings_of
        self.manifest = folder / "manifest.jsonl"
        self.rows = []
        self.ended = []
        self.runner = None
        self.news = []

    def file(self, name: str, size_bytes: int = 2000) -> str:
        """A PDF of its own content."""
        content = b"%PDF-1.4\n" + name.encode() * (size_bytes // len(name) + 1)
        (self.folder / name).write_bytes(content[:size_bytes])
        return name

    def add(self, count: int, *, size_bytes: int = 2000, **fields) -> Job:
        """Rows with a file each."""
        for _ in range(count):
            number = len(self.rows) + 1
            row = {
                "path": self.file(f"f{number}.pdf", size_bytes),
                "document_id": f"D-{number}",
                "type": "Consent Form",
                "patient": PATIENT,
                "provider": {"id": "9999999995", "id_type": "NPI"},
            }
            self.rows.append(row | fields)
        return self.write()

    def write(self) -> Job:
        self.manifest.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        return self

    async def run(self, *, settings=None, again=frozenset(), while_running=None, **options):
        """Plan and run; what was settled is in `ended` by row."""
        settings = {"quota": "off"} | (settings or {})
        options = {"to": self.sandbox.info.destination} | options
        ended = {}
        async with Batch.open(
            self.manifest, self.settings_of(self.sandbox, **settings), BatchOptions(**options)
        ) as batch:
            await batch.plan(again=again)
            self.news = batch.news
            self.runner = await batch.runner()
            async with self.runner.run() as settled:
                async for each in settled:
                    ended[each.row] = each.receipt
                    if while_running is not None:
                        await while_running(self.runner, ended)
            self.statistics = self.runner.statistics
        self.ended.append(ended)
        return ended

    async def plan_only(self, **options):
        """Plan it, and send nothing."""
        options = {"to": self.sandbox.info.destination} | options
        settings = self.settings_of(self.sandbox, quota="off")
        async with Batch.open(self.manifest, settings, BatchOptions(**options)) as batch:
            return await batch.plan()

    @property
    def ledger(self):
        return self.manifest.with_name(f"{self.manifest.name}.chartsend")

    def reader(self):
        return SqliteReader.open(self.ledger)

    def states(self) -> dict[str, int]:
        """Rows by state, those that there are."""
        reader = self.reader()
        try:
            assert reader.verify() == []
            return {state.name.lower(): count for state, count in reader.counts().items() if count}
        finally:
            reader.close()

    def totals(self) -> dict[str, int]:
        reader = self.reader()
        try:
            return reader.totals()
        finally:
            reader.close()

    def messages(self) -> Counter:
        """How often the receiver got each document."""
        return Counter(e["document_id"] for e in self.sandbox.events() if e["kind"] == "message")

    def uploads(self) -> int:
        return sum(e["kind"] == "blob" for e in self.sandbox.events())


@pytest.fixture
def job(tmp_path, sandbox, settings_of):
    return Job(tmp_path, sandbox, settings_of)
