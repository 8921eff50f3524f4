"""Batches use the window they may use, whole, and never more: one process or four, killed or not."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

REQUESTS, WINDOW_S = 2000, 20
QUOTA = f"{REQUESTS}/{WINDOW_S}"
PATIENT = {"identifiers": [{"id": "0000991234", "type": "MR"}], "last_name": "Quillfeather"}
DRIVER = Path(__file__).with_name("quota_driver.py")


def _manifest(folder: Path, number: int, rows: int) -> Path:
    folder = folder / str(number)
    folder.mkdir()
    (folder / "f.pdf").write_bytes(b"%PDF-1.4\n" + b"x" * 300)
    manifest = folder / "manifest.jsonl"
    with manifest.open("w") as file:
        for row in range(rows):
            line = {
                "path": "f.pdf",
                "document_id": f"B{number}-{row}",
                "type": "Consent Form",
                "patient": PATIENT,
                "provider": {"id": "9999999995", "id_type": "NPI"},
            }
            file.write(json.dumps(line) + "\n")
    return manifest


def _start(sandbox, manifest: Path, share: float) -> subprocess.Popen:
    info = sandbox.info
    command = [sys.executable, str(DRIVER), str(info.profile), info.destination, str(manifest), QUOTA]
    return subprocess.Popen([*command, str(share)])


def _moments(sandbox) -> list[float]:
    return sorted(dt.datetime.fromisoformat(event["at"]).timestamp() for event in sandbox.events())


def _full_windows(moments: list[float]) -> list[int]:
    """Requests in each whole window from the first request on, the last one left out."""
    start, counts = moments[0], []
    while start + 2 * WINDOW_S <= moments[-1]:
        counts.append(sum(start <= at < start + WINDOW_S for at in moments))
        start += WINDOW_S
    return counts


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sandbox", [("--quota", QUOTA)], indirect=True)
@pytest.mark.parametrize(("processes", "share"), [(1, 1.0), (4, 1.0), (1, 0.9)])
def test_a_full_window_is_used_and_never_overdrawn(sandbox, tmp_path, processes, share):
    rows = int(REQUESTS * share * 3.4) // processes
    manifests = [_manifest(tmp_path, number, rows) for number in range(processes)]
    children = [_start(sandbox, manifest, share) for manifest in manifests]
    assert [child.wait() for child in children] == [0] * processes
    requests = sandbox.requests()
    assert requests["over_quota"] == 0
    assert requests["statuses"].get("429", 0) == 0
    windows = _full_windows(_moments(sandbox))
    assert len(windows) >= 2
    assert statistics.median(windows) >= 0.95 * REQUESTS * share
    assert max(windows) <= REQUESTS * share * 0.98 + 1


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("sandbox", [("--quota", QUOTA)], indirect=True)
def test_a_kill_in_the_middle_of_a_window_overdraws_nothing(sandbox, tmp_path):
    manifest = _manifest(tmp_path, 0, 4000)
    for _ in range(3):
        child = _start(sandbox, manifest, 1.0)
        before = len(sandbox.events())
        deadline = time.monotonic() + 60
        while len(sandbox.events()) < before + 300 and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    assert _start(sandbox, manifest, 1.0).wait() == 0
    requests = sandbox.requests()
    assert requests["over_quota"] == 0
    assert requests["statuses"].get("429", 0) == 0
