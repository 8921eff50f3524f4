"""Asking a destination whether it has a document: every doubt stays one, and nothing else is told."""

from __future__ import annotations

import dataclasses
import json
from urllib.parse import parse_qs

import anyio
import pytest
from rig import TO, Notes, described, document, outcome, pattern, until

from chartsend import Document, Engine
from chartsend.errors import (
    AuthRejectedError,
    ConfigError,
    DeadlineExceededError,
    ProtocolError,
    ResponseTooLargeError,
    ServerUnavailableError,
    TransferError,
    Verdict,
)
from chartsend.redox.search import Presence

pytestmark = pytest.mark.short_waits

FOUND, ABSENT, UNCLEAR = Presence.FOUND, Presence.ABSENT, Presence.UNCLEAR
SMALL = pattern(500)
NONE = {"resourceType": "Bundle", "type": "searchset", "total": 0}
OTHER = {"resource": {"resourceType": "DocumentReference", "masterIdentifier": {"value": "doc-10"}}}


@pytest.fixture
async def engine(engine_for, sandbox):
    """An engine that has sent doc-1."""
    async with engine_for(sandbox) as engine:
        await engine.send(document(SMALL), to=TO)
        yield engine


def answer(sandbox, body, *, times=None, **fields):
    text = body if isinstance(body, str) else json.dumps(body)
    sandbox.fault(on="search", do="status", body=text, times=times, **{"status": 200, **fields})


async def found(engine, document_id="doc-1", **options):
    return await engine.find(document_id, to=TO, deadline_s=20, **options)


async def failure(engine):
    with pytest.raises(TransferError) as caught:
        await found(engine)
    return caught.value


async def test_what_was_sent_is_found_and_what_was_not_is_absent(engine, sandbox):
    assert await found(engine) is FOUND
    assert await found(engine, "never-sent") is ABSENT
    assert await found(engine, "doc-") is ABSENT
    statistics = engine.statistics()
    assert (statistics.queries, statistics.requests, statistics.retries) == (3, 1, 0)
    assert len(sandbox.events()) == 2  # a token and the document: a search changes nothing


async def test_a_send_in_doubt_is_told_apart(engine, sandbox):
    sandbox.fault(on="message", do="swallow")
    taken = await outcome(engine, document(SMALL, document_id="taken"))
    sandbox.fault(on="message", do="reset", at_byte=None)
    lost = await outcome(engine, document(SMALL, document_id="lost"))
    assert (taken.verdict, lost.verdict) == (Verdict.IN_DOUBT, Verdict.IN_DOUBT)
    assert await found(engine, "taken") is FOUND
    assert await found(engine, "lost") is ABSENT


async def test_a_system_of_our_own_is_compared(settings_for, sandbox):
    settings = settings_for(sandbox)
    known = settings.destinations[TO]
    ours = dataclasses.replace(known, identifier_systems={"document": "urn:ours"})
    async with Engine(dataclasses.replace(settings, destinations={TO: ours})) as engine:
        await engine.send(document(SMALL), to=TO)
        assert await found(engine) is FOUND
        theirs = json.loads(json.dumps(OTHER))
        theirs["resource"]["masterIdentifier"] = {"system": "urn:theirs", "value": "doc-1"}
        answer(sandbox, {**NONE, "total": 1, "entry": [theirs]})
        assert await found(engine) is UNCLEAR


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<!doctype html><html><body>ok</body></html>",
        {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]},
        {"Meta": {}},
        {**NONE, "total": 1, "entry": [OTHER]},
        {**NONE, "total": 3},
        {**NONE, "link": [{"relation": "next", "url": "https://h/next"}]},
        {**NONE, "total": 2, "entry": [OTHER], "link": [{"relation": "next", "url": "u"}]},
        json.dumps(NONE)[:-3],
    ],
)
@pytest.mark.parametrize("document_id", ["doc-1", "never-sent"])
async def test_answers_that_prove_nothing_are_unclear_and_not_asked_again(
    engine, sandbox, body, document_id
):
    answer(sandbox, body)
    assert await found(engine, document_id) is UNCLEAR
    assert engine.statistics().queries == 1


