"""What the tests of the benchmarks share: the package itself, sinks that keep bodies, sample files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # benchmarks is no part of the installed package

from benchmarks.sample import Samples
from benchmarks.sink import SinkProcess


@pytest.fixture(scope="session")
def samples():
    with Samples.open() as opened:
        yield opened


@pytest.fixture(scope="session")
def _keeping(tmp_path_factory):
    started = {}
    for tls in (False, True):
        folder = tmp_path_factory.mktemp("bodies")
        started[tls] = (SinkProcess.start(tls=tls, processes=2, keep=folder), folder)
    yield started
    for sink, _ in started.values():
        sink.close()


@pytest.fixture
def keeping(_keeping):
    """A function: whether TLS, to a sink with nothing counted yet, and the folder of its bodies."""

    def fresh(*, tls: bool = False) -> tuple[SinkProcess, Path]:
        sink, folder = _keeping[tls]
        sink.reset()
        for body in folder.iterdir():
            body.unlink()
        return sink, folder

    return fresh
