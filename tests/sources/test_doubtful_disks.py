"""Whenever opening a file might wait for somebody, a thread opens it, as it ever did."""

from __future__ import annotations

import ctypes
import errno
import os
import time

import pytest
from warm import (
    LARGE,
    is_opened_here,
    sent,
    threads_used,
    written,
)

from chartsend.sources import cached, mounts, syscalls
from chartsend.sources.cached import OPENER
from chartsend.sources.mounts import MOUNTS, Mount, read_mountinfo

# A large file, all in threads: open, what is left and then nothing at its end, verify.
CALLS = {1000: 1, LARGE: 4}


def refuse(monkeypatch, number: int, *, only: bytes | None = None) -> list[bytes]:
    """Let the system call fail. The seam is the call itself; everything around it is real."""
    asked, real = [], syscalls._calls()

    def openat2(path: bytes) -> int:
        asked.append(path)
        if only is not None and path != only:
            return real.openat2(path)
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(syscalls, "_calls", lambda: real._replace(openat2=openat2))
    return asked


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EINVAL])
async def test_a_system_that_refuses_the_call_is_asked_once(folder, lane, monkeypatch, number, size):
    path = folder / "a.pdf"
    data = written(path, size)
    asked = refuse(monkeypatch, number)
    for n in range(1, 4):
        assert await sent(path, lane) == data
        assert lane.calls == n * CALLS[size]
    assert asked == [os.fsencode(path), b"/"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOENT, errno.EACCES, errno.EMFILE])
async def test_a_file_that_is_not_in_memory_is_opened_in_a_thread_and_the_next_one_is_tried(
    folder, lane, monkeypatch, number
):
    path = folder / "a.pdf"
    data = written(path, 1000)
    asked = refuse(monkeypatch, number)
    for n in range(1, 4):
        assert await sent(path, lane) == data
        assert (lane.calls, len(asked)) == (n, n)


@pytest.mark.parametrize("number", [errno.EPERM, errno.EINVAL])
async def test_one_path_that_is_refused_says_nothing_of_the_others(folder, lane, monkeypatch, number):
    odd, path = folder / "odd.pdf", folder / "a.pdf"
    written(odd, 1000)
    data = written(path, 1000, seed=1)
    refuse(monkeypatch, number, only=os.fsencode(odd))
    await sent(odd, lane)
    assert lane.calls == 1
    assert await threads_used(path, lane, data) == 0


async def test_a_system_without_the_calls_opens_in_threads(folder, lane, monkeypatch):
    data = written(folder / "a.pdf", 1000)
    monkeypatch.setattr(syscalls, "_calls", lambda: None)
    assert await sent(folder / "a.pdf", lane) == data
    assert lane.calls == 1
    assert OPENER.is_refused


@pytest.mark.parametrize("size", [1000, LARGE])
@pytest.mark.parametrize(
    "kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p", "virtiofs", "ceph", "overlay", ""]
)
async def test_files_on_what_is_no_disk_of_this_machine_open_in_threads(
    folder, lane, monkeypatch, kind, size
):
    # The seam is the table of mounts: a network disk cannot be had here.
    found = [mount._replace(kind=kind, name=b"data") for mount in read_mountinfo()]
    monkeypatch.setattr(mounts, "read_mountinfo", lambda: found)
    MOUNTS.forget()
    data = written(folder / "a.pdf", size)
    for n in range(1, 4):
        assert await sent(folder / "a.pdf", lane) == data
        assert lane.calls == n * CALLS[size]
    assert not is_opened_here(folder / "a.pdf")


async def test_a_mount_that_is_not_in_the_table_is_not_local(folder, lane, monkeypatch):
    monkeypatch.setattr(mounts, "read_mountinfo", list)
    MOUNTS.forget()
    await threads_used(folder / "known.bin", lane, b"known")
    assert not is_opened_here(folder / "known.bin")


async def test_without_a_table_of_mounts_nothing_is_local(folder, lane, monkeypatch):
    def unreadable():
        raise FileNotFoundError

    monkeypatch.setattr(mounts, "read_mountinfo", unreadable)
    MOUNTS.forget()
    assert await sent(folder / "known.bin", lane) == b"known"
    assert not is_opened_here(folder / "known.bin")


async def test_a_name_that_a_network_disk_is_mounted_at_opens_in_threads_wherever_it_is(
    folder, lane, monkeypatch
):
    found = [*read_mountinfo(), Mount(10**9, "nfs4", b"a b.pdf")]
    monkeypatch.setattr(mounts, "read_mountinfo", lambda: found)
    MOUNTS.forget()
    data, other = written(folder / "a b.pdf", 1000), written(folder / "c.pdf", 1000, seed=1)
    for n in range(1, 4):
        assert await sent(folder / "a b.pdf", lane) == data
        assert lane.calls == n
    assert await threads_used(folder / "c.pdf", lane, other) == 0


