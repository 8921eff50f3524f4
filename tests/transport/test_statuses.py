"""Every answer with its meaning: the table of the policy, written out a second time.

Expectations are not taken from the engine's own table. `applied` tells what the server did with the
body, and no test may ever see a message applied twice, or one accepted that was not applied.
"""

from __future__ import annotations

import dataclasses
import socket

import pytest
from rig import QUICK, TO, document, outcome, pattern

from chartsend.errors import Verdict

GIVE_UP, RETRY, DOUBT = Verdict.GIVE_UP, Verdict.RETRY, Verdict.IN_DOUBT
SMALL, LARGE = pattern(2000), pattern(16_000_000)
"""A large body is more than the kernels take (about 4 MB): an early answer is early indeed."""


def code_of(status: int) -> str:
    """The error class."""
    named = {
        400: "invalid", 401: "auth_rejected", 403: "forbidden", 404: "not_found",
        408: "server_unavailable", 409: "conflict", 412: "conflict", 413: "payload_rejected",
        415: "unsupported_media", 422: "invalid", 425: "server_unavailable", 429: "rate_limited",
    }  # fmt: skip
    by_class = {3: "unexpected_redirect", 4: "unexpected_status", 5: "server_unavailable"}
    return named.get(status, by_class[status // 100])


def expected(kind: str, status: int, *, is_whole: bool, with_retry_after: bool = False):
    """(code, verdict, requests) of an answer to an upload or a message."""
    code = code_of(status)
    special = {
        401: (code, GIVE_UP, 2),  # one fresh token, one more try
        408: (code, RETRY, 3),
        425: (code, RETRY, 3),
        429: (code, RETRY, None),  # pauses until the deadline
    }
    if status in special:
        return special[status]
    if status == 409 and kind == "message" and is_whole:
        return code, DOUBT, 1
    if 300 <= status <= 499:
        return code, GIVE_UP, 1
    if kind == "upload" or not is_whole or (status == 503 and with_retry_after):
        return code, RETRY, 3
    return "outcome_unknown", DOUBT, 1


def answer(status: int, *, headers: str = "", body: str = "") -> str:
    length = "" if status in {204, 304} else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status} Scripted\r\n{length}{headers}\r\n{body}"


def method_of(kind: str) -> str:
    return "upload" if kind == "upload" else "embed"


async def differences(engine, raw, kind, cases):
    """Send once per (status, plan, expectation); every difference, as text."""
    found = []
    for number, (status, plan, (code, verdict, requests)) in enumerate(cases):
        raw.clear()
        raw.plan(kind, *[plan] * 6)
        doc = document(SMALL if len(plan) == 0 or plan[0][1] is None else LARGE)
        # A destination of its own for each: retries are budgeted per destination.
        error = await outcome(
            engine,
            doc,
            to=f"to-{number}",
            method=method_of(kind),
            deadline_s=0.6 if requests is None else 15,
        )
        if not isinstance(error, Exception):
            found.append(f"{status}: accepted")
            continue
        asked = raw.requests(kind)
        got = (error.code, error.verdict, requests if requests is None else len(asked))
        if got != (code, verdict, requests):
            found.append(f"{status}: {got}, not {(code, verdict, requests)}: {error.message}")
        states = {DOUBT: "in_doubt"}
        if error.receipt.status != states.get(verdict, "failed"):
            found.append(f"{status}: receipt says {error.receipt.status}")
        if error.receipt.attempts != len(asked):
            found.append(f"{status}: receipt counts {error.receipt.attempts}, the server {len(asked)}")
        if kind == "upload" and raw.requests("message"):
            found.append(f"{status}: a message followed a failed upload")
    return found


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("then", ["keep-alive", "close"])
async def test_every_status_after_the_body(raw, engine_for, kind, then):
    headers = "Connection: close\r\n" if then == "close" else ""
    end = [["fin"], ["drain"]] if then == "close" else []
    statuses = [s for s in range(300, 600) if s % 10 in {0, 1, 2, 3} or s < 435 or 500 <= s < 512]
    cases = [
        (
            s,
            [["read", None], ["send", answer(s, headers=headers)], *end],
            expected(kind, s, is_whole=True),
        )
        for s in statuses
        if s != 429
    ]
    async with engine_for(raw) as engine:
        assert await differences(engine, raw, kind, cases) == []


EARLY = [400, 401, 403, 404, 408, 409, 413, 415, 422, 425, 429, 301, 500, 502, 503, 504, 507, 530]


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("after", [0, 65_536, 3_000_000])
@pytest.mark.parametrize("then", ["close", "reset", "drain", "stall"])
async def test_an_answer_before_the_body_ended(raw, engine_for, kind, after, then):
    ends = {
        "close": [["fin"], ["drain"]],
        "reset": [["reset"]],
        "drain": [["drain"]],
        "stall": [["hold"]],
    }
    statuses = EARLY if (then, after) == ("close", 65_536) else EARLY[::3]
    cases = [
        (
            s,
            [["read", after], ["send", answer(s, body="no")], *ends[then]],
            expected(kind, s, is_whole=False),
        )
        for s in statuses
    ]
    async with engine_for(raw) as engine:
        assert await differences(engine, raw, kind, cases) == []
    assert raw.commits(kind) == 0


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("status", [200, 201, 202, 204])
@pytest.mark.parametrize("then", ["close", "reset", "stall", "drain"])
@pytest.mark.parametrize("after", [0, 300_000])
async def test_an_early_success_is_none(raw, engine_for, kind, status, then, after):
    ends = {
        "close": [["fin"], ["drain"]],
        "reset": [["reset"]],
        "stall": [["hold"]],
        "drain": [["drain"]],
    }
    extra = f"Location: {raw.url}/files/1\r\n"
    good = answer(status, headers=extra, body="" if status == 204 else '{"Meta":{}}')
    raw.plan(kind, *[[["read", after], ["send", good], *ends[then]]] * 4)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(LARGE), method=method_of(kind))
    assert isinstance(error, Exception)
    requests = len(raw.requests(kind))
    if kind == "upload":
        assert (error.code, error.verdict, requests) == ("protocol", RETRY, 3)
        assert not raw.requests("message")
    else:
        assert (error.code, error.verdict, requests) == ("outcome_unknown", DOUBT, 1)


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("value", ["0", "Sun, 06 Nov 1994 08:49:37 GMT"])
async def test_503_with_a_retry_after_is_tried_again(raw, engine_for, kind, value):
    refusal = answer(503, headers=f"Retry-After: {value}\r\n")
    raw.plan(kind, *[[["read", None], ["send", refusal]]] * 2)
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(SMALL), method=method_of(kind))
    assert receipt.status == "accepted", receipt
    assert len(raw.requests(kind)) == 3
    assert raw.commits() == 1


