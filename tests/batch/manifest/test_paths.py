"""Paths: what could be read as another place anywhere is refused, and links may not lead out."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path

import pytest

from chartsend.batch.manifest.paths import Root
from chartsend.errors import ManifestError, PathEscapeError, RowRejectedError

GROUPS = json.loads(Path(__file__).with_name("paths_that_escape.json").read_text())
CORPUS = [text for group in GROUPS.values() for text in group]
# Bytes that stand for themselves in a text, and make one of the above.
ESCAPED = ["\udcef\udcbc\udc8fa", "..\udce2\udc81\udc84a", "\udce2\udc80\udca5/a", "a\udcc2\udc85"]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "root"
    made.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.pdf").write_text("x")
    return made


def test_the_corpus_has_200_different_strings_and_more():
    assert len(set(CORPUS)) == len(CORPUS)
    assert len(CORPUS) >= 200


@pytest.mark.parametrize("text", [*CORPUS, *ESCAPED], ids=ascii)
def test_what_could_mean_another_place_is_refused_without_being_repeated(folder, text):
    with pytest.raises(PathEscapeError) as caught:
        Root(folder).inside(text)

    assert caught.value.code == "path_escape"
    assert caught.value.message.startswith("path ")
    assert len(text) < 4 or text not in caught.value.message


def test_a_manifest_refuses_the_same(read, folder):
    rows = "\n".join(json.dumps({"path": text}) for text in CORPUS)

    entries = read(rows, root=folder)

    assert len(entries) == len(CORPUS)
    assert {type(entry.error) for entry in entries} == {PathEscapeError}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("a.pdf", "a.pdf"),
        ("scans/2026-07/a_1.pdf", "scans/2026-07/a_1.pdf"),
        ("./a.pdf", "a.pdf"),
        ("a/./b//c.pdf", "a/b/c.pdf"),
        (".hidden", ".hidden"),
        ("..a", "..a"),
        ("a..b/c...d", "a..b/c...d"),
        ("-rf", "-rf"),
        ("a b, (1) & c; #2 @3 = 'x'.pdf", "a b, (1) & c; #2 @3 = 'x'.pdf"),
        ("a~1.pdf", "a~1.pdf"),
        ("100%.pdf", "100%.pdf"),
        ("5$.pdf", "5$.pdf"),
        ("scans/Note: left heel.pdf", "scans/Note: left heel.pdf"),
        ("12:30.pdf", "12:30.pdf"),
        ("J\u00fcrgen/\uff4b/\u30ce.pdf", "J\u00fcrgen/\uff4b/\u30ce.pdf"),
        ("½ dose….pdf", "½ dose….pdf"),
        ("\udcc3\udca9.pdf", "é.pdf"),
        ("\udcff.pdf", "\udcff.pdf"),
    ],
)
def test_a_plain_path_is_taken_and_has_one_spelling(folder, text, path):
    assert Root(folder).inside(text) == f"{folder.resolve()}/{path}"


@pytest.mark.parametrize(
    "text",
    ["", ".", "./", "./.", "a/", "a/.", "x" * 5000, "a/" * 10_000 + "b", "a/" * 2040 + "b", "x" * 256,
     "é" * 128, "a/" + "x" * 300, "a\ud800", "é\udfff"],
    ids=lambda text: f"{len(text)} {text[:4]!a}",
)  # fmt: skip
def test_what_can_be_no_file_is_rejected(folder, text):
    with pytest.raises(RowRejectedError):
        Root(folder).inside(text)


def test_every_pair_of_characters_ends_as_a_path_inside_or_an_error(folder):
    root = Root(folder)
    prefix = f"{folder.resolve()}/"
    odd = "ab./\\~$%:\x00\n \u2044\uff0e\udcff\ud800"
    for letters in itertools.product(odd, repeat=4):
        try:
            path = root.inside("".join(letters))
        except (PathEscapeError, RowRejectedError):
            continue
        assert path.startswith(prefix)
        assert os.path.normpath(path) == path


def test_links_may_lead_anywhere_inside(folder):
    (folder / "real").mkdir()
    (folder / "real" / "a.pdf").write_text("x")
    (folder / "near").symlink_to("real")
    (folder / "l.pdf").symlink_to("real/a.pdf")

    root = Root(folder)

    assert root.inside("near/a.pdf").endswith("/near/a.pdf")
    root.check(root.inside("l.pdf"))


@pytest.mark.parametrize(
    "target", ["../outside/secret.pdf", "{tmp}/outside/secret.pdf", "/dev/null", "..", "/"]
)
def test_a_link_out_of_the_root_is_refused(folder, tmp_path, target):
    (folder / "l").symlink_to(target.format(tmp=tmp_path))
    root = Root(folder)

    with pytest.raises(PathEscapeError, match="leads out of the root"):
        root.inside("l")


@pytest.mark.parametrize("target", ["../outside", ".."])
def test_a_folder_that_is_a_link_out_of_the_root_is_refused(folder, target):
    (folder / "l").symlink_to(target)
    (folder / "chain").symlink_to("l")
    root = Root(folder)

    for name in ("l/secret.pdf", "chain/secret.pdf", "l/not there.pdf"):
        with pytest.raises(PathEscapeError, match="leads out of the root"):
            root.inside(name)


def test_a_folder_with_the_roots_name_in_front_of_its_own_is_outside(folder, tmp_path):
    (tmp_path / "rooted").mkdir()
    (tmp_path / "rooted" / "a").write_text("x")
    (folder / "l").symlink_to("../rooted/a")

    with pytest.raises(PathEscapeError):
        Root(folder).inside("l")


def test_a_link_that_is_put_there_later_is_seen_right_before_the_send(folder):
    (folder / "s").mkdir()
    (folder / "s" / "a.pdf").write_text("x")
    root = Root(folder)
    path = root.inside("s/a.pdf")
    root.check(path)

    (folder / "s").rename(folder / "t")
    (folder / "s").symlink_to("../outside")

    assert root.inside("s/a.pdf") == path  # the folder is remembered
    with pytest.raises(PathEscapeError):
        root.check(path)


def test_a_path_that_was_never_given_is_refused_right_before_the_send(folder, tmp_path):
    with pytest.raises(PathEscapeError):
        Root(folder).check(str(tmp_path / "outside" / "secret.pdf"))


def test_a_loop_of_links_is_no_way_out(folder):
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    Root(folder).inside("a")  # cannot be opened either


def test_the_root_may_itself_be_reached_by_a_link(tmp_path, folder):
    (tmp_path / "link").symlink_to(folder)
    (folder / "a.pdf").write_text("x")

    root = Root(tmp_path / "link")

    assert root.folder == str(folder.resolve())
    assert root.inside("a.pdf") == f"{folder.resolve()}/a.pdf"


def test_the_file_systems_own_root_can_be_the_root():
    root = Root("/")

    assert root.inside("etc/passwd") == "/etc/passwd"
    root.check("/etc/passwd")


@pytest.mark.parametrize("name", ["none", "file", "a\0b"])
def test_a_root_that_is_no_folder_refuses_the_whole_manifest(tmp_path, name):
    (tmp_path / "file").write_text("")

    with pytest.raises(ManifestError, match="root"):
        Root(f"{tmp_path}/{name}")


def test_more_folders_than_are_remembered_are_followed_all_the_same(folder, monkeypatch):
    monkeypatch.setattr("chartsend.batch.manifest.paths.REMEMBERED", 2)
    root = Root(folder)
    (folder / "out").symlink_to("../outside")

    for n in range(5):
        root.inside(f"{n}/a")
    with pytest.raises(PathEscapeError):
        root.inside("out/a")
