"""Warm files are opened, read and proven without a thread; whatever could wait goes to one."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading

import anyio
import pytest
from rig import open_files, pattern, until
from warm import (
    LARGE,
    SMALL,
    CountingLane,
    chill,
    is_opened_here,
    sent,
    threads_used,
    written,
)

from chartsend import Document
from chartsend.errors import (
    NotRegularFileError,
    SourceChangedError,
    SourceMissingError,
    SourceUnreadableError,
)
from chartsend.sources import open_source
from chartsend.sources.cached import OPENER
from chartsend.sources.descriptor import Descriptor
from chartsend.sources.file import open_file
from chartsend.sources.mounts import MOUNTS


@pytest.mark.parametrize("size", [0, 1, 4096, 75_000, SMALL, SMALL + 1, LARGE, 4096 * 100])
async def test_a_warm_file_needs_no_thread(folder, lane, size):
    data = written(folder / "a.pdf", size)
    assert await threads_used(folder / "a.pdf", lane, data) == 0


async def test_the_first_file_of_a_mount_opens_in_a_thread_and_the_next_ones_do_not(
    folder, lane, tmp_path
):
    MOUNTS.forget()
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    first, second = tmp_path / "one" / "a.pdf", tmp_path / "two" / "b.pdf"
    one, two = written(first, 1000), written(second, 1000, seed=1)
    assert await sent(first, lane) == one
    assert lane.calls == 1
    assert await threads_used(second, lane, two) == 0


async def test_a_name_that_is_not_text_needs_no_thread_either(folder, lane):
    path = os.fsencode(folder) + b"/marla\n-\xff\xfe.pdf"
    with open(path, "wb") as file:
        file.write(data := pattern(1000))
    assert await threads_used(os.fsdecode(path), lane, data) == 0


@pytest.mark.parametrize("warm", [True, False])
async def test_a_small_file_is_whole_read_only_and_closed_when_it_was_opened(folder, lane, warm):
    data = written(folder / "a.pdf", 75_000)
    if not warm:
        chill(folder / "a.pdf")
    source = await open_file(str(folder / "a.pdf"), lane=lane, read_s=30, small_bytes=SMALL)
    assert str(folder / "a.pdf") not in open_files().values()
    os.unlink(folder / "a.pdf")
    for _ in range(2):
        reader = source.reader()
        assert reader.whole == data
        assert reader.whole.readonly
        buffer = memoryview(bytearray(50_000))
        assert [await reader.read_into(buffer) for _ in range(3)] == [50_000, 25_000, 0]
        await reader.verify()
        await reader.aclose()
    source.close()


async def test_the_caller_says_what_is_small(folder, lane):
    written(folder / "a.pdf", 1000)
    document = Document.from_path(str(folder / "a.pdf"), type="Consent Form")
    for small_bytes, is_whole in [(1000, True), (999, False), (0, False)]:
        async with open_source(
            document, lane=lane, read_s=30, allow_empty=False, small_bytes=small_bytes
        ) as source:
            assert (source.reader().whole is not None) is is_whole


@pytest.mark.parametrize("content", [b"", b"abc", bytearray(b"abc"), memoryview(b"abcdef")[::1]])
async def test_bytes_in_memory_are_whole_and_not_copied(lane, content):
    document = Document.from_bytes(content, title="a.txt", type="Consent Form")
    async with open_source(document, lane=lane, read_s=30, allow_empty=True) as source:
        whole = source.reader().whole
    assert whole == content
    assert whole.readonly
    if isinstance(content, bytearray):
        content[0] = 0
        assert whole[0] == 0


async def test_a_stream_is_never_whole(lane):
    async def pieces():
        yield b"abc"

    document = Document.from_stream(pieces, size_bytes=3, title="a.txt", type="Consent Form")
    async with open_source(document, lane=lane, read_s=30, allow_empty=False) as source:
        assert source.reader().whole is None


@pytest.mark.parametrize("size", [75_000, 5_000_000])
async def test_a_cold_file_is_read_in_a_thread_and_arrives(folder, lane, size):
    data = written(folder / "a.pdf", size)
    chill(folder / "a.pdf")
    assert await sent(folder / "a.pdf", lane) == data
    assert lane.calls >= 1
    assert await threads_used(folder / "a.pdf", lane, data) == 0  # it is warm now


async def test_a_disk_that_has_to_be_waited_for_is_asked_for_what_comes_next(folder, lane, monkeypatch):
    asked, real = [], os.posix_fadvise

    def advise(fd, start, count, advice):
        asked.append((start, count, threading.current_thread() is threading.main_thread()))
        real(fd, start, count, advice)

    monkeypatch.setattr("chartsend.sources.descriptor._advise", advise)
    monkeypatch.setattr("chartsend.sources.descriptor._NOWAIT", 0)  # every read goes to a thread
    data = written(folder / "a.pdf", 3_500_000)
    assert await sent(folder / "a.pdf", lane) == data
    assert [start for start, _, _ in asked] == [n * 1024 * 1024 for n in range(4)]
    assert not any(on_loop for _, _, on_loop in asked)


ODD = {
    "{folder}": NotRegularFileError,
    "{folder}/fifo": NotRegularFileError,
    "{folder}/socket": NotRegularFileError,
    "{folder}/device": NotRegularFileError,
    "/dev/null": NotRegularFileError,
    "{folder}/none.pdf": SourceMissingError,
    "{folder}/a.pdf/b.pdf": SourceMissingError,
    "{folder}/\0.pdf": SourceMissingError,
    "{folder}/a.pdf\0.pdf": SourceMissingError,
    "": SourceMissingError,
    "{folder}/\ud800.pdf": SourceMissingError,
    "{folder}/loop": SourceUnreadableError,
    "{folder}/" + "n" * 300: SourceUnreadableError,
}


@pytest.mark.parametrize("path", ODD, ids=range(len(ODD)))
async def test_what_is_no_readable_file_is_opened_by_nobody(folder, lane, monkeypatch, path):
    written(folder / "a.pdf", 10)
    os.mkfifo(folder / "fifo")
    (folder / "device").symlink_to("/dev/zero")
    (folder / "loop").symlink_to("loop")
    opened, real = [], os.open

    def spied(name, *args, **more):
        opened.append(name)
        return real(name, *args, **more)

    monkeypatch.setattr(os, "open", spied)
    with socket.socket(socket.AF_UNIX) as server, pytest.raises(ODD[path]):
        server.bind(str(folder / "socket"))
        await open_file(path.format(folder=folder), lane=lane, read_s=30)
    assert lane.calls == 1  # errors are the thread's to find
    assert opened == []
    assert not OPENER.is_refused


async def test_a_link_is_followed_in_a_thread(folder, lane):
    data = written(folder / "a.pdf", 1000)
    (folder / "link.pdf").symlink_to("a.pdf")
    assert await sent(folder / "link.pdf", lane) == data
    assert lane.calls == 1


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def rewrite(path):
    status = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(10)
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def shrink(path):
    os.truncate(path, 70_000)


@pytest.mark.parametrize("change", [grow, rewrite, shrink])
async def test_a_large_file_that_changes_while_it_is_read_is_noticed_on_the_loop(folder, lane, change):
    path = folder / "a.pdf"
    written(path, LARGE)
    source = await open_file(str(path), lane=lane, read_s=30, small_bytes=SMALL)
    reader = source.reader()
    assert await reader.read_into(memoryview(bytearray(65_536))) == 65_536
    change(path)
    with pytest.raises(SourceChangedError):
        await reader.verify()
    assert lane.calls == 0
    source.close()


@pytest.mark.parametrize("change", [grow, rewrite, shrink])
async def test_a_small_file_that_changes_while_it_is_read_is_noticed(folder, lane, monkeypatch, change):
    path, real = folder / "a.pdf", os.preadv
    written(path, 75_000)
    assert is_opened_here(path)

    def preadv(fd, buffers, offset, flags=0):
        count = real(fd, [buffers[0][:50_000]], offset, flags)
        if offset == 0:
            change(path)
        return count

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(SourceChangedError):
        await open_file(str(path), lane=lane, read_s=30, small_bytes=SMALL)


async def test_a_disk_that_fails_on_the_loop_is_an_unreadable_source(folder, lane, monkeypatch):
    written(folder / "a.pdf", 1000)

    def preadv(fd, buffers, offset, flags=0):
        raise OSError(errno.EIO, "the disk has gone")

    monkeypatch.setattr(os, "preadv", preadv)
    with pytest.raises(SourceUnreadableError, match="EIO"):
        await open_file(str(folder / "a.pdf"), lane=lane, read_s=30)


@pytest.mark.parametrize("step", ["open", "fill"])
async def test_cancelled_in_the_middle_the_thread_keeps_the_descriptor_and_then_gives_it_back(
    folder, lane, monkeypatch, step
):
    path, release, began = folder / "a.pdf", threading.Event(), threading.Event()
    written(path, LARGE)
    if step == "open":
        MOUNTS.forget()
    else:
        monkeypatch.setattr(Descriptor, "fill_cached", lambda *_: False)  # cold
    real = Descriptor.fill

    def fill(self, small_bytes):
        began.set()
        release.wait(30)
        real(self, small_bytes)

    monkeypatch.setattr(Descriptor, "fill", fill)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: open_file(str(path), lane=lane, read_s=30))
        await until(began.is_set)
        tasks.cancel_scope.cancel()
    assert str(path) in open_files().values()
    release.set()
    await until(lambda: str(path) not in open_files().values())


async def test_event_loops_in_several_threads_open_at_once(folder):
    files = {folder / f"{n}.pdf": written(folder / f"{n}.pdf", 20_000, seed=n) for n in range(20)}
    failures = []

    async def run():
        lane = CountingLane()
        for _ in range(10):
            for path, data in files.items():
                if await sent(path, lane) != data:
                    failures.append(path)
        await lane.aclose()

    threads = [threading.Thread(target=asyncio.run, args=(run(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    await until(lambda: not any(thread.is_alive() for thread in threads))
    assert failures == []


async def test_opening_file_after_file_keeps_nobody_from_the_event_loop(folder, lane):
    written(folder / "a.pdf", 1000)
    turns = 0

    async def others():
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        for _ in range(160):
            source = await open_file(str(folder / "a.pdf"), lane=lane, read_s=30)
            source.close()
        tasks.cancel_scope.cancel()
    assert turns >= 9
