"""Sample files: real sizes, on a real disk, warm or cold; and how stalls of a loop are measured."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from benchmarks.sample import Samples, UnfitDiskError, chill, takes_nowait, warm
from benchmarks.senders.stalls import Stalls

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("size_bytes", [1, 1_000, 1_500_001])
def test_files_have_their_size_and_no_two_are_alike(samples, size_bytes, text):
    paths = samples.files(size_bytes, 2, text=text)
    assert [Path(path).stat().st_size for path in paths] == [size_bytes, size_bytes]
    first, second = (Path(path).read_bytes() for path in paths)
    assert size_bytes == 1 or first != second
    if text:
        first.decode("utf-8")
    assert samples.files(size_bytes, 2, text=text) == paths


def is_cached(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.preadv(descriptor, [bytearray(4096)], 3_000_000, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_files_are_made_cold_and_warm_again(samples):
    (path,) = samples.files(6_000_000)
    for _ in range(100):
        chill([path])
        if not is_cached(path):
            break
    else:
        raise AssertionError("the page cache never let go of the file")
    warm([path])
    assert any(is_cached(path) for _ in range(100)), "the kernel refuses a cached page only now and then"


def test_a_disk_that_refuses_nowait_is_refused(monkeypatch):
    shm = Path("/dev/shm")
    try:
        if takes_nowait(shm):
            pytest.skip("this kernel's tmpfs takes RWF_NOWAIT")
    except OSError:
        pytest.skip("there is no /dev/shm")
    before = set(shm.iterdir())
    with pytest.raises(UnfitDiskError), Samples.open(shm):
        pass
    assert not [path for path in set(shm.iterdir()) - before if path.name.startswith("chartsend")]


async def test_a_long_stall_counts_for_every_tick_it_swallowed():
    stalls = Stalls()
    stalls.begin()
    await asyncio.sleep(0.01)
    time.sleep(0.3)
    await asyncio.sleep(0.01)
    p50, p99, p999, longest = stalls.end()
    assert p50 <= p99 <= p999 <= longest
    assert longest >= 299
    assert p999 >= 250, "one tick of 300 would have hidden"


HOLDS = """
import os
from benchmarks.senders import measuring

held = bytearray(os.urandom(1)) * 80_000_000
assert measuring.rss_bytes() >= 80_000_000
del held
measuring.forget_peak()
before = measuring.peak_rss_bytes()
assert before < 80_000_000, before
held = bytearray(os.urandom(1)) * 40_000_000
assert measuring.peak_rss_bytes() - before >= 35_000_000, (before, measuring.peak_rss_bytes())
assert measuring.cpu_s() > 0
"""


def test_what_a_process_holds_is_measured_from_a_point_on():
    # In a process of its own: this one has freed memory that the next allocation would take first.
    done = subprocess.run(
        [sys.executable, "-c", HOLDS], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