@pytest.mark.parametrize(
    "value", ["", "soon", "-1", "1.5", "1,2", "1e3", "\xb2", "9" * 400, "0x1", "+1"]
)
async def test_503_with_a_retry_after_that_is_none_leaves_a_message_in_doubt(raw, engine_for, value):
    raw.plan(
        "message",
        [["read", None], ["commit"], ["send", answer(503, headers=f"Retry-After: {value}\r\n")]],
    )
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert (error.code, len(raw.requests("message"))) == ("outcome_unknown", 1)


async def test_two_retry_after_are_none(raw, engine_for):
    refusal = answer(503, headers="Retry-After: 0\r\nRetry-After: 5\r\n")
    raw.plan("message", [["read", None], ["commit"], ["send", refusal]])
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert getattr(error, "code", error) == "outcome_unknown"
    assert len(raw.requests("message")) == 1


async def test_two_references_are_none(raw, engine_for):
    there = "".join(f"Location: {raw.url}/files/{n}\r\n" for n in (1, 2))
    raw.plan("upload", *[[["read", None], ["send", answer(201, headers=there)]]] * 3)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="upload")
    assert isinstance(error, Exception)
    assert raw.requests("message") == []


@pytest.mark.parametrize(
    "bad",
    ["what?\r\n\r\n", f"HTTP/1.1 201 OK\r\nContent-Length: 90000\r\n\r\n{' ' * 90_000}"],
    ids=["bad framing", "too large"],
)
async def test_an_upload_whose_answers_are_unreadable_is_tried_twice(raw, engine_for, bad):
    raw.plan("upload", *[[["read", None], ["send", bad], ["fin"], ["drain"]]] * 4)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="upload")
    assert error.receipt.status == "failed"
    assert len(raw.requests("upload")) == 2


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_the_site_may_allow_a_retry_after_500_and_502_only(raw, engine_for, kind, status):
    raw.plan(kind, [["read", None], ["send", answer(status)]])
    retry = dataclasses.replace(QUICK, message_on_5xx="retry")
    async with engine_for(raw, retry=retry) as engine:
        result = await outcome(engine, document(SMALL), method=method_of(kind))
    is_repeated = kind == "upload" or status in {500, 502}
    assert len(raw.requests(kind)) == (2 if is_repeated else 1)
    assert (getattr(result, "status", None) == "accepted") == is_repeated


