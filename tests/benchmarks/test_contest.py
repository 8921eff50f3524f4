"""A figure exists only for work that the sink has seen done."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from benchmarks.contest import SETTLED_S, Contestant, ContestError, figure, ratio, rounds, run
from benchmarks.job import Job, Sample
from benchmarks.proof import ProofError, prove
from benchmarks.sink import Counts, SinkProcess

ROOT = Path(__file__).parents[2]
LIAR = "tests.benchmarks.liar"


def job_for(sink, samples, **changes):
    changes = {"route": "embed", "count": 3, "files": samples.files(10_000, 2)} | changes
    return Job(api_url=sink.url, **changes)


def a_sample(seconds: float = 1.0, documents: int = 3) -> Sample:
    return Sample(
        seconds=seconds,
        cpu_s=0.5,
        documents=documents,
        raw_bytes=3_000,
        idle_rss_bytes=10,
        peak_rss_bytes=30,
    )


@pytest.mark.parametrize("ready_together", [False, True])
def test_every_contestant_runs_once_in_every_round(keeping, samples, ready_together):
    sink, _ = keeping()
    job = job_for(sink, samples)
    both = [Contestant("a", "benchmarks.senders.floor_embed", job), Contestant("b", LIAR, honest(job))]
    found = rounds(both, rounds=2, sink=sink, ready_together=ready_together)
    assert {name: len(of) for name, of in found.items()} == {"a": 2, "b": 2}
    spread = ratio(found["a"], found["b"], lambda sample: sample.mb_per_s)
    assert 0 < spread.low <= spread.median <= spread.high


def honest(job, **options):
    options = {"sends": str(job.count)} | options
    return msgspec.structs.replace(job, files=job.files[:1], options=options)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"fails": "1"}, "did not get ready"),
        ({"sends": "0"}, "0 documents came"),
        ({"sends": "2"}, "2 documents came"),
        ({"sends": "4"}, "4 documents came"),
        ({"instead": __file__}, "around each file"),
        ({"instead": "/nowhere"}, "failed"),
    ],
)
def test_a_sender_that_fails_or_lies_gives_no_figure(keeping, samples, options, why):
    sink, _ = keeping()
    job = honest(job_for(sink, samples), **options)
    with pytest.raises(ContestError, match=why):
        run(Contestant("liar", LIAR, job), sink)


def test_a_route_that_a_sender_does_not_know_gives_no_figure(keeping, samples):
    sink, _ = keeping()
    contestant = Contestant("x", "benchmarks.senders.floor_raw", job_for(sink, samples))
    with pytest.raises(ContestError):
        rounds([contestant], rounds=1, sink=sink)


def test_two_of_one_name_are_refused(keeping, samples):
    sink, _ = keeping()
    contestant = Contestant("x", "benchmarks.senders.floor_embed", job_for(sink, samples))
    with pytest.raises(ContestError, match="same name"):
        rounds([contestant, contestant], rounds=1, sink=sink)


def test_a_sender_at_a_stalled_sink_is_cancelled_after_its_time(samples):
    with SinkProcess.start(stalled=True, processes=1) as sink:
        job = job_for(sink, samples, files=samples.files(2_000_000), count=2, duration_s=0.5)
        sample = run(Contestant("x", "benchmarks.senders.chartsend", job), sink)
    assert sample.documents == sample.raw_bytes == 0
    assert sample.seconds >= 0.5
    assert sample.peak_rss_bytes > sample.idle_rss_bytes


def test_a_sender_at_a_stalled_sink_is_told_when_all_its_servers_have_stalled(samples):
    with SinkProcess.start(stalled=True, processes=1) as sink:
        job = job_for(sink, samples, files=samples.files(2_000_000), count=2, duration_s=300.0)
        sample = run(Contestant("x", "benchmarks.senders.chartsend", job), sink)
    assert sample.notes["stalled"] == 2
    assert SETTLED_S <= sample.seconds < 300
    assert sample.documents == 0


def test_a_sender_ends_when_the_harness_is_killed(samples):
    with SinkProcess.start(stalled=True, processes=1) as sink:
        job = job_for(sink, samples, files=samples.files(2_000_000), count=1)
        program = (
            "import subprocess, sys\n"
            "sender = subprocess.Popen([sys.executable, '-m', 'benchmarks.senders.floor_embed'],\n"
            "    stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
            "sender.stdin.write(sys.argv[1].encode() + b'\\n')\n"
            "sender.stdin.flush()\n"
            "assert sender.stdout.readline() == b'ready\\n'\n"
            "sender.stdin.write(b'go\\n')\n"
            "sender.stdin.flush()\n"
            "print(sender.pid, flush=True)\n"
            "sender.wait()\n"
        )
        text = msgspec.json.encode(job).decode()
        harness = subprocess.Popen(
            [sys.executable, "-c", program, text], stdout=subprocess.PIPE, cwd=ROOT
        )
        sender = os.pidfd_open(int(harness.stdout.readline()))
        try:
            while sink.counts().stalled == 0:  # it is in the middle of a document
                pass
            harness.send_signal(signal.SIGKILL)
            harness.communicate()
            assert select.select([sender], [], [], 60.0)[0]
        finally:
            os.close(sender)


def counts(**changes) -> Counts:
    found = Counts()
    for kind, (requests, body_bytes) in changes.pop("kinds").items():
        for number in range(requests):
            found.add(kind, body_bytes if number == 0 else 0)
    for name, value in changes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize(
    ("route", "seen", "fits"),
    [
        ("raw", {"kinds": {"binary": (3, 3_000)}}, True),
        ("raw", {"kinds": {"binary": (3, 3_000), "message": (3, 9)}}, True),
        ("raw", {"kinds": {"binary": (3, 3_000), "message": (2, 9)}}, False),
        ("raw", {"kinds": {"binary": (3, 2_999)}}, False),
        ("raw", {"kinds": {"binary": (3, 3_001)}}, False),
        ("raw", {"kinds": {"binary": (2, 3_000)}}, False),
        ("raw", {"kinds": {"binary": (3, 3_000)}, "odd": 1}, False),
        ("raw", {"kinds": {"binary": (3, 3_000)}, "broken": 1}, False),
        ("embed", {"kinds": {"message": (3, 3 * (1336 + 1800))}}, True),
        ("embed", {"kinds": {"message": (3, 3 * 1336)}}, False),
        ("embed", {"kinds": {"message": (3, 3 * (1336 + 5000))}}, False),
        ("multipart", {"kinds": {"upload": (3, 3 * (1000 + 200)), "endpoint": (3, 9)}}, True),
        ("multipart", {"kinds": {"upload": (3, 3 * (1000 + 20)), "endpoint": (3, 9)}}, False),
    ],
)
def test_bytes_are_held_to_the_files(samples, route, seen, fits):
    job = Job(route=route, api_url="http://here", files=samples.files(1_000), count=3)
    if fits:
        assert prove(job, a_sample(), counts(**seen))
    else:
        with pytest.raises(ProofError):
            prove(job, a_sample(), counts(**seen))


def test_figures_and_ratios_go_pair_by_pair():
    a, b = [a_sample(2.0), a_sample(4.0), a_sample(9.0)], [a_sample(1.0), a_sample(4.0), a_sample(3.0)]
    assert msgspec.structs.astuple(figure(a, lambda sample: sample.seconds)) == (4.0, 2.0, 9.0)
    assert msgspec.structs.astuple(ratio(a, b, lambda sample: sample.seconds)) == (2.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="zip"):
        ratio(a, b[:2], lambda sample: sample.seconds)
