"""Memory is bounded by the buffers' budget, whatever the file sizes and the server's mood."""

from __future__ import annotations

import asyncio
import json
import platform
import sys
from pathlib import Path

import pytest

from chartsend.testing import SandboxProcess

COUNT = 64
MB = 1_000_000


@pytest.mark.memory
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("arguments", "method", "ceiling_mb"),
    [
        pytest.param((), "upload", 160, id="plain-upload"),
        pytest.param((), "embed", 160, id="plain-embed"),
        pytest.param(("--tls",), "upload", 200, id="tls-upload"),
        pytest.param(("--tls",), "embed", 200, id="tls-embed"),
    ],
)
async def test_64_large_files_at_once_to_a_slow_reader(make_file, arguments, method, ceiling_mb):
    path, sha256 = make_file(29_000_000)
    with SandboxProcess.start(*arguments) as sandbox:
        sandbox.fault(
            on="blob" if method == "upload" else "message",
            do="slow_read",
            bytes_per_s=3_000_000,
            times=None,
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("peak.py")),
            str(sandbox.info.profile),
            sandbox.info.destination,
            method,
            str(COUNT),
            path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        found = json.loads(output)
        arrived = [(e["document_id"], e["sha256"]) for e in sandbox.events() if e["kind"] == "message"]

    print(f"peak {found['peak_bytes'] / MB:.0f} MB, idle {found['idle_bytes'] / MB:.0f} MB")
    assert sorted(arrived) == sorted((str(n), sha256) for n in range(COUNT))
    assert found["digests"] == {str(n): sha256 for n in range(COUNT)}
    assert found["peak_bytes"] < ceiling_mb * MB, f"{found['peak_bytes'] / MB:.0f} MB"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others keep or give back as they like")
@pytest.mark.parametrize("size", [300_000, MB])
async def test_memory_of_chunks_is_used_again_and_not_got_anew(make_file, size):
    path, _ = make_file(size)
    with SandboxProcess.start("--quota", "off") as sandbox:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("faults.py")),
            str(sandbox.info.profile),
            sandbox.info.destination,
            path,
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    assert float(output) < 25, "70 to 300 page faults for a file, when each chunk is got from the kernel"
