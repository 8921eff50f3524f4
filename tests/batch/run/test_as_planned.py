"""What is sent is what was planned: the same columns, the same receiver, the same folder."""

from __future__ import annotations

import pytest

from chartsend.batch.batch import Batch
from chartsend.batch.options import BatchOptions
from chartsend.errors import ConfigError, LostRowError

COLUMNS = (
    "path,document_id,visit.number,type,patient.identifiers.0.id,patient.identifiers.0.type,"
    "provider.id,provider.id_type"
)
OTHERS = COLUMNS.replace("document_id,visit.number", "visit.number,document_id")


def csv(job, header):
    """The job's rows as a table; their cells are the same, whatever the header."""
    body = "".join(
        f"{row['path']},{row['document_id']},V-7,Consent Form,0000991234,MR,9999999995,NPI\n"
        for row in job.rows
    )
    job.manifest = job.folder / "manifest.csv"
    job.manifest.write_text(f"{header}\n{body}")


async def planned(job, *, settings=None, **options):
    settings = job.settings_of(job.sandbox, quota="off", **(settings or {}))
    wanted = BatchOptions(**({"to": job.sandbox.info.destination} | options))
    async with Batch.open(job.manifest, settings, wanted) as batch:
        return await batch.plan(), batch.news


async def test_cells_under_another_header_are_other_rows(job):
    job.add(2)
    csv(job, COLUMNS)
    await planned(job)
    csv(job, OTHERS)

    _, news = await planned(job)

    assert "Rows that changed: 2; new ones: 0." in news
    await job.run()
    assert set(job.messages()) == {"V-7"}, "two rows of one id: the second is a duplicate"


async def test_another_header_over_rows_that_were_sent_is_refused(job):
    job.add(2)
    csv(job, COLUMNS)
    await job.run()
    csv(job, OTHERS)

    with pytest.raises(LostRowError, match="row 2"):
        await job.run()

    assert job.messages() == {"D-1": 1, "D-2": 1}


async def test_a_header_that_says_the_same_in_other_words_is_the_same(job):
    job.add(2)
    csv(job, COLUMNS)
    await job.run()
    csv(job, COLUMNS.replace("path,", '"path",'))

    assert await job.run() == {}


async def test_a_destination_that_became_another_receiver_stops_the_run(job):
    job.add(3)
    here = job.sandbox.info.destination
    then = {"destinations": {"ward": {"slug": here}}}
    now = {"destinations": {"ward": {"slug": "somebody-else"}}}

    await job.run(settings=then, to="ward")
    job.add(3)
    await planned(job, settings=then, to="ward")
    ended = await job.run(settings=now, to="ward")

    assert ended == {}
    assert job.runner.reason.startswith("row 4 would go to another receiver")
    assert job.states() == {"done": 3, "queued": 3}
    assert len(job.messages()) == 3
    await job.run(settings=then, to="ward")
    assert job.states() == {"done": 6}


async def test_a_corrected_row_and_a_file_that_changed_go_as_they_are_now(job):
    job.add(3)
    await planned(job)
    job.rows[1]["document_id"] = "D-2b"
    job.write()
    await planned(job)
    (job.folder / "f3.pdf").write_bytes(b"%PDF-1.4 newer, and of another size")

    await job.run()

    assert job.messages() == {"D-1": 1, "D-2b": 1, "D-3": 1}
    assert job.runner.changed_files == 1


async def test_derived_ids_of_a_job_that_moved_are_not_sent_as_those_of_another_document(job, tmp_path):
    job.folder = tmp_path / "one"
    job.folder.mkdir()
    job.manifest = job.folder / "manifest.jsonl"
    job.add(2)
    for row in job.rows:
        del row["document_id"]
    job.write()
    await planned(job)
    job.folder.rename(tmp_path / "two")
    job.folder = tmp_path / "two"
    job.manifest = job.folder / "manifest.jsonl"

    assert await job.run() == {}

    assert "under another document id" in job.runner.reason
    assert job.states() == {"queued": 2}
    job.folder.rename(tmp_path / "one")
    job.folder = tmp_path / "one"
    job.manifest = job.folder / "manifest.jsonl"
    await job.run()
    assert job.states() == {"done": 2}


async def test_a_relative_root_is_the_folder_that_it_was(job, tmp_path, monkeypatch):
    job.add(1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(job.folder)
    await planned(job, root=".")
    await planned(job, root=str(job.folder))

    monkeypatch.chdir(elsewhere)
    with pytest.raises(ConfigError, match="--root"):
        await planned(job, root=".")
    assert (await planned(job, root=".."))[0].accepted == 1


async def test_a_duplicate_is_none_any_more_once_the_other_row_is_corrected(job):
    job.add(2)
    job.rows[0]["document_id"] = "D-2"
    job.write()
    made, _ = await planned(job)
    assert made.rejected == {"duplicate_id": 1}
    job.rows[0]["document_id"] = "D-1"
    job.write()

    made, news = await planned(job)

    assert (made.accepted, made.rejected) == (2, {})
    assert "Rows that changed: 1; new ones: 0." in news
    await job.run()
    assert job.messages() == {"D-1": 1, "D-2": 1}
