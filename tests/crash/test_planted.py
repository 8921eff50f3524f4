"""Eight planted bugs, each caught by the oracles in a scene in which the sound program passes."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import planted
import pytest
import tracing
from evidence import gather, refused_tokens, wait_until_quiet
from judge import judge
from lives import Nursery
from scenery import make
from watching import watched

pytestmark = pytest.mark.timeout(300)
traced = pytest.mark.skipif(tracing.obstacle() is not None, reason=str(tracing.obstacle()))
UNTIL_S = 60.0


@pytest.fixture
def stage(sandbox, folder):
    """A function: a bug or None, and what to do with the lives of a small batch, to what is wrong."""
    with contextlib.closing(Nursery()) as nursery:

        def play(bug, act, *, rows=2, cuts=0, **more):
            scene = make(folder / "batch", "batch", random.Random(1), rows=rows)
            job = scene.job(sandbox, planted=[] if bug is None else [bug], concurrency=rows, **more)
            lives = act(lambda: nursery.bear(job))
            return judged(sandbox, scene, lives, slots=rows, cuts=cuts)

        yield play


def judged(sandbox, scene, lives, slots, cuts):
    counts = wait_until_quiet(sandbox)
    return judge(
        gather(
            scene,
            sandbox.events(),
            told=[each for life in lives for each in life.settled],
            kills=sum(life.code == -9 for life in lives),
            slots=slots,
            cuts=cuts,
            refused_tokens=refused_tokens(counts),
            is_over=True,
        )
    )


def once(bear):
    return [bear().end()]


def killed_and_restarted(is_time, then=lambda: None):
    """Kill the first life as soon as something has happened; let the second one end."""

    def act(bear):
        first = bear()
        is_time(first)
        first.kill()
        then()
        return [first, bear().end()]

    return act


def has_arrived(sandbox):
    def wait(_):
        until = time.monotonic() + UNTIL_S
        while not any(event["kind"] == "message" for event in sandbox.events()):
            assert time.monotonic() < until
            time.sleep(0.01)

    return wait


def has_settled(life):
    assert life.until(lambda line: line.startswith("settled"))


@pytest.fixture
def elsewhere():
    """A server that is not Redox, and takes everything for good."""
    asked = []

    class Yes(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_POST = do_GET  # noqa: N815  # http.server's name

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Yes)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/thanks", asked
    server.shutdown()
    thread.join()
    server.server_close()


def both(bug):
    """The same scene without and with a bug."""
    return pytest.mark.parametrize("bug", [None, bug])


def is_caught(wrong, bug, text):
    if bug is None:
        assert wrong == []
    else:
        assert any(text in said for said in wrong), wrong


@both("skip_the_intent")
def test_a_skipped_intent(stage, sandbox, bug):
    sandbox.fault(do="swallow", on="message", then="silence")
    act = killed_and_restarted(has_arrived(sandbox), then=sandbox.clear_faults)
    is_caught(stage(bug, act), bug, "2 message events, and it was listed as maybe_duplicate 0 times")


@both("retry_a_message_on_504")
def test_a_message_retried_on_504(stage, sandbox, bug):
    sandbox.fault(do="status", on="message", status=504, commit=True)
    wrong = stage(bug, once, cuts=1)
    is_caught(wrong, bug, "2 message events, and it was listed as maybe_duplicate 0 times")


@both("follow_a_redirect")
def test_a_followed_redirect(stage, sandbox, elsewhere, bug):
    address, asked = elsewhere
    headers = {"Location": address}
    sandbox.fault(do="status", on="message", status=302, headers=headers, where={"api": "fhir"})
    is_caught(stage(bug, once), bug, "it is done, and there is no message event")
    assert len(asked) == (bug is not None)


@both("drop_a_result")
def test_a_dropped_result(stage, bug):
    is_caught(stage(bug, once), bug, "the run is over and left it referencing")


@both("reuse_a_jti")
def test_a_reused_jti(stage, bug):
    wrong = stage(bug, killed_and_restarted(has_settled), rows=12)
    is_caught(wrong, bug, "1 token requests were refused")
    is_caught(wrong, bug, "the run is over and left it")


@both("count_a_row_twice")
def test_a_row_counted_twice(stage, bug):
    wrong = stage(bug, once)
    is_caught(wrong, bug, "the counters say {'done': 4}, the rows {'done': 2}")
    is_caught(wrong, bug, "the ledger's own verification")


@both("ignore_the_owner")
def test_an_ignored_owner(stage, bug):
    wrong = stage(bug, once, rows=1, has_two_owners=True)
    is_caught(wrong, bug, "2 message events, and it was listed as maybe_duplicate 0 times")


@traced
@pytest.mark.parametrize("bug", [None, "skip_the_sync", "skip_the_intent"])
def test_a_skipped_sync_or_intent_in_the_log_of_system_calls(sandbox, folder, bug):
    texts = {
        None: None,
        "skip_the_sync": "the disk was never asked to keep it",
        "skip_the_intent": "its intent was never written",
    }
    with contextlib.closing(Nursery()) as nursery:
        scene = make(folder / "batch", "batch", random.Random(1), rows=2)
        plants = [] if bug is None else [bug]
        _, found = watched(nursery, scene, sandbox, folder / "log", planted=plants)
    assert found.messages == 2
    is_caught(found.wrong, bug, texts[bug])


def test_every_planted_bug_has_its_test():
    assert set(planted.PLANTS) == {
        mark.args[1][1]
        for name, test in globals().items()
        if name.startswith("test_")
        for mark in getattr(test, "pytestmark", [])
        if mark.name == "parametrize"
    }
