"""What the tests of opening share: a lane that counts, a folder on a known disk, a whole reading.

The one rule: files are real, on a disk that reads without waiting; without one the tests are skipped.
"""

from __future__ import annotations

import errno
import os
import time

import pytest
from rig import pattern

from chartsend.aio import Lane
from chartsend.sources.cached import OPENER
from chartsend.sources.descriptor import Descriptor
from chartsend.sources.file import open_file
from chartsend.sources.mounts import MOUNTS

SMALL = 100_000
"""What the tests call small; `LARGE` is not."""
LARGE = 300_000


class CountingLane(Lane):
    """A lane that counts its calls."""

    def __init__(self) -> None:
        super().__init__(threads=2, name="chartsend")
        self.calls = 0

    async def run(self, shared, func, /, *args):
        self.calls += 1
        return await super().run(shared, func, *args)


@pytest.fixture(autouse=True)
def nothing_is_known():
    def forget():
        MOUNTS.forget()
        OPENER.is_refused = OPENER._was_slow = False

    forget()
    yield
    forget()


@pytest.fixture
async def lane():
    lane = CountingLane()
    yield lane
    await lane.aclose()


@pytest.fixture
def folder(tmp_path):
    """A folder whose mount is known, on a disk that reads without waiting."""
    path = tmp_path / "known.bin"
    path.write_bytes(b"known")
    descriptor = Descriptor()
    descriptor.open(str(path))
    if not is_opened_here(path):
        pytest.skip("this system, or this file system, does not open from the cache")
    fd = os.open(path, os.O_RDONLY)
    try:
        os.preadv(fd, [bytearray(5)], 0, os.RWF_NOWAIT)
    except OSError as exc:
        if exc.errno == errno.EOPNOTSUPP:
            pytest.skip("this file system does not read without waiting")
    finally:
        os.close(fd)
    return tmp_path


def is_opened_here(path) -> bool:
    """Whether a file opens from the cache; a few tries, for the kernel may always refuse."""
    for _ in range(50):
        opened = OPENER.open(os.fsencode(path))
        if opened is not None:
            os.close(opened.fd)
            return True
    return False


def written(path, size: int, seed: int = 0) -> bytes:
    path.write_bytes(data := pattern(size, seed))
    settle(path)
    return data


def settle(path) -> None:
    """As if it had been written a while ago: one that was just written is looked at twice."""
    long_ago_ns = time.time_ns() - 10_000_000_000
    os.utime(path, ns=(long_ago_ns, long_ago_ns))


def chill(path) -> None:
    """Take a file's bytes out of the page cache."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        for _ in range(200):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(file.fileno(), [bytearray(1)], 0, os.RWF_NOWAIT)
            except BlockingIOError:
                # Newer kernels have begun to read it by now: out again, unseen this time.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                return
            time.sleep(0.01)
    pytest.skip("the page cache does not let go of the file")


async def sent(path, lane, *, small_bytes: int = SMALL, chunk: int = 64 * 1024) -> bytes:
    """Everything that a send does with a file."""
    source = await open_file(str(path), lane=lane, read_s=30, small_bytes=small_bytes)
    try:
        reader = source.reader()
        if reader.whole is not None:
            content = bytes(reader.whole)
        else:
            content, buffer = b"", memoryview(bytearray(chunk))
            while count := await reader.read_into(buffer):
                content += buffer[:count]
        await reader.verify()
        await reader.aclose()
        assert source.head == content[:4096]
        assert source.size_bytes == len(content)
        return content
    finally:
        source.close()


async def threads_used(path, lane, data: bytes, **options) -> int:
    """The fewest calls of threads in a few sends: the kernel may refuse a cached page at any time."""
    fewest = 1000
    for _ in range(20):
        before = lane.calls
        assert await sent(path, lane, **options) == data
        fewest = min(fewest, lane.calls - before)
    return fewest