@pytest.mark.parametrize("status", [301, 400, 403, 404, 405, 406, 415, 422])
async def test_a_destination_that_refuses_to_search_is_unclear(engine, sandbox, status):
    answer(sandbox, NONE, status=status)
    assert await found(engine, "never-sent") is UNCLEAR
    assert engine.statistics().queries == 1


async def test_an_unknown_slug_is_unclear(engine):
    assert await engine.find("doc-1", to="nobody-there") is UNCLEAR


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_failure_that_passes_is_asked_again(engine, sandbox, status):
    answer(sandbox, NONE, status=status, times=2)
    assert await found(engine) is FOUND
    assert engine.statistics().queries == 3


async def test_a_failure_that_stays_is_no_answer(engine, sandbox):
    answer(sandbox, NONE, status=500)
    error = await failure(engine)
    assert isinstance(error, ServerUnavailableError)
    assert (error.verdict, error.document_id) == (Verdict.RETRY, "doc-1")
    assert engine.statistics().queries == 3


CUT = "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + json.dumps(NONE)
NO_LENGTH = "HTTP/1.1 200 OK\r\n\r\n" + json.dumps(NONE)[:-1]


@pytest.mark.parametrize(
    "fault",
    [
        {"do": "raw", "bytes": CUT},
        {"do": "raw", "bytes": NO_LENGTH},
        {"do": "raw", "bytes": "no HTTP"},
        {"do": "reset", "at_byte": None},
        {"do": "close", "at_byte": None},
        {"do": "swallow", "then": "silence", "seconds": 5},
    ],
)
async def test_an_answer_that_is_cut_or_lost_is_asked_for_again_and_proves_nothing(
    engine, sandbox, fault
):
    sandbox.fault(on="search", times=1, **fault)
    assert await found(engine) is FOUND
    assert engine.statistics().queries == 2
    sandbox.fault(on="search", times=None, **fault)
    assert (await failure(engine)).verdict is Verdict.RETRY


async def test_a_whole_answer_whose_connection_then_ends_is_one(engine, sandbox):
    sandbox.fault(on="search", do="hang_up")
    assert await found(engine, "never-sent") is ABSENT
    assert await found(engine, "never-sent") is ABSENT


async def test_an_answer_without_end_is_not_read_whole(engine, sandbox):
    answer(sandbox, " " * 1_100_000 + json.dumps(NONE))
    error = await failure(engine)
    assert isinstance(error, ResponseTooLargeError)
    assert isinstance(error, ProtocolError)


async def test_answers_with_whole_resources_are_read(engine, sandbox):
    padded = {**OTHER, "text": "x" * 900_000}
    mine = json.loads(json.dumps(OTHER).replace("doc-10", "doc-1"))
    answer(sandbox, {**NONE, "total": 2, "entry": [padded, mine]})
    assert await found(engine) is FOUND


async def test_what_tells_which_message_brought_a_document_is_told(engine, sandbox):
    seen = await engine.trace("doc-1", to=TO)
    other = await engine.trace("never-sent", to=TO)
    trace = seen.traces[-1]
    assert seen.presence is FOUND
    assert trace.sizes == (500,)
    assert trace.date is not None
    assert trace.changed is not None
    assert (other.presence, other.traces) == (ABSENT, ())


async def test_files_that_make_an_answer_too_large_are_left_out_of_it(engine, sandbox):
    answer(sandbox, " " * 1_100_000 + json.dumps(NONE), times=1)
    seen = await engine.trace("doc-1", to=TO)
    assert seen.presence is FOUND
    assert engine.statistics().queries == 2


