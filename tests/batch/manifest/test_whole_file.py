"""The file as a whole: what it is, that it stays the same, and lines of any length."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from chartsend.batch.manifest.entry import Position
from chartsend.batch.manifest.reading import Manifest, Snapshot
from chartsend.errors import ManifestError

ROW = b'{"path": "a.pdf"}\n'
GIB = 2**30
FORMS = {"jsonl": (b"", ROW), "csv": (b"path,title\n", b"a.pdf,T\n")}


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


def test_the_form_is_told_by_the_name_or_given(tmp_path):
    for name in ("m.jsonl", "m.ndjson", "M.JSONL"):
        (tmp_path / name).write_bytes(ROW)
        with Manifest.open(tmp_path / name) as manifest:
            assert len(list(manifest.entries())) == 1
    (tmp_path / "m.txt").write_bytes(b"path\na\n")
    with Manifest.open(tmp_path / "m.txt", form="csv") as manifest:
        assert len(list(manifest.entries())) == 1
    with pytest.raises(ManifestError, match="ends with none of"):
        Manifest.open(tmp_path / "m.txt")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, make):
    make(tmp_path / "CANARY.jsonl")

    with pytest.raises(ManifestError, match="not a regular file") as caught:
        Manifest.open(tmp_path / "CANARY.jsonl")
    assert "CANARY" not in caught.value.message


@pytest.mark.parametrize("name", ["none.jsonl", "a\0.jsonl", "file/m.jsonl"])
def test_a_manifest_that_is_not_there_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("")

    with pytest.raises(ManifestError, match="there is no manifest"):
        Manifest.open(f"{tmp_path}/{name}")


@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
)
def test_another_encoding_is_refused_as_a_whole(opened, form, encoding):
    header, row = FORMS[form]
    content = (header + row).decode().encode(encoding)

    with pytest.raises(ManifestError, match="UTF-16 or UTF-32"), opened(content, form):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK\x03\x04", "a ZIP file"),
        (b"\x1f\x8b\x08", "compressed"),
        (b"\x28\xb5\x2f\xfd", "compressed"),
        (b"\0" * 5000, "begins with NUL bytes"),
        (b"path\ra\rb\r", "end with CR only"),
        (b'{"path": "a"}\r', "end with CR only"),
        (b"path" + b"x" * 5000 + b"\ra", None),
    ],
)
def test_another_kind_of_file_is_refused_as_a_whole(opened, form, content, said):
    if said is None:  # no line end in what is looked at first
        with opened(content, "jsonl") as manifest:
            assert [entry.row for entry in manifest.entries()] == [None]
        return
    with pytest.raises(ManifestError, match=said), opened(content, form):
        pass


def test_the_file_is_closed_when_it_is_refused(opened):
    before = set(os.listdir("/proc/self/fd"))

    with pytest.raises(ManifestError), opened(b"no header\n", "csv"):
        pass
    with pytest.raises(ManifestError), opened(ROW, root="/none"):
        pass

    assert set(os.listdir("/proc/self/fd")) == before


def test_closing_twice_closes_once(opened):
    with opened(ROW) as manifest:
        manifest.close()
    with pytest.raises(ManifestError, match="EBADF"):
        manifest.entry_at(Position(0, 1))


def test_the_snapshot_is_of_the_opened_file(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(ROW)
    status = path.stat()

    with Manifest.open(path) as manifest:
        assert manifest.snapshot == Snapshot(
            size_bytes=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns,
            inode=status.st_ino,
            device=status.st_dev,
        )
        manifest.check_unchanged()


def append(path):
    with path.open("ab") as file:
        file.write(ROW)


def edit(path):
    with path.open("r+b") as file:
        file.write(b"{")
    os.utime(path, ns=(1, 1))


def edit_and_set_time_back(path):
    status = path.stat()
    with path.open("r+b") as file:
        file.write(b"{")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def truncate(path):
    os.truncate(path, 3)


def replace(path):
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    other.rename(path)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("change", [append, edit, edit_and_set_time_back, truncate, replace, remove])
def test_a_manifest_that_changes_is_noticed_wherever_it_is_read(tmp_path, change):
    path = tmp_path / "m.jsonl"
    path.write_bytes(ROW * 100_000)
    with Manifest.open(path) as manifest:
        entries = manifest.entries()
        first = next(entries)
        assert manifest.sha256(3) == hashlib.sha256(ROW[:3]).digest()
        time.sleep(0.02)  # ext4 tells times in steps of a few milliseconds

        change(path)

        for read in (
            manifest.check_unchanged,
            manifest.sha256,
            lambda: manifest.entry_at(first.position),
            lambda: list(entries),
            lambda: list(manifest.entries()),
        ):
            with pytest.raises(ManifestError, match="changed while it was read"):
                read()
        assert not manifest.is_finished


def test_a_change_after_the_last_block_is_noticed_at_the_end(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_bytes(ROW * 3)
    with Manifest.open(path) as manifest:
        entries = manifest.entries()
        next(entries)
        append(path)
        with pytest.raises(ManifestError, match="changed while it was read"):
            list(entries)


@pytest.mark.parametrize("size", [0, 1, 3, 1024 * 1024, 1024 * 1024 + 1, 3_000_000])
def test_the_digest_is_of_the_file_or_its_beginning(opened, size):
    content = b"# " + os.urandom(1_500_000).hex().encode()

    with opened(content) as manifest:
        assert manifest.sha256() == hashlib.sha256(content).digest()
        assert manifest.sha256(size) == hashlib.sha256(content[:size]).digest()
        with pytest.raises(ValueError, match="0 or more"):
            manifest.sha256(-1)


@pytest.fixture
def sparse(tmp_path, form):
    """A function: rows before to a manifest with a line of 10 GiB, a hole on the disk."""

    def make(rows_before):
        header, row = FORMS[form]
        path = tmp_path / f"sparse.{form}"
        with path.open("wb") as file:
            file.write(header + row * rows_before + b'{"path": "CANARY')
            file.seek(10 * GIB)
            file.write(b"\n" + row)
        if path.stat().st_blocks * 512 > GIB:
            pytest.skip("this file system has no holes")
        return path

    return make


@pytest.mark.parametrize("rows_before", [0, 2])
def test_a_line_of_10_gib_costs_one_row_and_next_to_nothing(sparse, rows_before):
    path = sparse(rows_before)
    with Manifest.open(path) as manifest:
        began = time.process_time()
        *before, bad, after = manifest.entries()
        spent_s = time.process_time() - began

        assert [entry.row is not None for entry in before] == [True] * rows_before
        assert bad.error.message == f"row {bad.number} is longer than 1048576 bytes"
        assert bad.raw == b""
        assert (after.row is not None, after.number) == (True, bad.number + 1)
        assert manifest.entry_at(bad.position) == bad or manifest.entry_at(bad.position).raw == b""
        assert manifest.entry_at(after.position).row == after.row
    assert spent_s < 1  # of this process


@pytest.mark.memory
def test_a_line_of_10_gib_needs_4_mib_at_most(sparse):
    program = (
        "import resource, sys\n"
        "from chartsend.batch.manifest.reading import Manifest\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "with Manifest.open(sys.argv[1]) as manifest:\n"
        "    entries = manifest.entries()\n"
        "    next(entries)\n"
        "    before = peak()\n"
        "    rest = list(entries)\n"
        "    print(len(rest), (peak() - before) // 1024)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(sparse(1))], capture_output=True, text=True, check=True
    )

    rows, grown_mib = map(int, done.stdout.split())
    assert rows == 2
    assert grown_mib <= 4


def test_a_line_without_an_end_refuses_the_file_in_a_while(tmp_path, form, monkeypatch):
    header, row = FORMS[form]
    path = tmp_path / f"m.{form}"
    path.write_bytes(header + row + b"CANARY" * 1_000_000 + b"\n" + row)
    with Manifest.open(path) as manifest:
        assert [entry.row is None for entry in manifest.entries()] == [False, True, False]
        monkeypatch.setattr("chartsend.batch.manifest.opened.MAX_SKIPPED_BYTES", 3_000_000)
        entries = manifest.entries()
        next(entries)
        assert next(entries).row is None
        with pytest.raises(ManifestError, match="has no end within") as caught:
            next(entries)
    assert "CANARY" not in caught.value.message


@pytest.mark.parametrize("length", [2**20 - 1, 2**20, 2**20 + 1])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_1_mib_is_looked_at_and_a_longer_one_is_not(read, form, length, end):
    header, row = FORMS[form]
    line = b"x" * length

    entries = read(header + row + line + end + (row if end else b""), form)

    bad = entries[1]
    assert bad.raw == (line if length <= 2**20 else b"")
    assert len(entries) == (3 if end else 2)
    assert ("is longer than 1048576 bytes" in bad.error.message) is (length > 2**20)


def test_rows_across_blocks_are_read_whole(read, form):
    header, _ = FORMS[form]
    titles = [f"{n:0{n % 3000 + 1}d}" for n in range(1, 2000)]
    rows = [f'{{"path": "a", "title": "{t}"}}' if form == "jsonl" else f"a,{t}" for t in titles]

    entries = read(header + "\n".join(rows).encode(), form)

    assert [entry.row.document.title for entry in entries] == titles


def test_positions_that_are_nobodys_are_refused(opened, form):
    header, row = FORMS[form]
    with opened(header + row * 3, form) as manifest:
        first, second, _ = manifest.entries()
        at, line = second.position.offset, second.position.line
        bad = [
            (at + 1, line),
            (at - 1, line),
            (-1, line),
            (GIB, line),
            (at, 0),
            (first.position.offset, 9),
        ]
        for offset, number in [*bad, (manifest.end.offset, manifest.end.line)]:
            with pytest.raises(ManifestError, match="does not begin where it began"):
                manifest.entry_at(Position(offset, number))
        assert list(manifest.entries(manifest.end)) == []


def test_entries_are_read_by_position_from_many_threads(opened):
    rows = b"".join(b'{"path": "a", "title": "%d"}\n' % n for n in range(2000))
    wrong = []

    def check(part):
        wrong.extend(entry for entry in part if manifest.entry_at(entry.position) != entry)

    with opened(rows) as manifest:
        entries = list(manifest.entries())
        threads = [threading.Thread(target=check, args=(entries[n::4],)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []


@pytest.mark.parametrize(
    "locale", [{"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}, {"PYTHONUTF8": "1"}], ids=str
)
def test_locale_and_encoding_variables_change_nothing(tmp_path, form, locale):
    header, _ = FORMS[form]
    rows = [
        f'{{"path": "s/{n}.pdf", "title": "{n}"}}' if form == "jsonl" else f"s/{n}.pdf,{n}"
        for n in "éß日"
    ]
    path = tmp_path / f"m.{form}"
    path.write_bytes(header + "\n".join(rows).encode())
    (tmp_path / "s").symlink_to("..")  # leads out
    program = (
        "import sys\n"
        "from chartsend.batch.manifest.reading import Manifest\n"
        "with Manifest.open(sys.argv[1]) as m:\n"
        "    print([(e.number, e.error and e.error.message) for e in m.entries()], m.sha256().hex())\n"
        "with Manifest.open(sys.argv[1], root=sys.argv[2]) as m:\n"
        "    print([(ascii(e.row.document.path), ascii(e.row.document.title)) for e in m.entries()])\n"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG", "PYTHON"))}

    def output(variables):
        command = [sys.executable, "-c", program, str(path), str(Path(tmp_path).parent)]
        done = subprocess.run(command, env=clean | variables, capture_output=True, text=True, check=True)
        return done.stdout

    assert output(locale) == output({"LC_ALL": "C.UTF-8"})
