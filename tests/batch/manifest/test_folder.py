"""A folder becomes a manifest in which every file has its row."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys

import pytest

from chartsend.batch.manifest.folder import write_listing
from chartsend.batch.manifest.reading import Manifest
from chartsend.disk.own import Own
from chartsend.errors import ConfigError, ManifestError

PATTERN = "{mrn}_{type}_{id}.pdf"


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "scans"
    made.mkdir()
    return made


@pytest.fixture
def put(folder):
    """A function: names of files to put into the folder, and sidecars by name."""

    def files(*names, **sidecars):
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"%PDF-1.4\n")
        for name, said in sidecars.items():
            text = said if isinstance(said, str) else json.dumps(said)
            (folder / f"{name}.pdf.json").write_text(text)

    return files


@pytest.fixture
def target(tmp_path):
    return tmp_path / "listing.jsonl"


def rows(target):
    return [json.loads(line) for line in target.read_text().splitlines()]


def entries(target, folder, **options):
    with Manifest.open(target, root=folder, **options) as manifest:
        return list(manifest.entries())


def test_every_file_is_a_row_in_order_with_what_its_name_says(folder, put, target):
    put("b/2_Scan_y.pdf", "1_Consent Form_x.pdf", "b-/3_Scan_z.pdf")

    listing = write_listing(folder, PATTERN, target)

    assert (listing.rows, listing.is_written, listing.differs) == (3, True, False)
    assert [row["path"] for row in rows(target)] == [
        "1_Consent Form_x.pdf",
        "b-/3_Scan_z.pdf",
        "b/2_Scan_y.pdf",
    ]
    first, *_ = entries(target, folder)
    document = first.row.document
    assert document.path == f"{folder.resolve()}/1_Consent Form_x.pdf"
    assert (document.type, document.document_id) == ("Consent Form", "x")
    assert [(i.id, i.type) for i in document.patient.identifiers] == [("1", "MR")]


def test_without_a_pattern_names_mean_nothing(folder, put, target):
    put("1_Scan_x.pdf", b={"title": "B"})
    put("b.pdf")

    listing = write_listing(folder, None, target)

    assert rows(target) == [{"path": "1_Scan_x.pdf"}, {"path": "b.pdf", "title": "B"}]
    assert (listing.sidecars, dict(listing.skipped.counts)) == (1, {"sidecars": 1})


def test_a_sidecar_says_it_better_than_the_name_and_mixes_no_patients(folder, put, target):
    put("1_Scan_x.pdf", "2_Scan_y.pdf")
    (folder / "1_Scan_x.pdf.json").write_text('{"type": "Note", "title": "T"}')
    (folder / "2_Scan_y.pdf.json").write_text(
        '{"patient": {"identifiers": [{"id": "9"}], "last_name": "L"}}'
    )

    write_listing(folder, "{mrn}_{type}_{id}.pdf", target)

    first, second = rows(target)
    assert (first["type"], first["title"], first["document_id"]) == ("Note", "T", "x")
    assert second["patient"] == {"identifiers": [{"id": "9"}], "last_name": "L"}
    assert second["document_id"] == "y"


def test_links_dot_files_special_files_and_the_runs_own_are_counted_and_no_rows(folder, put, target):
    put("1_Scan_x.pdf", ".hidden.pdf", "key.pem")
    (folder / "link.pdf").symlink_to("1_Scan_x.pdf")
    os.mkfifo(folder / "pipe")

    listing = write_listing(folder, PATTERN, folder / "listing.jsonl", own=Own.of([folder / "key.pem"]))

    assert [row["path"] for row in rows(folder / "listing.jsonl")] == ["1_Scan_x.pdf"]
    counts = {key: n for key, n in listing.skipped.counts.items() if n}
    # Its draft was there while the folder was listed; a dot-file, as it happens.
    assert counts == {"links": 1, "special": 1, "own": 1, "dot_files": 2}
    again = write_listing(folder, PATTERN, folder / "listing.jsonl", own=Own.of([folder / "key.pem"]))
    assert (again.rows, again.differs, again.skipped.counts["own"]) == (1, False, 2)


def test_what_cannot_be_said_is_a_row_that_is_rejected_and_says_why(folder, put, target):
    put("SECRET.pdf", "1_Consent_Form_x.pdf", "2_Scan_y.pdf", "3_Scan_z.pdf")
    (folder / "2_Scan_y.pdf.json").write_text('{"tipe": "SECRET"}')
    (folder / "3_Scan_z.pdf.json").write_text('{"type": "SECRET')
    (folder / "gone.pdf.json").write_text('{"patient": {"last_name": "SECRET"}}')

    listing = write_listing(folder, PATTERN, target)

    said = [entry.error.message for entry in entries(target, folder)]
    assert said == [
        "row 1: the file's name fits the pattern in more than one way",
        "row 2: unknown key `tipe`; did you mean `type`?",
        "row 3: the sidecar is not valid JSON (line 1)",
        "row 4: the file's name does not fit the pattern",
        "row 5: a sidecar without its file: it describes a document that is not there",
    ]
    assert listing.refused == {"ambiguous": 1, "sidecar": 2, "pattern": 1, "alone": 1}
    assert listing.rows == 5


def test_a_sidecar_that_was_mended_since_rejects_its_row_all_the_same(folder, put, target):
    put("a.pdf", a="{")
    write_listing(folder, None, target)
    (folder / "a.pdf.json").write_text("{}")

    (entry,) = entries(target, folder)

    assert "was not readable as a description when the folder was listed" in entry.error.message


def test_nobodys_manifest_gets_a_row_past_the_mark(read):
    lines = [
        {"path": "a", "#refused": "pattern"},
        {"path": "../a", "#refused": "sidecar"},
        {"#refused": "x"},
    ]

    assert [entry.row for entry in read("\n".join(map(json.dumps, lines)))] == [None] * 3


def test_names_that_are_odd_are_rows_and_rejected_only_where_they_must_be(folder, put, target):
    put(
        "new\nline.pdf",
        "back\\slash.pdf",
        "é.pdf",
        os.fsdecode(b"\xff.pdf"),
        'quo"te.pdf',
        " space .pdf",
        "dot.",
    )

    write_listing(folder, None, target)

    found = {
        row["path"]: entry for row, entry in zip(rows(target), entries(target, folder), strict=True)
    }
    assert {name for name, entry in found.items() if entry.row is None} == {
        "new\nline.pdf",
        "back\\slash.pdf",
        "dot.",
    }
    for name, entry in found.items():
        if entry.row is not None:
            path = entry.row.document.path.encode("utf-8", "surrogateescape")
            assert os.path.exists(path)
            assert entry.row.document.path.endswith(f"/{name}")


@pytest.mark.parametrize("text", ["é", "\udcff", "a\u200fb"])
def test_a_field_that_a_name_gives_is_checked_as_any_other(folder, put, target, text):
    put(f"{text}.pdf")

    write_listing(folder, "{title}.pdf", target)

    (entry,) = entries(target, folder)
    assert (entry.row is not None) is (text != "\udcff")


def test_the_listing_is_private_whole_and_alone(folder, put, target):
    put("1_Scan_x.pdf")
    previous = os.umask(0)
    try:
        write_listing(folder, PATTERN, target)
    finally:
        os.umask(previous)

    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert {path.name for path in target.parent.iterdir()} == {"scans", "listing.jsonl"}


def test_the_same_folder_leaves_the_listing_as_it_is(folder, put, target):
    put("1_Scan_x.pdf", "2_Scan_y.pdf")
    write_listing(folder, PATTERN, target)
    before = target.stat()

    again = write_listing(folder, PATTERN, target, turn=contextlib.nullcontext(enter_result=True))

    assert (again.rows, again.differs, again.is_written) == (2, False, False)
    assert (target.stat().st_ino, target.stat().st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def add(folder):
    (folder / "0_Scan_a.pdf").write_bytes(b"x")


def remove(folder):
    (folder / "1_Scan_x.pdf").unlink()


def rename(folder):
    (folder / "1_Scan_x.pdf").rename(folder / "1_Scan_w.pdf")


def describe(folder):
    (folder / "1_Scan_x.pdf.json").write_text('{"title": "T"}')


@pytest.mark.parametrize("change", [add, remove, rename, describe])
def test_a_changed_folder_is_said_and_the_old_listing_stays_unless_it_may_go(
    folder, put, target, change
):
    put("1_Scan_x.pdf", "2_Scan_y.pdf")
    write_listing(folder, PATTERN, target)
    before = target.read_bytes()
    change(folder)

    said = write_listing(folder, PATTERN, target)
    assert (said.differs, said.is_written) == (True, False)
    assert target.read_bytes() == before

    said = write_listing(folder, PATTERN, target, turn=contextlib.nullcontext(enter_result=True))
    assert (said.differs, said.is_written) == (True, True)
    assert target.read_bytes() != before
    assert len(list(target.parent.iterdir())) == 2


def test_an_empty_folder_is_an_empty_manifest(folder, target):
    assert write_listing(folder, PATTERN, target).rows == 0
    assert entries(target, folder) == []


def test_what_cannot_be_listed_or_written_is_refused_and_leaves_nothing(
    folder, put, tmp_path, monkeypatch
):
    put("a/1_Scan_x.pdf")
    with pytest.raises(ManifestError, match="no folder"):
        write_listing(tmp_path / "none", PATTERN, tmp_path / "l.jsonl")
    with pytest.raises(ManifestError, match="ENOENT"):
        write_listing(folder, PATTERN, tmp_path / "none" / "l.jsonl")
    with pytest.raises(ConfigError, match="unknown field"):
        write_listing(folder, "{x}", tmp_path / "l.jsonl")

    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("/a"):
            raise PermissionError(13, "no")
        return scandir(path)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(ManifestError, match="1 folders cannot be listed"):
        write_listing(folder, PATTERN, tmp_path / "l.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_a_full_disk_is_an_error_and_leaves_nothing(folder, put, tmp_path):
    put("1_Scan_x.pdf")

    class FullError(OSError):
        pass

    def full(_):
        raise FullError(28, "no space")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(ManifestError, match="ENOSPC"):
            write_listing(folder, PATTERN, tmp_path / "l.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["scans"]


def test_the_listing_is_the_same_in_every_locale(folder, put, target):
    put("é_Scan_1.pdf", "日_Scan_2.pdf", os.fsdecode(b"\xff_Scan_3.pdf"), "z/ß_Scan_4.pdf")
    write_listing(folder, PATTERN, target)
    other = target.with_name("other.jsonl")
    program = (
        "import sys\nfrom chartsend.batch.manifest.folder import write_listing\n"
        f"write_listing(sys.argv[1], {PATTERN!r}, sys.argv[2])"
    )

    subprocess.run(
        [sys.executable, "-c", program, str(folder), str(other)],
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"},
        check=True,
    )

    assert other.read_bytes() == target.read_bytes()
    assert [row["path"] for row in rows(target)][:2] == ["z/ß_Scan_4.pdf", "é_Scan_1.pdf"]
