"""Real engines in real processes against a sandbox with the same quota: used up, and never exceeded."""

from __future__ import annotations

import datetime as dt
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chartsend import Settings
from chartsend.transport.quota import read_state

if TYPE_CHECKING:
    from chartsend.testing import SandboxProcess

SENDER = Path(__file__).with_name("sender.py")
REQUESTS, WINDOW_S = 200, 4.0
QUOTA = "200/4"


class Senders:
    """Processes that send through one sandbox."""

    def __init__(self, sandbox: SandboxProcess, quota: str) -> None:
        self._command = [sys.executable, str(SENDER), str(sandbox.info.profile), "--quota", quota]
        self.running: list[subprocess.Popen[str]] = []

    def start(self, documents, first, *options):
        arguments = ["--documents", documents, "--first", first, *options]
        process = subprocess.Popen(
            [*self._command, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.running.append(process)
        return process

    def outcomes(self):
        """What each says of itself at its end."""
        said = [process.communicate(timeout=170)[0] for process in self.running]
        assert [process.returncode for process in self.running] == [0] * len(self.running)
        self.running.clear()
        return [json.loads(each) for each in said]

    def stop(self):
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def senders(sandbox):
    made = Senders(sandbox, QUOTA)
    yield made
    made.stop()


def full_windows(events, window_s):
    """How many requests the sandbox let in, window after window from the first; whole windows only."""
    at_s = sorted(dt.datetime.fromisoformat(event["at"]).timestamp() for event in events)
    windows = int((at_s[-1] - at_s[0]) // window_s)
    counts = [0] * windows
    for at in at_s:
        window = int((at - at_s[0]) // window_s)
        if window < windows:
            counts[window] += 1
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [("--quota", QUOTA)], indirect=True)
@pytest.mark.parametrize("count", [1, 4])
def test_the_quota_is_used_up_and_never_exceeded(sandbox, senders, count):
    each = 900 // count
    for n in range(count):
        senders.start(each, n * each)
    outcomes = senders.outcomes()

    counts = sandbox.requests()
    assert counts["over_quota"] == 0
    assert sum(outcome["statuses"]["accepted"] for outcome in outcomes) == count * each
    assert sum(outcome["requests"] for outcome in outcomes) == count * each + count  # and the tokens
    windows = full_windows(sandbox.events(), WINDOW_S)
    assert len(windows) >= 4
    assert statistics.median(windows) >= 0.95 * int(0.98 * REQUESTS)
    assert max(windows) <= int(0.98 * REQUESTS)


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [("--quota", "5/3")], indirect=True)
def test_a_quota_smaller_than_the_number_of_sends_at_once_is_enough(sandbox):
    """Each send holds a place while it waits for the token, which needs a place itself."""
    senders = Senders(sandbox, "5/3")
    senders.start(8, 0)
    try:
        (outcome,) = senders.outcomes()
    finally:
        senders.stop()
    assert outcome["statuses"] == {"accepted": 8}
    assert sandbox.requests()["over_quota"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [("--quota", QUOTA)], indirect=True)
def test_after_a_kill_in_full_flight_the_next_process_is_not_refused_either(sandbox, senders):
    for n in range(3):
        process = senders.start(10_000, n * 10_000)
        seen = len(sandbox.events())
        while len(sandbox.events()) < seen + 60:
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
        process.communicate()
        senders.running.remove(process)
    senders.start(250, 100_000)
    (outcome,) = senders.outcomes()

    assert outcome["statuses"]["accepted"] == 250
    assert sandbox.requests()["over_quota"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [("--quota", QUOTA)], indirect=True)
def test_what_somebody_sends_now_does_not_wait_behind_a_batch(sandbox, senders):
    batch = senders.start(600, 0, "--priority", "backfill")
    settings = Settings.load(sandbox.info.profile, quota=QUOTA)
    while read_state(settings).backfill_free_in_s == 0:
        assert batch.poll() is None
        time.sleep(0.01)
    assert read_state(settings).free_in_s == 0
    senders.start(5, 10_000)
    batched, live = senders.outcomes()

    assert live["held_s"] < batched["held_s"]
    assert sandbox.requests()["over_quota"] == 0
    assert max(full_windows(sandbox.events(), WINDOW_S)) <= int(0.98 * REQUESTS)


@pytest.mark.slow
@pytest.mark.parametrize("sandbox", [("--quota", "40/4")], indirect=True)
def test_a_client_that_believes_in_too_much_learns_and_loses_nothing(sandbox, senders):
    """The server allows a fifth of what is configured, and says so with its 429."""
    senders.start(50, 0)
    senders.start(50, 50)
    outcomes = senders.outcomes()

    assert sum(outcome["statuses"]["accepted"] for outcome in outcomes) == 100
    state = read_state(Settings.load(sandbox.info.profile, quota=QUOTA))
    assert state.cap == 39
    assert state.refusals == sandbox.requests()["over_quota"] > 0
    assert state.refusals <= 2 * 16 + 5  # what was in flight when the first came, and a probe or two
