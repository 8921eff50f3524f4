"""The names in a folder, in order, in little memory."""

from __future__ import annotations

import os
import random

import pytest

from chartsend.disk.names import Kind, names_in


def make(folder, names):
    folder.mkdir()
    for name in names:
        os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY))


@pytest.mark.parametrize("at_once", [1, 2, 7, 100, 101, 10_000])
def test_names_are_sorted_however_many_fit_at_once(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("chartsend.disk.names.AT_ONCE", at_once)
    monkeypatch.setattr("chartsend.disk.names._READ_BYTES", 300)
    random.seed(at_once)
    names = {"".join(random.choices("ab-._é\n日", k=random.randint(1, 60))) + "x" for _ in range(100)}
    make(tmp_path / "f", names)

    found = list(names_in(str(tmp_path / "f")))

    assert [each.name for each in found] == sorted(names, key=os.fsencode)
    assert {each.kind for each in found} == {Kind.FILE}


@pytest.mark.parametrize("at_once", [2, 100])
def test_a_folder_stands_where_its_files_will(tmp_path, monkeypatch, at_once):
    monkeypatch.setattr("chartsend.disk.names.AT_ONCE", at_once)
    make(tmp_path / "f", ["a-", "a.pdf", "a0", "b"])
    (tmp_path / "f" / "a").mkdir()
    (tmp_path / "f" / "l").symlink_to("a")
    os.mkfifo(tmp_path / "f" / "p")

    found = [(each.name, each.kind.name) for each in names_in(str(tmp_path / "f"))]

    assert found == [
        ("a-", "FILE"), ("a.pdf", "FILE"), ("a", "FOLDER"), ("a0", "FILE"), ("b", "FILE"), ("l", "LINK"),
        ("p", "SPECIAL"),
    ]  # fmt: skip


def test_no_file_is_left_and_none_is_open(tmp_path, monkeypatch):
    monkeypatch.setattr("chartsend.disk.names.AT_ONCE", 3)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    make(tmp_path / "f", map(str, range(20)))
    before = set(os.listdir("/proc/self/fd"))

    names = names_in(str(tmp_path / "f"))
    next(names)
    names.close()

    assert set(os.listdir("/proc/self/fd")) == before
    assert [path.name for path in tmp_path.iterdir()] == ["f"]


def test_a_folder_that_cannot_be_read_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        next(names_in(str(tmp_path / "none")))
