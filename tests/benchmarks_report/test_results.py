"""Results are kept whole, never overwrite each other, and do not tell whose machine it was."""

from __future__ import annotations

import getpass
import socket

import msgspec
import pytest

from benchmarks import machine, results


def test_what_is_written_is_read_again(planted, tmp_path):
    path = results.create(planted.results, tmp_path)
    assert path.name == "2026-01-31.json"
    assert results.read(path) == planted.results


def test_a_second_run_of_a_day_gets_a_name_of_its_own(planted, tmp_path):
    names = [results.create(planted.results, tmp_path / "new").name for _ in range(3)]
    assert names == ["2026-01-31.json", "2026-01-31-2.json", "2026-01-31-3.json"]
    planted.results.quick = True
    assert results.create(planted.results, tmp_path / "new").name == "2026-01-31-quick.json"


def test_what_is_known_later_takes_the_place_of_what_was_known_before(planted, tmp_path):
    path = results.create(planted.results, tmp_path)
    planted.results.scenes.pop()
    results.replace(planted.results, path)
    assert results.read(path) == planted.results
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_every_sample_is_in_the_file(planted, tmp_path):
    content = msgspec.json.decode(results.create(planted.results, tmp_path).read_bytes())
    assert content["schema"] == results.SCHEMA
    (big,) = (scene for scene in content["scenes"] if scene["scene"] == "big")
    assert all(len(samples) == 3 for group in big["groups"] for samples in group["samples"].values())
    assert {"seconds", "cpu_s", "raw_bytes", "peak_rss_bytes"} <= big["groups"][0]["samples"]["floor"][
        0
    ].keys()


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"no JSON", b'{"date": "2026-01-31"}', b'{"schema": 0}']
)
def test_a_file_that_is_none_is_refused(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(results.ResultsError):
        results.read(path)


def test_a_missing_field_is_refused(planted, tmp_path):
    content = msgspec.json.decode(results.create(planted.results, tmp_path).read_bytes())
    del content["scenes"][0]["groups"][0]["series"]
    path = tmp_path / "cut.json"
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(results.ResultsError, match="series"):
        results.read(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(results.ResultsError, match="cannot be read"):
        results.read(tmp_path / "none.json")


def test_the_machine_is_told_without_its_name(tmp_path):
    found = machine.this(tmp_path)
    assert found.cores >= 1
    assert found.memory_bytes > 2**28
    assert found.versions["chartsend"]
    assert found.python.startswith(("CPython 3.", "PyPy 3."))
    told = msgspec.json.encode(found).decode()
    assert str(tmp_path) not in told
    for secret in (socket.gethostname(), getpass.getuser()):
        assert f'"{secret}"' not in told
    if len(socket.gethostname()) > 3:  # a shorter one may be part of a word
        assert socket.gethostname() not in told


def test_the_file_system_is_that_of_the_nearest_mount():
    assert machine.file_system(machine.Path("/proc/self")) == "proc"


def test_everything_is_listed_by_place_and_figure(planted):
    found = dict(planted.results.everything())
    assert found["start", "a fresh process", "", "import, ms"] == [300] * 3
    place = ("memory", "plain, stalled @ 256", "29 MB files, raw", "peak RSS above idle, MiB")
    assert found[place] == pytest.approx([96] * 3)
