"""Runs the real command in a process of its own, with a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest

PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\n"


@dataclass(frozen=True)
class Done:
    """What one call of the command gave."""

    code: int
    out: str
    err: str

    @property
    def receipts(self):
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def environ(tmp_path):
    """An environment without anything of this machine's settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("CHARTSEND_", "XDG_"))}
    home = tmp_path / "home"
    home.mkdir()
    return kept | {"HOME": str(home), "COLUMNS": "100", "TERM": "dumb"}


@pytest.fixture
def command():
    return [sys.executable, "-m", "chartsend"]


@pytest.fixture
def chartsend(environ, command, tmp_path):
    """A function: arguments to what the command gave."""

    def run(*arguments, env=None, cwd=None, timeout=50):
        done = subprocess.run(
            [*command, *map(str, arguments)],
            env=environ | (env or {}),
            cwd=cwd or tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@pytest.fixture
def start(command, environ, tmp_path):
    """A function: arguments to a running command; what still runs at the end is killed."""
    running = []

    def run(*given, env=None, **more):
        process = subprocess.Popen(
            [*command, *map(str, given)],
            env=environ | (env or {}),
            cwd=more.pop("cwd", tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=more.pop("stdout", subprocess.PIPE),
            stderr=more.pop("stderr", subprocess.PIPE),
            **more,
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def seen(sandbox):
    """A function: waits until the sandbox has seen so many requests of a kind."""

    def wait(kind, count, timeout_s=60.0):
        until = time.monotonic() + timeout_s
        while sandbox.requests()["seen"].get(kind, 0) < count:
            assert time.monotonic() < until, sandbox.requests()
            time.sleep(0.02)

    return wait


@pytest.fixture
def scans(tmp_path):
    """A folder with three files to send and everything that is left out."""
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "consent.pdf").write_bytes(PDF)
    (folder / "large.pdf").write_bytes(PDF + os.urandom(300_000))
    (folder / "sub" / "other.pdf").write_bytes(PDF + b"other")
    (folder / ".hidden.pdf").write_bytes(PDF)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.pdf").write_bytes(PDF)
    (folder / "link.pdf").symlink_to("consent.pdf")
    (folder / "sub" / "folder").symlink_to("..")
    os.mkfifo(folder / "pipe")
    return folder


GIVEN = ("--patient", "0000991234:MR", "--type", "Consent Form", "--provider", "9999999995:NPI")


@pytest.fixture
def given():
    """Options that describe a document well enough for every model but results."""
    return GIVEN
