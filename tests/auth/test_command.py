"""The key command ends, whatever it does."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from chartsend.auth.command import output_of
from chartsend.errors import ConfigError


def run(code: str, limit_s: float = 10.0) -> bytes:
    command = f"{sys.executable} -c '{code}'"
    return output_of(command, setting="auth.key_command", largest_bytes=65_536, limit_s=limit_s)


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"


def test_output_in_many_pieces_is_whole():
    code = 'import sys\nfor n in range(50): sys.stdout.write("x" * 1000); sys.stdout.flush()'

    assert run(code) == b"x" * 50_000


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path):
    pid_file = tmp_path / "pid"
    code = (
        "import os, subprocess, time\n"
        'child = subprocess.Popen(["sleep", "60"])\n'
        f'open("{pid_file}.new", "w").write(str(child.pid))\n'
        f'os.rename("{pid_file}.new", "{pid_file}")\n'
        "time.sleep(60)"
    )

    began = time.monotonic()
    with pytest.raises(ConfigError, match="within 1 s"):
        run(code, limit_s=1.0)

    assert time.monotonic() - began < 5
    pid = int(pid_file.read_text())
    until = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not is_alive(pid)


def test_a_command_that_closes_its_output_and_lives_on_is_killed():
    began = time.monotonic()
    with pytest.raises(ConfigError, match="within"):
        run("import os, time; os.close(1); time.sleep(60)", limit_s=0.5)

    assert time.monotonic() - began < 5


def test_it_has_no_input_and_leaves_no_descriptor():
    before = open_descriptors()

    assert run("import sys; print(repr(sys.stdin.read()))") == b"''\n"
    assert open_descriptors() == before
