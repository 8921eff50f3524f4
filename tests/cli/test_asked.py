"""What was asked for and cannot be meant is said: paths, destinations, workers."""

from __future__ import annotations

import os

import pytest
from seen import children_of


@pytest.fixture
def one_file(tmp_path):
    path = tmp_path / "one.pdf"
    path.write_bytes(b"%PDF-1.4 one")
    return path


@pytest.fixture
def sending(sandbox, given):
    """A function: paths and options to the arguments of a `send`."""

    def make(*more, to=sandbox.info.destination):
        return ("--profile", sandbox.info.profile, "send", *more, "--to", to, *given)

    return make


@pytest.fixture
def one_core():
    """What this thread starts may use one processor."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        (["gone.pdf"], "where you pointed: there is nothing of that name."),
        (["empty", "gone.pdf"], "where you pointed: there is nothing of the name in argument 2."),
        (["gone.pdf", "empty", "*.tif"], "there is nothing of the name in arguments 1, 3."),
        (["empty"], "no file was found where you pointed."),
    ],
)
def test_a_path_that_leads_to_nothing_is_told_by_its_position(chartsend, sending, tmp_path, paths, said):
    (tmp_path / "empty").mkdir()

    done = chartsend(*sending(*paths))

    assert done.code == 4
    assert said in done.err
    assert "gone" not in done.err
    assert "tif" not in done.err


def test_a_destination_that_looks_mistyped_is_told_before_the_first_request(
    chartsend, sandbox, sending, one_file
):
    mistyped = "memorial-er"

    planned = chartsend(*sending(one_file, "--dry-run", to=mistyped))
    asked = sandbox.requests()["total"]
    sent = chartsend(*sending(one_file, to=mistyped))

    for done in (planned, sent):
        assert done.err.startswith("memorial-er is not in the profile; did you mean memorial-ehr?")
    assert asked == 0
    assert planned.code == 0  # it is allowed all the same
    assert sandbox.requests()["total"] > 0


@pytest.mark.parametrize("to", ["memorial-ehr", "north-clinic"])
def test_a_destination_of_the_profile_or_of_another_name_is_left_alone(chartsend, sending, one_file, to):
    done = chartsend(*sending(one_file, "--dry-run", to=to))

    assert done.code == 0, done.err
    assert "did you mean" not in done.err


def test_a_deletion_asks_so_too(chartsend, sandbox):
    done = chartsend(
        *("--profile", sandbox.info.profile, "delete", "x", "--to", "memorial-er"),
        *("--model", "notes", "--type", "Consent Form", "--patient", "0000991234:MR"),
        *("--provider", "9999999995:NPI"),
    )

    assert "did you mean memorial-ehr?" in done.err


@pytest.mark.parametrize("word", ["auto", "AUTO", "Auto"])
def test_auto_is_understood_in_any_case(chartsend, sending, one_file, word):
    done = chartsend(*sending(one_file, "--workers", word))

    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("files", "options", "workers"),
    [
        (1, ["--workers", 64], 0),
        (2, ["--workers", 64], 2),
        (4, ["--workers", 64, "--concurrency", 2], 2),
    ],
)
def test_no_more_workers_are_started_than_have_something_to_do(
    start, seen, sandbox, sending, tmp_path, files, options, workers
):
    folder = tmp_path / "some"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number}.pdf").write_bytes(b"%%PDF-1.4 %d" % number)
    sandbox.fault(on="message", do="stop_reading", times=None)
    process = start(*sending(folder, *options))
    seen("message", 1)
    started = children_of(process.pid)
    sandbox.clear_faults()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, err
    assert len(started) == workers
    assert out.count(b"accepted") == files


@pytest.mark.usefixtures("one_core")
@pytest.mark.parametrize(("workers", "is_said"), [(1, False), (2, True)])
def test_more_workers_than_processors_are_said_to_be(chartsend, sending, scans, workers, is_said):
    done = chartsend(*sending(scans, "--workers", workers))

    assert done.code == 0, done.err
    said = "2 workers will share the 1 processor that this process may use"
    assert (said in done.err) == is_said