async def test_a_token_that_has_expired_is_renewed_once(engine, sandbox):
    sandbox.process.fault(do="expire_tokens")
    assert await found(engine) is FOUND
    statistics = engine.statistics()
    assert (statistics.queries, statistics.tokens) == (2, 2)


async def test_refused_credentials_are_an_error_and_not_a_doubt(engine, sandbox):
    answer(sandbox, NONE, status=401)
    error = await failure(engine)
    assert isinstance(error, AuthRejectedError)
    assert error.verdict is Verdict.GIVE_UP
    assert engine.statistics().queries == 2


@pytest.mark.parametrize(
    ("document_id", "options"),
    [
        ("doc-1", {"api": "data-model"}),
        ("doc-1", {"model": "notes"}),
        ("doc-1", {"model": "diagnostic-report"}),
        ("a|doc-1", {}),
        ("doc-1,doc-2", {}),
        ("doc-1 ", {}),
    ],
)
async def test_what_cannot_be_asked_is_unclear_without_a_request(engine, sandbox, document_id, options):
    seen = sandbox.process.requests()["total"]
    assert await found(engine, document_id, **options) is UNCLEAR
    assert sandbox.process.requests()["total"] == seen


async def test_a_wrong_destination_is_an_error_before_any_request(engine_for, sandbox):
    async with engine_for(sandbox, environment=None) as engine:
        with pytest.raises(ConfigError, match="environment"):
            await engine.find("doc-1", to=TO)
        with pytest.raises(ConfigError):
            await engine.find("doc-1", to="no slug")
        assert engine.statistics().tokens == 0


async def test_searches_count_for_the_quota_and_take_a_slot(engine_for, sandbox, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))  # a window in which nothing was sent yet
    async with engine_for(sandbox, quota="20/3600", concurrency=1) as engine:
        answers = 0
        with pytest.raises(DeadlineExceededError):
            while answers <= 20:
                assert await engine.find("never-sent", to=TO, deadline_s=2) is ABSENT
                answers += 1
        assert 17 <= answers <= 19
    async with engine_for(sandbox, concurrency=1) as engine:
        sandbox.fault(on="search", do="delay", seconds=30)
        with pytest.raises(DeadlineExceededError):
            await engine.find("doc-1", to=TO, deadline_s=0.3)
        assert engine.statistics().sends_in_flight == 0


async def test_nothing_but_the_id_leaves_and_the_journal_hears_nothing(raw, engine_for):
    notes = Notes()
    body = json.dumps(NONE)
    text = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    raw.plan("message", [["read", None], ["send", text]])
    async with engine_for(raw, journal=notes) as engine:
        assert await found(engine, "4411/é") is ABSENT
    (request,) = raw.requests("message")
    head = request["head"]
    assert head.startswith("POST /fhir/R4/receiver/Development/DocumentReference/_search HTTP/1.1\r\n")
    assert "Content-Type: application/x-www-form-urlencoded" in head.split("\r\n")
    assert "Authorization: Bearer " in head
    assert "Redox-Source-Id: source-1" in head
    sent = parse_qs(raw.bodies()[-1].decode("ascii"))
    assert sent == {"identifier": ["4411/é"], "_elements": ["identifier,masterIdentifier"]}
    assert notes.told == []


async def test_a_search_that_is_cancelled_leaves_nothing(engine, sandbox):
    sandbox.fault(on="search", do="delay", seconds=30)
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(found, engine)
            await until(lambda: engine.statistics().queries == 1)
            scope.cancel()
    assert engine.statistics().sends_in_flight == 0
    assert await found(engine, "never-sent") is ABSENT


async def test_the_document_of_a_path_is_found_by_its_derived_id(engine, tmp_path):
    path = tmp_path / "a.pdf"
    path.write_bytes(SMALL)
    receipt = await engine.send(Document.from_path(str(path), **described()), to=TO)
    assert await found(engine, receipt.document_id) is FOUND
