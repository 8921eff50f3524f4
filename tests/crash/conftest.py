"""Options of the crash tests, and the two processes that the tests of one worker share.

`--kills N` and `--points N` set how many kills at random moments and at system calls there are;
`CHARTSEND_CRASH_SEED` draws others than the ones that CI always runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # what the tests here share; the lives use the same files

from lives import Nursery

from chartsend.testing.sandbox import SandboxProcess

KILLS = 200
POINTS = 300
KILLS_OF_A_TEST = 25
POINTS_OF_A_TEST = 25
SEED = int(os.environ.get("CHARTSEND_CRASH_SEED", "0"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=KILLS, help="Kills at random moments.")
    parser.addoption("--points", type=int, default=POINTS, help="Kills at system calls.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for name, size in (("kills", KILLS_OF_A_TEST), ("points", POINTS_OF_A_TEST)):
        if name in metafunc.fixturenames:
            # When all tests are run, this file is read after the options were.
            default = KILLS if name == "kills" else POINTS
            total = metafunc.config.getoption(f"--{name}", default)
            shares = [
                (SEED * 1_000_000 + start, min(size, total - start)) for start in range(0, total, size)
            ]
            metafunc.parametrize(("seed", name), shares, ids=[f"from {start}" for start, _ in shares])


@pytest.fixture(scope="session")
def shared_sandbox():
    """A sandbox that answers after 15 ms, so that something is in flight whenever a life is killed."""
    with SandboxProcess.start("--quota", "off", "--latency", "15") as process:
        yield process


@pytest.fixture
def busy_sandbox(shared_sandbox):
    shared_sandbox.clear_faults()
    yield shared_sandbox
    shared_sandbox.clear_faults()


@pytest.fixture(scope="session")
def nursery():
    process = Nursery()
    yield process
    process.close()


@pytest.fixture
def folder(tmp_path):
    """A folder that only this user can read, as a ledger's must be."""
    tmp_path.chmod(0o700)
    return tmp_path
