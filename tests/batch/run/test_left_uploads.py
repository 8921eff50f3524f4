"""What becomes of an uploaded file when its row goes another way: nobody refers to it by mistake."""

from __future__ import annotations

import hashlib
import os
import shutil

from chartsend.batch import run as run_module, schedule

LARGE = 300_000
LATER = {"on": "message", "do": "status", "status": 503, "headers": {"Retry-After": "0"}}


def before_the_next_try(monkeypatch, change):
    """Have something happen when a row is put off."""
    wait_s = schedule.wait_s

    def changed(*args):
        change()
        return wait_s(*args)

    monkeypatch.setattr(schedule, "STEPS_S", (0.2,))
    monkeypatch.setattr(run_module.schedule, "wait_s", changed)


async def test_a_file_that_was_put_back_is_not_the_one_that_was_uploaded_meanwhile(job, monkeypatch):
    job.add(1, size_bytes=LARGE)
    await job.plan_only()
    path, kept = job.folder / "f1.pdf", job.folder / "kept"
    shutil.copy2(path, kept)
    planned = path.read_bytes()
    path.write_bytes(b"%PDF-1.4\n" + b"x" * LARGE)
    job.sandbox.fault(**LATER, when="before")
    before_the_next_try(monkeypatch, lambda: os.replace(kept, path))

    ended = await job.run(settings={"retry": {"attempts": 1}})

    (event,) = (e for e in job.sandbox.events() if e["kind"] == "message")
    assert event["sha256"] == hashlib.sha256(planned).hexdigest() == ended[1].sha256
    assert (ended[1].bytes, job.uploads(), job.totals()["orphans"]) == (len(planned), 2, 1)


async def test_an_upload_that_is_embedded_after_all_is_one_that_nothing_refers_to(job, monkeypatch):
    job.add(1, size_bytes=LARGE)
    job.sandbox.fault(**LATER, when="before")
    small = b"%PDF-1.4\nsmall"
    before_the_next_try(monkeypatch, lambda: (job.folder / "f1.pdf").write_bytes(small))

    ended = await job.run(settings={"retry": {"attempts": 1}})

    assert (ended[1].status, ended[1].method) == ("accepted", "embed")
    assert ended[1].sha256 == hashlib.sha256(small).hexdigest()
    assert (job.uploads(), job.totals()["orphans"]) == (1, 1)
    assert job.states() == {"done": 1}


async def test_an_upload_without_an_answer_counts_when_its_row_is_given_up(job, monkeypatch):
    monkeypatch.setattr(schedule, "STEPS_S", (0.1,))
    job.add(1, size_bytes=LARGE)
    job.sandbox.fault(on="blob", do="swallow", then="close", times=None)

    ended = await job.run(settings={"retry": {"attempts": 1}}, give_up_after_s=0.01)

    assert (ended[1].status, job.uploads()) == ("failed", 1)
    assert job.totals()["orphans"] == 1


async def test_an_upload_that_is_refused_leaves_nothing(job):
    job.add(1, size_bytes=LARGE)
    job.sandbox.fault(on="blob", do="status", status=422, when="before")

    ended = await job.run()

    assert (ended[1].status, job.uploads(), job.totals()["orphans"]) == ("failed", 0, 0)
