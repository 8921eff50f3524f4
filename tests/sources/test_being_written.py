"""Files that somebody writes or holds, and systems that refuse: whole bytes, or a typed error."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import time

import pytest
from warm import LARGE, SMALL, sent, written

from chartsend.errors import SourceChangedError, Verdict
from chartsend.sources import descriptor, file
from chartsend.sources.descriptor import YOUNG_NS, Identity
from chartsend.sources.file import open_file

OVERWRITE = """
import os, sys, time
fd, size = os.open(sys.argv[1], os.O_WRONLY), int(sys.argv[2])
versions = [bytes([number]) * size for number in (1, 2, 3)]
print("writing", flush=True)
number, until = 0, time.monotonic() + 60
while time.monotonic() < until and os.getppid() == int(sys.argv[3]):
    number = (number + 1) % 3
    os.pwrite(fd, versions[number], 0)
    time.sleep(float(sys.argv[4]))
"""

HOLD = """
import fcntl, os, signal, sys, time
fd = os.open(sys.argv[1], os.O_RDWR)
def give_up(*_):
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    print("given up", flush=True)
signal.signal(signal.SIGIO, give_up)
fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
while True:
    signal.pause()
"""


class Helper:
    """A process that does something to a file until the block ends."""

    def __init__(self, program, *arguments):
        self._command = [sys.executable, "-c", program, *map(str, arguments)]

    def __enter__(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        return self.process

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("size", [50_000, 4_000_000])
async def test_a_file_that_is_overwritten_in_place_is_never_a_mixture(tmp_path, lane, size):
    path = tmp_path / "a.bin"
    path.write_bytes(b"\1" * size)
    whole = 0
    with Helper(OVERWRITE, path, size, os.getpid(), 0.08):
        until = time.monotonic() + 4
        while time.monotonic() < until:
            try:
                content = await sent(path, lane)
            except SourceChangedError:
                continue
            whole += 1
            assert len(set(content[::4096])) == 1, "old bytes and new ones"
    assert whole > 0


async def test_a_file_that_is_written_without_a_pause_is_for_later(tmp_path, lane, monkeypatch):
    path = tmp_path / "a.bin"
    written(path, SMALL)
    changed_ns, looks = os.stat(path).st_mtime_ns, []

    def just_then():
        looks.append(changed_ns)
        return changed_ns + YOUNG_NS - 1

    monkeypatch.setattr(file.time, "time_ns", just_then)
    with pytest.raises(SourceChangedError) as caught:
        await sent(path, lane)
    assert caught.value.verdict is Verdict.RETRY
    assert len(looks) >= 5


@pytest.mark.parametrize(
    ("age_ns", "rest_ns"), [(0, YOUNG_NS), (YOUNG_NS - 1, 1), (YOUNG_NS, 0), (-1, 0), (10**18, 0)]
)
def test_a_time_of_change_proves_something_when_it_is_old_enough(age_ns, rest_ns):
    now_ns = 1_800_000_000_000_000_000
    identity = Identity(1, now_ns - age_ns, 1, 1)
    assert max(0, identity.settles_in_ns(now_ns)) == rest_ns


async def test_a_file_under_a_lease_is_waited_for(tmp_path, lane):
    path = tmp_path / "a.bin"
    data = written(path, SMALL)
    with Helper(HOLD, path) as holder:
        if holder.poll() is not None:
            pytest.skip("this file system has no leases")
        assert await sent(path, lane) == data
        assert holder.stdout.readline() == "given up\n"


@pytest.mark.parametrize("size", [1000, LARGE])
async def test_a_close_that_fails_takes_nothing_back(tmp_path, lane, monkeypatch, size):
    # What FUSE answers when its FLUSH fails: the number is free all the same.
    path, real, closed = tmp_path / "a.bin", os.close, []
    data = written(path, size)

    def close(fd):
        is_opened = not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_PATH
        is_ours = is_opened and os.readlink(f"/proc/self/fd/{fd}") == str(path)
        real(fd)
        if is_ours:
            closed.append(fd)
            raise OSError(errno.EIO, "flush")

    source = await open_file(str(path), lane=lane, read_s=30, small_bytes=SMALL)
    source.close()
    monkeypatch.setattr(descriptor.os, "close", close)
    assert await sent(path, lane) == data
    assert closed
    assert len(closed) == len(set(closed)), "closed twice: by then it may be somebody else's"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
@pytest.mark.parametrize("size", [1000, LARGE])
async def test_a_filter_that_refuses_preadv_costs_speed_only(tmp_path, lane, monkeypatch, number, size):
    path = tmp_path / "a.bin"
    data = written(path, size)

    def preadv(*_):
        raise OSError(number, "filtered")

    monkeypatch.setattr(descriptor.os, "preadv", preadv)
    assert await sent(path, lane) == data