@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_429_pauses_takes_the_limit_and_goes_on(raw, engine_for, kind):
    refusal = answer(429, headers="X-RateLimit-Limit: 5,000\r\nRetry-After: 0\r\n")
    raw.plan(kind, *[[["read", None], ["send", refusal]]] * 4)
    async with engine_for(raw, quota="10000/300") as engine:
        receipt = await outcome(engine, document(SMALL), method=method_of(kind), deadline_s=50)
        assert receipt.status == "accepted", receipt
        assert engine._open.parts.http._quota.state().cap == 4900
    assert len(raw.requests(kind)) == 5  # more than the attempts: a pause is none
    assert raw.commits() == 1


def requests_of(sandbox):
    """What the sandbox counted, without our own questions."""
    counts = sandbox.process.requests()
    return {name: count for name, count in counts.items() if name != "connections_opened"}


@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("after", [None, 100_000])
async def test_a_redirect_is_never_followed(raw, sandbox, engine_for, kind, status, after):
    there = f"Location: {sandbox.info.api_url}/elsewhere\r\n"
    before = requests_of(sandbox)
    raw.plan(
        kind,
        *[[["read", after], ["send", answer(status, headers=there)], *([["drain"]] if after else [])]]
        * 3,
    )
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(LARGE if after else SMALL), method=method_of(kind))
    assert (error.code, error.verdict) == ("unexpected_redirect", GIVE_UP)
    assert len(raw.requests(kind)) == 1
    assert requests_of(sandbox) == before
    assert sandbox.info.api_url not in error.message


@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_a_401_is_answered_with_one_fresh_token(raw, engine_for, kind):
    raw.plan(kind, [["read", None], ["send", answer(401)]])
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(SMALL), method=method_of(kind))
    assert receipt.status == "accepted", receipt
    assert len(raw.requests("token")) == 2
    tokens = [r["head"].split("Bearer ")[1].split("\r\n")[0] for r in raw.requests(kind)]
    assert len(tokens) == len(set(tokens)) == 2
    assert raw.commits() == 1


@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_a_second_401_ends_the_send(raw, engine_for, kind):
    raw.plan(kind, *[[["read", None], ["send", answer(401)]]] * 2)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method=method_of(kind))
    assert (error.code, error.verdict, error.status) == ("auth_rejected", GIVE_UP, 401)
    assert len(raw.requests(kind)) == len(raw.requests("token")) == 2
    assert error.receipt.status == "failed"


async def test_a_401_then_a_lost_answer_is_in_doubt(raw, engine_for):
    raw.plan("message", [["read", None], ["send", answer(401)]], [["read", None], ["commit"], ["reset"]])
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert error.code == "outcome_unknown"
    assert raw.commits() == 1


async def test_413_on_an_embedded_file_uploads_it_once(raw, engine_for):
    raw.plan("message", [["read", None], ["send", answer(413)]])
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(SMALL), method="auto")
    assert (receipt.status, receipt.method) == ("accepted", "upload")
    assert raw.commits() == 1


async def test_413_on_everything_ends(raw, engine_for):
    raw.plan("message", *[[["read", None], ["send", answer(413)]]] * 4)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="auto")
    assert (error.code, error.verdict) == ("payload_rejected", GIVE_UP)
    assert len(raw.requests("message")) == 2


async def test_a_firewalls_page_is_told_from_redoxs_403(raw, engine_for):
    page = answer(403, headers="Content-Type: text/html; charset=utf-8\r\n", body="<html>marla</html>")
    raw.plan("message", [["read", None], ["send", page]], [["read", None], ["send", answer(403)]])
    async with engine_for(raw) as engine:
        first = await outcome(engine, document(SMALL), method="embed")
        second = await outcome(engine, document(SMALL), method="embed")
    assert (first.by_firewall, second.by_firewall) == (True, False)
    assert "marla" not in first.message


async def test_a_refused_connection_is_tried_again_and_nothing_was_applied(raw, engine_for):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        async with engine_for(
            raw, api_url=url, blob_url=url, token_url=raw.url + "/v2/auth/token"
        ) as engine:
            for kind in ("upload", "message"):
                error = await outcome(engine, document(SMALL), to=TO, method=method_of(kind))
                assert (error.code, error.verdict) == ("connect_failed", RETRY)
                assert error.phase.value == "not_sent"
                assert error.receipt.status == "failed"
    assert raw.requests("message") == []
