"""Where a ledger stands: ours alone, whole or not there, and on a disk that keeps it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ledger_made import US, bring_to, plan_rows

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, ledgers_of_this_user, place as places
from chartsend.batch.sqlite.place import check_file_system, file_system
from chartsend.errors import (
    ConfigError,
    InsecureConfigError,
    LedgerCorruptError,
    LedgerError,
    TransferError,
)

IS_ROOT = os.geteuid() == 0


async def make(directory: Path) -> None:
    ledger = await SqliteLedger.open(directory, create=True)
    await plan_rows(ledger, 3)
    await bring_to(ledger, 1, State.DONE)
    await ledger.aclose()


@pytest.fixture
async def made(tmp_path) -> Path:
    """The directory of a ledger that was closed."""
    await make(tmp_path / "batch.chartsend")
    return tmp_path / "batch.chartsend"


async def refused(directory: Path, kind: type[TransferError], *, reads: bool = True) -> str:
    """Neither writer nor reader opens it; what the writer was told."""
    with pytest.raises(kind) as caught:
        await SqliteLedger.open(directory, create=True)
    assert type(caught.value) is kind
    if reads:
        with pytest.raises(kind):
            SqliteReader.open(directory)
    assert str(directory) not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
async def test_a_ledger_is_for_its_user_alone_whatever_the_umask(tmp_path, state_home, umask):
    before = os.umask(umask)
    try:
        ledger = await SqliteLedger.open(tmp_path / "deep" / "batch.chartsend", create=True)
        await plan_rows(ledger, 3)
        reader = SqliteReader.open(tmp_path / "deep" / "batch.chartsend")
        reader.counts()
    finally:
        os.umask(before)
    for folder in (tmp_path / "deep" / "batch.chartsend", state_home / "chartsend"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        files = list(folder.iterdir())
        assert len(files) >= 2
        assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    reader.close()
    await ledger.aclose()


async def test_ledgers_of_one_user_share_a_key_and_those_of_another_do_not(tmp_path, monkeypatch):
    hashes = []
    for name, home in (("a", "one"), ("b", "one"), ("c", "two")):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / home))
        ledger = await SqliteLedger.open(tmp_path / name, create=True)
        hashes.append(ledger.keyed(b"x", size_bytes=16))
        await ledger.aclose()
    assert hashes[0] == hashes[1] != hashes[2]


async def test_another_users_ledger_says_nothing_of_ours(tmp_path, monkeypatch, open_ledger):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "theirs"))
    theirs = await open_ledger("theirs")
    await plan_rows(theirs, 1)
    await bring_to(theirs, 1, State.DONE)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "ours"))
    ledger = await open_ledger("ours")
    await plan_rows(ledger, 1)
    assert await ledger.reject_already_sent(str(tmp_path / "theirs")) == 0


async def test_what_an_unreadable_earlier_ledger_does_not_say_is_said(tmp_path, made, open_ledger):
    ledger = await open_ledger("new")
    await plan_rows(ledger, 1)
    (made / "ledger.db").write_bytes(b"")
    with pytest.raises(LedgerCorruptError):
        await ledger.reject_already_sent(str(made))
    with pytest.raises(LedgerError, match="no ledger"):
        await ledger.reject_already_sent(str(tmp_path / "nowhere"))
    assert len(await ledger.claim(US, 5, 0)) == 1


async def test_the_users_ledgers_are_listed_once_each_while_they_are_there(tmp_path, state_home):
    assert list(ledgers_of_this_user()) == []
    for name in ("a", "b\nc", "d\udcff"):
        await make(tmp_path / name)
        await (await SqliteLedger.open(tmp_path / name, create=False)).aclose()
    assert list(ledgers_of_this_user()) == [tmp_path / "a", tmp_path / "b\nc", tmp_path / "d\udcff"]
    shutil.rmtree(tmp_path / "a")
    assert list(ledgers_of_this_user()) == [tmp_path / "b\nc", tmp_path / "d\udcff"]
    assert len((state_home / "chartsend" / "ledgers").read_bytes().splitlines()) == 3


async def test_a_torn_line_of_the_list_loses_no_other(tmp_path, state_home):
    await make(tmp_path / "a")
    await make(tmp_path / "b")
    ledgers = state_home / "chartsend" / "ledgers"
    ledgers.write_bytes(ledgers.read_bytes()[:-5])
    await make(tmp_path / "c")
    assert list(ledgers_of_this_user()) == [tmp_path / "a", tmp_path / "c"]
    await (await SqliteLedger.open(tmp_path / "b", create=False)).aclose()
    assert list(ledgers_of_this_user()) == [tmp_path / name for name in "acb"]


async def test_processes_that_start_at_once_agree_on_the_users_key(tmp_path, state_home):
    program = (
        "import sys; from chartsend.batch.sqlite import keys;"
        "sys.stdin.readline(); print(keys.user_key().hex())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "XDG_STATE_HOME": str(state_home)},
            text=True,
        )
        for _ in range(6)
    ]
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = {child.communicate(timeout=60)[0] for child in children}
    assert len(answers) == 1
    assert len(bytes.fromhex(answers.pop().strip())) == 32
    assert [file.name for file in (state_home / "chartsend").iterdir()] == ["ledger.key"]


async def test_without_a_home_directory_there_is_no_key(tmp_path, monkeypatch):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(ConfigError, match="XDG_STATE_HOME"):
        await SqliteLedger.open(tmp_path / "batch.chartsend", create=True)


async def test_where_there_is_no_ledger_none_is_read(tmp_path):
    for directory in (tmp_path / "nowhere", tmp_path):
        tmp_path.chmod(0o700)
        with pytest.raises(LedgerError, match="no ledger here"):
            SqliteReader.open(directory)
        with pytest.raises(LedgerError, match="no ledger here"):
            await SqliteLedger.open(directory, create=False)
    assert not (tmp_path / "nowhere").exists()


async def test_a_directory_that_holds_something_else_does_not_become_a_ledger(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir(0o700)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(LedgerError, match="other files"):
        await SqliteLedger.open(folder, create=True)
    assert [file.name for file in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o740, 0o755, 0o777])
async def test_a_directory_that_others_can_enter_is_refused(made, mode):
    made.chmod(mode)
    assert "chmod 700" in await refused(made, InsecureConfigError)


@pytest.mark.parametrize("mode", [0o601, 0o620, 0o640, 0o666])
@pytest.mark.parametrize("name", ["ledger.db", "key", "lock", "mark"])
async def test_a_file_that_others_can_read_is_refused(made, name, mode):
    (made / name).chmod(mode)
    assert "chmod 600" in await refused(made, InsecureConfigError)


@pytest.mark.parametrize("name", ["ledger.key", "ledgers"])
async def test_a_users_file_that_others_can_read_is_refused(tmp_path, made, state_home, name):
    (state_home / "chartsend" / name).chmod(0o644)
    await refused(tmp_path / "new", InsecureConfigError, reads=False)


async def test_a_parent_that_everybody_can_write_is_refused_unless_it_is_sticky(tmp_path, made):
    tmp_path.chmod(0o777)
    assert "chmod o-w" in await refused(made, InsecureConfigError)
    await refused(tmp_path / "new", InsecureConfigError, reads=False)
    tmp_path.chmod(0o1777)
    SqliteReader.open(made).close()
    tmp_path.chmod(0o700)


async def test_links_are_refused(tmp_path, made):
    (tmp_path / "link").symlink_to(made)
    await refused(tmp_path / "link", InsecureConfigError)
    for name in ("ledger.db", "key", "lock", "mark"):
        target = tmp_path / f"moved-{name}"
        (made / name).rename(target)
        (made / name).symlink_to(target)
        await refused(made, InsecureConfigError)
        (made / name).unlink()
        (made / name).hardlink_to(target)
        await refused(made, InsecureConfigError)
        (made / name).unlink()
        target.rename(made / name)
    SqliteReader.open(made).close()


@pytest.mark.parametrize("name", ["ledger.db-wal", "ledger.db-shm"])
async def test_a_log_that_is_a_link_is_refused(tmp_path, made, name):
    (tmp_path / "elsewhere").write_bytes(b"")
    (made / name).symlink_to(tmp_path / "elsewhere")
    await refused(made, InsecureConfigError)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", [".", "ledger.db", "key", "lock", "mark"])
async def test_what_belongs_to_another_user_is_refused(made, name):
    os.chown(made / name, 65534, 65534)
    assert "another user" in await refused(made, InsecureConfigError)


async def test_an_empty_ledger_is_refused(made):
    (made / "ledger.db").write_bytes(b"")
    assert "empty" in await refused(made, LedgerCorruptError)


async def test_a_ledger_without_its_key_is_refused(made):
    (made / "key").unlink()
    assert "key is gone" in await refused(made, LedgerCorruptError)


@pytest.mark.parametrize("key", [b"", b"x" * 31, b"x" * 33])
async def test_a_key_of_another_length_is_refused(made, key):
    (made / "key").write_bytes(key)
    assert "bytes instead of 32" in await refused(made, LedgerCorruptError)


async def test_another_ledgers_key_is_refused(made):
    (made / "key").write_bytes(b"x" * 32)
    with pytest.raises(LedgerCorruptError, match="not the one"):
        await SqliteLedger.open(made, create=False)
    reader = SqliteReader.open(made)
    assert any("key is not the one" in finding for finding in reader.verify())
    reader.close()


@pytest.mark.parametrize("content", [b"not a database" * 100, b"\0" * 8192])
async def test_a_foreign_file_is_refused(made, content):
    (made / "ledger.db").write_bytes(content)
    await refused(made, LedgerCorruptError)


async def test_somebody_elses_database_is_refused(made):
    (made / "ledger.db").unlink()
    with sqlite3.connect(made / "ledger.db") as other:
        other.execute("CREATE TABLE rows (a)")
    other.close()
    (made / "ledger.db").chmod(0o600)
    assert "not made by chartsend" in await refused(made, LedgerCorruptError)


async def test_tables_that_were_changed_are_refused(made):
    with sqlite3.connect(made / "ledger.db") as other:
        other.execute("DROP INDEX receipts_accepted")
    other.close()
    assert "tables" in await refused(made, LedgerCorruptError)


async def test_a_newer_ledger_is_refused_and_the_text_says_what_to_do(made):
    with sqlite3.connect(made / "ledger.db") as other:
        other.execute("PRAGMA user_version = 2")
    other.close()
    assert "upgrade chartsend" in await refused(made, LedgerError)


async def test_a_ledger_that_was_half_made_is_made_whole(tmp_path, monkeypatch):
    """Whatever a crash leaves of a ledger that is being made, the next run makes one of it."""
    for stop in range(1, 40):
        directory = tmp_path / f"{stop}"
        counted = _Countdown(stop)
        with monkeypatch.context() as patch:
            for module, name in (
                (places, "write_new"),
                (places, "sync_directory"),
                (places.schema, "create"),
                (places.keys, "remember"),
                (places.keys, "user_key"),
                (Path, "rename"),
                (Path, "unlink"),
                (Path, "mkdir"),
            ):
                patch.setattr(module, name, counted.before(getattr(module, name)))
            try:
                await (await SqliteLedger.open(directory, create=True)).aclose()
            except LedgerError:
                assert counted.left == 0
            else:
                assert stop > 8
                break
        if (directory / "ledger.db").exists():  # it is renamed last, when it is whole
            reader = SqliteReader.open(directory)
            assert reader.verify() == []
            reader.close()
        await make(directory)
        reader = SqliteReader.open(directory)
        assert reader.verify() == []
        reader.close()
        names = {file.name for file in directory.iterdir()}
        assert names - {"ledger.db-wal", "ledger.db-shm"} == {"ledger.db", "key", "lock", "mark"}
    else:
        pytest.fail("it was never made")


class _Countdown:
    """Lets so many calls through, and then fails as a machine does."""

    def __init__(self, left: int) -> None:
        self.left = left

    def before(self, func):
        def call(*args, **kwargs):
            if self.left:
                self.left -= 1
                if not self.left:
                    raise OSError(5, "the machine stops here")
            return func(*args, **kwargs)

        return call


MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:26 / /dev/shm rw - tmpfs tmpfs rw
40 22 0:40 / /net rw - nfs4 host:/x rw
41 40 0:41 / /net/my\040disk rw - ext4 /dev/vdb rw
42 22 0:42 / /mnt rw shared:2 master:1 - ext4 /dev/vdc rw
43 42 0:43 / /mnt rw - fuse.sshfs host: rw
""".strip()


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/me", "ext4"),
        ("/", "ext4"),
        ("/dev/shm/x", "tmpfs"),
        ("/dev/shmx", "ext4"),
        ("/net/batch", "nfs4"),
        ("/net/my disk/batch", "ext4"),
        ("/mnt/batch", "fuse.sshfs"),
    ],
)
def test_the_file_system_is_that_of_the_deepest_and_latest_mount(tmp_path, path, kind):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert file_system(Path(path), mounts) == kind


def test_where_mounts_cannot_be_read_nothing_is_known(tmp_path):
    assert file_system(Path("/"), tmp_path / "nothing") == ""


def test_a_ledger_on_tmpfs_is_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(places, "file_system", lambda _: "tmpfs")
    check_file_system(tmp_path)
    assert "restarts" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs"])
async def test_a_ledger_on_a_network_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(places, "file_system", lambda _: kind)
    with pytest.raises(LedgerError, match="over a network"):
        await SqliteLedger.open(tmp_path / "batch.chartsend", create=True)