def test_the_table_of_mounts_is_read():
    found = read_mountinfo()
    assert any(mount.kind == "proc" and mount.name == b"proc" for mount in found)
    line = rb"36 35 98:0 /a /mnt/a\040b\134c rw,noatime shared:7 - fuse.sshfs host:/a rw,errors=continue"
    assert mounts._parsed(line) == Mount(36, "fuse.sshfs", b"a b\\c")
    assert mounts._parsed(b"27 1 8:1 / / rw - ext4 /dev/root rw") == Mount(27, "ext4", b"")


async def test_a_mount_whose_opens_are_held_is_left_to_threads_for_a_while(folder, lane, monkeypatch):
    # A virus scanner holds every open; here the time it takes is stretched instead.
    data = written(folder / "a.pdf", 1000)
    monkeypatch.setattr(cached, "SLOW_S", 60.0)
    assert is_opened_here(folder / "a.pdf")  # quickly, whatever was before
    monkeypatch.setattr(cached, "SLOW_S", -1.0)
    assert is_opened_here(folder / "a.pdf")
    assert is_opened_here(folder / "a.pdf")  # one alone says nothing
    assert not is_opened_here(folder / "a.pdf")
    monkeypatch.undo()
    assert not is_opened_here(folder / "a.pdf")
    assert await sent(folder / "a.pdf", lane) == data
    assert lane.calls == 1
    mount = syscalls.look(fd := os.open(folder, os.O_RDONLY)).mount
    os.close(fd)
    MOUNTS.distrust(mount, 0.0)  # the while is over
    assert await threads_used(folder / "a.pdf", lane, data) == 0


async def test_one_slow_open_between_others_says_nothing(folder, monkeypatch):
    for slow_s in (60.0, -1.0, 60.0, -1.0, 60.0):
        monkeypatch.setattr(cached, "SLOW_S", slow_s)
        assert is_opened_here(folder / "known.bin")


async def test_a_file_system_that_never_reads_without_waiting_is_not_tried_again(
    folder, lane, monkeypatch
):
    data, real, tries = written(folder / "a.pdf", 1000), os.preadv, 0

    def preadv(fd, buffers, offset, flags=0):
        nonlocal tries
        if flags:
            tries += 1
            raise OSError(errno.EOPNOTSUPP, "no")
        return real(fd, buffers, offset)

    monkeypatch.setattr(os, "preadv", preadv)
    assert is_opened_here(folder / "a.pdf")
    for n in range(1, 4):
        assert await sent(folder / "a.pdf", lane) == data
        assert lane.calls == n
    assert tries == 1


async def test_reading_ones_own_file_on_the_loop_writes_no_time_of_access(folder, lane):
    path = folder / "a.pdf"
    data = written(path, 1000)
    os.utime(path, ns=(1, 1_000_000_000))  # due under every mount option but noatime
    assert await threads_used(path, lane, data) == 0
    assert await sent(path, lane) == data
    if lane.calls == 0:  # a thread's reading does write it
        assert os.stat(path).st_atime_ns == 1


@pytest.mark.parametrize(
    ("accessed_ago_s", "changed_ago_s", "is_due"),
    [(10, 20, False), (20, 10, True), (10, 10, True), (90_000, 100_000, True), (80_000, 90_000, False)],
)
def test_a_time_of_access_that_would_be_written_is_told(accessed_ago_s, changed_ago_s, is_due):
    now_ns = time.time_ns()
    accessed_ns, changed_ns = (now_ns - ago_s * 10**9 for ago_s in (accessed_ago_s, changed_ago_s))
    assert cached._is_stamp_due(accessed_ns, changed_ns) is is_due


async def test_another_users_file_whose_time_is_due_is_read_in_a_thread(folder, lane, monkeypatch):
    data = written(folder / "a.pdf", 1000)
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(folder).st_uid + 1)
    os.utime(folder / "a.pdf", ns=(1, 1_000_000_000))
    assert not is_opened_here(folder / "a.pdf")
    assert await sent(folder / "a.pdf", lane) == data
    assert lane.calls == 1


def test_no_handle_is_left_when_a_file_is_not_opened(folder):
    (folder / "link").symlink_to("known.bin")
    os.mkfifo(folder / "fifo")
    before = len(os.listdir("/proc/self/fd"))
    for name in ("link", "fifo", "", "none"):
        assert OPENER.open(os.fsencode(folder / name)) is None
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_look_at_what_is_not_open_tells_nothing():
    assert syscalls.look(-1) is None


def test_mounts_that_are_known_stay_bounded(folder, monkeypatch):
    monkeypatch.setattr(mounts, "_MOST", 3)
    MOUNTS.forget()
    for number in range(3):
        MOUNTS.distrust(-number, 60)
    fd = os.open(folder, os.O_RDONLY)
    assert MOUNTS.learn(fd) is not None
    os.close(fd)
    assert len(MOUNTS._since) == 1
