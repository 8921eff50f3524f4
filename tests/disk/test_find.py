"""Which files the arguments mean."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from chartsend.batch.sqlite import SqliteLedger
from chartsend.disk.find import Skipped, look, walk
from chartsend.disk.own import Own

PDF = b"%PDF-1.4\n"
NOTHING = Own()


def found(*arguments, own=NOTHING):
    skipped = Skipped()
    roots = look([str(argument) for argument in arguments], skipped)
    paths = [os.path.relpath(path) for path in walk(roots, skipped, own)]
    return paths, roots.missing, {key: n for key, n in skipped.counts.items() if n}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(*names):
    for name in names:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PDF)


def test_a_folder_is_sent_whole_in_the_order_of_its_paths():
    write("s/b.pdf", "s/a/2.pdf", "s/a/1.pdf", "s/a.pdf", "s/a-.pdf", "s/c/d/e.pdf")

    paths, missing, skipped = found("s")

    assert paths == sorted(paths)
    assert paths == ["s/a-.pdf", "s/a.pdf", "s/a/1.pdf", "s/a/2.pdf", "s/b.pdf", "s/c/d/e.pdf"]
    assert (missing, skipped) == ((), {})


def test_links_dot_names_and_special_files_are_left_out_and_counted(scans):
    paths, _, skipped = found(scans)

    assert [Path(path).name for path in paths] == ["consent.pdf", "large.pdf", "other.pdf"]
    assert skipped == {"links": 2, "dot_files": 2, "special": 1}


def test_a_sidecar_is_counted_and_never_sent_itself():
    write("s/a.pdf", "s/a.pdf.json", "s/lone.json", "s/b.json", "s/b.json.json")

    paths, _, skipped = found("s")

    assert paths == ["s/a.pdf", "s/b.json", "s/lone.json"]
    assert skipped == {"sidecars": 2}


def test_a_sidecar_that_a_glob_or_a_person_names_is_not_sent_either():
    write("s/a.pdf", "s/a.pdf.json")

    assert found("s/*")[0] == ["s/a.pdf"]
    assert found("s/a.pdf.json") == ([], (), {"sidecars": 1})


def test_the_sidecar_of_whatever_is_left_out_is_left_out_too():
    write("s/l.pdf.json", "s/p.json", "s/.h.pdf", "s/.h.pdf.json", "s/dir/a.pdf", "s/dir.json")
    Path("s/l.pdf").symlink_to("nowhere.pdf")
    os.mkfifo("s/p")

    paths, _, skipped = found("s")

    assert paths == ["s/dir.json", "s/dir/a.pdf"]  # a folder has no sidecar
    assert skipped == {"links": 1, "special": 1, "dot_files": 2, "sidecars_alone": 2}
    assert found("s/*.json") == (["s/dir.json"], (), {"sidecars_alone": 2})
    assert found("s/l.pdf", "s/l.pdf.json") == (["s/l.pdf"], (), {"sidecars": 1})


def test_what_is_the_runs_own_is_left_out_of_folders_and_globs_under_each_of_its_names():
    write("s/a.pdf", "s/key.pem", "store/deep/b.pdf", "other/key.pem")
    os.link("s/key.pem", "s/again.pem")
    own = Own.of(["./s/../s/key.pem", "none", None], folder=Path("store"))

    assert found(".", own=own) == (["other/key.pem", "s/a.pdf"], (), {"own": 2, "own_folders": 1})
    assert found("s/*", own=own) == (["s/a.pdf"], (), {"own": 2})
    assert found("s/key.pem", own=own)[0] == ["s/key.pem"]  # refused where it is to be sent
    assert found("s/*", "s/key.pem", own=own)[0] == ["s/a.pdf", "s/key.pem"]


def test_what_is_no_regular_file_is_nobodys_own():
    write("s/a.pdf")
    os.mkfifo("pipe")

    assert not Own.of(["pipe", "s"]).holds("pipe")
    assert not Own.of(["pipe", "s"]).holds("s")


def test_a_quoted_glob_is_expanded_here(tmp_path):
    write("s/1.pdf", "s/2.pdf", "s/3.txt", "s/sub/4.pdf", "s/.5.pdf")
    Path("s/6.pdf").symlink_to("1.pdf")

    assert found("s/*.pdf") == (["s/1.pdf", "s/2.pdf"], (), {"links": 1})
    assert found("s/**/*.pdf")[0] == ["s/1.pdf", "s/2.pdf", "s/sub/4.pdf"]
    assert found(f"{tmp_path}/s/*.txt")[0] == ["s/3.txt"]


def test_a_name_that_looks_like_a_glob_and_exists_is_that_file():
    write("a[1].pdf", "a1.pdf")

    assert found("a[1].pdf")[0] == ["a[1].pdf"]


def test_what_is_not_there_is_missing():
    write("a.pdf")

    assert found("a.pdf", "b.pdf", "*.txt") == (["a.pdf"], ("b.pdf", "*.txt"), {})


def test_a_file_that_is_named_twice_is_sent_once():
    write("s/a.pdf", "s/b.pdf")

    paths, _, skipped = found("s/a.pdf", "s", "./s/b.pdf", "s/../s", "s/*.pdf")

    assert sorted(paths) == ["s/a.pdf", "s/b.pdf"]
    assert skipped == {"repeated": 5}


def test_a_link_or_dot_file_that_is_named_itself_is_taken():
    write("a.pdf", ".b.pdf")
    Path("l.pdf").symlink_to("a.pdf")

    assert found("l.pdf", ".b.pdf") == (["l.pdf", ".b.pdf"], (), {})


def test_a_folder_that_cannot_be_listed_is_counted(monkeypatch):
    write("s/a.pdf", "s/locked/b.pdf")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)

    assert found("s") == (["s/a.pdf"], (), {"unreadable": 1})


def test_a_name_that_is_not_utf8_is_found():
    name = os.fsdecode(b"s/\xff.pdf")
    write(name)

    assert found("s")[0] == [name]


def test_the_folders_are_read_one_after_another(monkeypatch):
    write(*(f"s/{n}/x.pdf" for n in range(5)))
    listed = []
    scandir = os.scandir
    monkeypatch.setattr("os.scandir", lambda path: listed.append(str(path)) or scandir(path))
    skipped = Skipped()

    paths = walk(look(["s"], skipped), skipped)
    next(paths)

    assert listed == ["s", "s/0"]


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A function: a path to a ledger there, as `chartsend` makes it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))

    def make(path):
        async def once():
            await (await SqliteLedger.open(path, create=True)).aclose()

        anyio.run(once)
        return Path(path)

    return make


def test_ledgers_their_manifests_and_listings_are_no_documents_whoever_made_them(ledger):
    write("s/a.pdf", "s/m.jsonl", "s/b/c.pdf", "s/b.chartsend.jsonl", "s/n.jsonl", "s/key", "s/lock.d/x")
    ledger("s/m.jsonl.chartsend")
    ledger("s/b.chartsend")
    ledger("s/under another name")
    (Path("s/under another name") / "notes.txt").write_text("mine")

    paths, _, skipped = found("s")

    assert paths == ["s/a.pdf", "s/b/c.pdf", "s/key", "s/lock.d/x", "s/n.jsonl"]
    assert skipped == {"own": 2, "own_folders": 3}
    assert found("s/*")[0] == ["s/a.pdf", "s/b/c.pdf", "s/key", "s/lock.d/x", "s/n.jsonl"]
    assert found("s/*/key") == ([], (), {"own": 3})
    assert found("s/m.jsonl.chartsend") == ([], (), {"own_folders": 1})


def test_the_folder_of_this_users_key_is_no_folder_of_documents(ledger):
    ledger("l")

    assert found("home") == ([], (), {"own_folders": 1})


def test_half_a_ledger_is_one_too(ledger):
    whole = ledger("s/m.chartsend")
    parts = sorted(path.name for path in whole.iterdir())
    assert {"key", "ledger.db", "lock"} <= set(parts)
    for left in (["lock"], ["key", "lock"], ["key"], ["ledger.db"], ["mark", "ledger.db"]):
        for name in parts:
            if name not in left:
                (whole / name).rename(Path(name))
        assert found("s") == ([], (), {"own_folders": 1}), left
        for name in parts:
            if name not in left:
                Path(name).rename(whole / name)
    (whole / "ledger.db").write_bytes(b"damaged" * 100)
    assert found("s") == ([], (), {"own_folders": 1})


def test_what_only_looks_like_a_ledger_is_sent():
    write("s/key/a.pdf", "s/t/key", "s/t/b.pdf", "s/u/ledger.db", "s/a.chartsend/c.pdf", "s/a")

    paths, _, skipped = found("s")

    assert paths == [
        "s/a",
        "s/a.chartsend/c.pdf",
        "s/key/a.pdf",
        "s/t/b.pdf",
        "s/t/key",
        "s/u/ledger.db",
    ]
    assert skipped == {}
