"""Manifests with real files, and the real command running: beside a test, or in a terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import struct
import termios
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "Consent Form"


class Made:
    """A folder with files and a manifest of them."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.manifest = folder / "tonight.jsonl"
        self.ledger = folder / "tonight.jsonl.chartsend"
        self.rows: list[dict] = []

    def add(self, content: bytes, **fields):
        """One more file and its row."""
        number = len(self.rows) + 1
        name = f"f{number:04}.pdf"
        (self.folder / name).write_bytes(content)
        row = {
            "path": name,
            "document_id": f"doc-{number}",
            "type": TEXT,
            "patient": {"identifiers": [{"id": f"00009{number:05}", "type": "MR"}]},
        }
        self.rows.append(row | fields)

    def write(self):
        """The manifest, anew."""
        self.manifest.write_text("".join(f"{json.dumps(row)}\n" for row in self.rows))
        return self.manifest


@pytest.fixture
def made(tmp_path):
    """A function: number of rows to a folder with as many small files and a manifest of them."""

    def make(count, name="job", **fields):
        folder = Made(tmp_path / name)
        for number in range(1, count + 1):
            folder.add(b"%%PDF-1.4 %s %d" % (name.encode(), number), **fields)
        folder.write()
        return folder

    return make


@pytest.fixture
def batch(chartsend, sandbox):
    """A function: a verb, a manifest and options to what the command gave, against the sandbox."""

    def call(verb, manifest, *options, to="memorial-ehr", profile=None, before=(), **more):
        addressed = () if to is None else ("--to", to)
        whole = ("--profile", profile or sandbox.info.profile, *before, "batch", verb, manifest)
        return chartsend(*whole, *addressed, *options, **more)

    return call


@pytest.fixture
def arguments(sandbox):
    """A function: the same as arguments, for a command that runs beside the test."""

    def of(verb, manifest, *options):
        return (
            *("--profile", sandbox.info.profile, "batch", verb, manifest),
            *("--to", "memorial-ehr", *options),
        )

    return of


@pytest.fixture
def messages(sandbox):
    """A function: ids of the documents whose messages the sandbox has taken, in order."""

    def taken():
        return [event["document_id"] for event in sandbox.events() if event["kind"] == "message"]

    return taken


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, argv, env, cwd):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # pragma: no cover  # in the child
            os.chdir(cwd)
            os.execvpe(argv[0], argv, env)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        self.seen = b""
        self.is_open = True

    def read_until(self, what=None, timeout_s=60.0):
        """Until something was shown; None: until the end. Gives the exit code at the end."""
        until = time.monotonic() + timeout_s
        while what is None or what not in self.seen:
            if not select.select([self.fd], [], [], max(0.0, until - time.monotonic()))[0]:
                raise AssertionError(f"not shown in time: {what!r}; seen: {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # Linux: the other side has gone
                data = b""
            if not data:
                break
            self.seen += data
        return None if what is not None else self.wait()

    def wait(self):
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def close(self):
        if self.is_open:
            os.close(self.fd)
            self.is_open = False


@pytest.fixture
def terminal(command, environ, tmp_path):
    """A function: arguments to a command in a terminal of its own."""
    opened = []

    def run(*given):
        env = environ | {"TERM": "xterm-256color"}
        env.pop("COLUMNS", None)
        opened.append(Terminal([*command, *map(str, given)], env, tmp_path))
        return opened[-1]

    yield run
    for each in opened:
        each.close()
