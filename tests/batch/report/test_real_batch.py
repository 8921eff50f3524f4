"""Real runs against a real sandbox: what the report says is what the receiver saw."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing

import pytest

from chartsend import BatchOptions, Document, Engine, Patient, Settings
from chartsend.batch.asking import EARLY, UNCLEAR, UNPROVED, UNTOLD, Asker
from chartsend.batch.batch import Batch
from chartsend.batch.manifest.reading import Manifest
from chartsend.batch.naming import sender_of
from chartsend.batch.report import read_report
from chartsend.batch.resolve import Resolver
from chartsend.batch.sqlite import SqliteLedger
from chartsend.batch.status import read_status
from chartsend.batch.verify import verify

PATIENT = {"identifiers": [{"id": "0000991234", "type": "MR"}], "last_name": "Quillfeather"}


class Job:
    """A batch of real files, run against a sandbox."""

    def __init__(self, folder, sandbox):
        self.folder = folder
        self.sandbox = sandbox
        self.manifest = folder / "manifest.jsonl"
        self.ledger = folder / "manifest.jsonl.chartsend"
        self.settings = Settings.load(profile=sandbox.info.profile, quota="off")

    def add(self, count: int, *, size_bytes: int = 2000, **fields) -> Job:
        lines = []
        for number in range(1, count + 1):
            name = f"f{number}.pdf"
            content = b"%PDF-1.4\n" + name.encode() * (size_bytes // len(name))
            (self.folder / name).write_bytes(content)
            row = {
                "path": name,
                "document_id": f"D-{number}",
                "type": "Consent Form",
                "patient": PATIENT,
            }
            row |= {"provider": {"id": "9999999995", "id_type": "NPI"}} | fields
            lines.append(json.dumps({key: value for key, value in row.items() if value is not None}))
        self.manifest.write_text("".join(f"{line}\n" for line in lines))
        return self

    async def run(self, **options) -> None:
        options = {"to": self.sandbox.info.destination, "canaries": 0} | options
        async with Batch.open(self.manifest, self.settings, BatchOptions(**options)) as batch:
            await batch.plan()
            runner = await batch.runner()
            async with runner.run() as settled:
                async for _ in settled:
                    pass

    def messages(self) -> Counter:
        """How often the receiver got each document."""
        return Counter(e["document_id"] for e in self.sandbox.events() if e["kind"] == "message")

    async def ask(self, *, least_age_s: float = 0.0, settings=None):
        """Ask the destination about all rows in doubt."""
        settings = settings or self.settings
        ledger = await SqliteLedger.open(self.ledger, create=False)
        try:
            with closing(self.reader()) as reader, Manifest.open(self.manifest) as manifest:
                async with Engine(settings) as engine:
                    asker = Asker(
                        engine,
                        settings,
                        manifest,
                        ledger,
                        to=sender_of(reader.facts()).to,
                        least_age_s=least_age_s,
                    )
                    return await Resolver(ledger, reader).ask(asker)
        finally:
            await ledger.aclose()

    def reader(self):
        from chartsend.batch.sqlite import SqliteReader

        return SqliteReader.open(self.ledger)


@pytest.fixture
def job(tmp_path, sandbox):
    return Job(tmp_path, sandbox)


async def test_the_report_counts_what_the_receiver_s_log_counts(job):
    job.add(40)
    job.sandbox.fault(on="message", do="status", status=422, every=10)
    job.sandbox.fault(on="message", do="swallow", every=13)
    await job.run()

    found = read_report(job.ledger)
    events = [event for event in job.sandbox.events() if event["kind"] == "message"]
    seen = job.sandbox.requests()
    assert found.rows.done + found.rows.in_doubt == len(events)
    assert found.rows.in_doubt >= 1
    assert found.rows.failed >= 1
    assert found.total == 40
    accepted = {event["document_id"]: event["bytes"] for event in events}
    for row in _in_doubt(job):
        del accepted[f"D-{row}"]
    assert found.bytes == sum(accepted.values())
    assert found.send_s.count == found.rows.done
    assert found.requests.documents == sum(found.statuses.values()) - found.requests.tokens
    assert found.statuses[422] == found.rows.failed
    assert found.errors == {"invalid": found.rows.failed, "outcome_unknown": found.rows.in_doubt}
    assert (found.runs, found.runs_killed) == (1, 0)
    assert found.requests.documents == _all(seen), seen


def _all(seen: dict) -> int:
    """Uploads and messages that the sandbox has seen."""
    return seen["seen"]["message"] + seen["seen"].get("blob", 0)


def _in_doubt(job) -> list[int]:
    from chartsend.batch.row import State

    with closing(job.reader()) as reader:
        return [row.row for row in reader.rows(State.IN_DOUBT)]


async def test_uploads_are_two_requests_and_one_row(job):
    await job.add(6, size_bytes=300_000).run()

    found = read_report(job.ledger)

    assert found.rows.done == 6
    assert found.requests.documents == 12
    assert found.answer_s.count == 12
    assert found.send_s.count == 6


async def test_a_second_run_adds_to_the_first(job):
    job.add(10)
    job.sandbox.fault(on="message", do="status", status=422, times=1)
    await job.run()
    first = read_report(job.ledger)
    job.sandbox.clear_faults()
    async with Batch.open(
        job.manifest, job.settings, BatchOptions(to=job.sandbox.info.destination, canaries=0)
    ) as batch:
        from chartsend.batch.row import State

        await batch.plan(again=frozenset({State.FAILED}))
        runner = await batch.runner()
        async with runner.run() as settled:
            assert [each.receipt.status async for each in settled] == ["accepted"]

    second = read_report(job.ledger)
    assert (first.rows.done, first.rows.failed) == (9, 1)
    assert (second.rows.done, second.rows.failed, second.total) == (10, 0, 10)
    assert second.requests.documents == first.requests.documents + 1
    assert second.runs == 2
    assert second.send_s.count == 10


async def test_manifest_and_ledger_of_a_real_run_agree(job):
    await job.add(12).run()

    with Manifest.open(job.manifest) as manifest:
        found = verify(job.ledger, manifest, looks_at_files=True)

    assert found.is_clean, found
    assert (found.files, found.head.seq) == (12, 12)


async def test_a_row_that_is_sent_again_is_the_same_message_and_a_counted_duplicate(job):
    job.add(3)
    job.sandbox.fault(on="message", do="swallow", times=1)
    await job.run()
    (row,) = _in_doubt(job)
    ledger = await SqliteLedger.open(job.ledger, create=False)
    with closing(job.reader()) as reader:
        await Resolver(ledger, reader, [row]).send_again()
    await ledger.aclose()
    assert read_status(job.ledger).maybe_duplicates == 1
    assert sum(job.messages().values()) == 3

    await job.run()

    assert read_report(job.ledger).rows.done == 3
    assert job.messages()[f"D-{row}"] == 2
    twice = [e for e in job.sandbox.events() if e.get("document_id") == f"D-{row}"]
    assert twice[0]["sha256"] == twice[1]["sha256"]


# -- asking the destination ---------------------------------


async def test_what_the_destination_has_is_done_by_its_word(job):
    job.add(4)
    job.sandbox.fault(on="message", do="swallow", times=2)
    await job.run()

    resolved = await job.ask()

    assert (resolved.sent, resolved.queued, resolved.left) == (2, 0, {})
    with closing(job.reader()) as reader:
        assert [one.decided_by for _, one in reader.receipts()][-2:] == ["query", "query"]
    assert read_report(job.ledger).rows.done == 4


async def test_what_the_destination_does_not_have_is_queued_once_it_is_old_enough(job):
    job.add(2)
    job.sandbox.fault(on="message", do="status", status=504, times=1)
    await job.run()
    assert len(_in_doubt(job)) == 1

    early = await job.ask(least_age_s=3600)
    assert early.left == {EARLY: 1}
    assert early.left_rows == tuple(_in_doubt(job))
    late = await job.ask()
    assert (late.sent, late.queued) == (0, 1)
    await job.run()

    assert set(job.messages().values()) == {1}
    assert read_report(job.ledger).rows.done == 2


async def test_an_earlier_document_of_the_same_id_is_not_the_message_that_was_lost(job):
    path = job.manifest.with_name("f1.pdf")
    job.add(1)
    async with Engine(job.settings) as engine:
        earlier = Document.from_path(
            str(path), document_id="D-1", type="Consent Form", patient=Patient.identified("1", "MR")
        )
        await engine.send(earlier, to=job.sandbox.info.destination)
    path.write_bytes(b"%PDF-1.4 corrected")
    job.sandbox.fault(on="message", do="close", at_byte=None)
    await job.run()

    resolved = await job.ask()

    assert (resolved.sent, resolved.queued, resolved.left) == (0, 0, {UNPROVED: 1})
    assert job.messages() == {"D-1": 1}


async def test_a_destination_that_cannot_be_asked_leaves_the_row_in_doubt(job):
    job.add(1, model="notes")
    job.sandbox.fault(on="message", do="swallow", times=1)
    await job.run()

    assert (await job.ask()).left == {UNCLEAR: 1}


async def test_another_profile_than_the_one_that_sent_is_no_witness(job, tmp_path):
    job.add(1)
    job.sandbox.fault(on="message", do="status", status=504, times=1)
    await job.run()
    import dataclasses

    other = dataclasses.replace(job.settings, environment="Staging")

    assert (await job.ask(settings=other)).left == {UNTOLD: 1}


async def test_a_line_that_changed_is_not_asked_about(job):
    job.add(1)
    job.sandbox.fault(on="message", do="status", status=504, times=1)
    await job.run()
    job.manifest.write_text(job.manifest.read_text().replace("D-1", "D-9"))

    assert (await job.ask()).left == {UNTOLD: 1}


async def test_the_command_asks_with_the_profile_s_credentials(job, command):
    job.add(2)
    job.sandbox.fault(on="message", do="swallow", times=1)
    await job.run()

    done = command(
        "--profile", job.sandbox.info.profile, "batch", "resolve", job.manifest, "--all", "--verify"
    )

    assert done.code == 0, done.err
    assert "1 row is done" in done.err
    assert "D-" not in done.err
