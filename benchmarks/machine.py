"""Where the benchmarks ran: processor, kernel, versions, the disk's file system, how busy it was before.

The one rule: what tells machines apart as far as speed goes; never a host's name, a user's or a path.
"""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from importlib import metadata
from pathlib import Path

import msgspec

LIBRARIES = ("chartsend", "aiohttp", "httpx", "requests", "pybase64", "uvloop", "orjson", "msgspec")
"""Whose versions are told."""


class Machine(msgspec.Struct, kw_only=True, frozen=True):
    """One machine, as the report's head shows it.

    Attributes:
        cpu: The processor's model.
        cores: How many this process may use.
        memory_bytes: Of the whole machine.
        kernel: Release of the kernel.
        python: Implementation and version.
        versions: Of libraries, OpenSSL and curl; those that are there.
        file_system: Of the folder with the sample files.
        load: The load average of the last minute, before anything was started.
    """

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    versions: dict[str, str]
    file_system: str
    load: float


def this(files: Path) -> Machine:
    """This machine now, with sample files in that folder."""
    return Machine(
        cpu=_cpu(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
        versions=_versions(),
        file_system=file_system(files),
        load=round(os.getloadavg()[0], 2),
    )


def file_system(folder: Path) -> str:
    """The file system's kind, such as `ext4`, of the mount that holds a folder."""
    folder = folder.resolve()
    best, kind = -1, "unknown"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")
        mount = Path(fields[1].replace("\\040", " "))
        if folder.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in {"model name", "Model"}:
            return value.strip()
    return platform.processor() or "unknown"


def _versions() -> dict[str, str]:
    found: dict[str, str] = {}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["OpenSSL"] = ssl.OPENSSL_VERSION.removeprefix("OpenSSL ").split(" ")[0]
    try:
        done = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return found
    found["curl"] = done.stdout.split(" ")[1]
    return found
