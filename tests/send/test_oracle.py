"""The sandbox's own log as judge: never twice, never silently wrong, doubt only where there is some."""

from __future__ import annotations

import dataclasses
import hashlib
import random

import anyio
import pytest
from rig import QUICK, SHORT, TO, document, outcome, pattern

pytestmark = pytest.mark.short_waits

ROUTES = [
    ("fhir", "document-reference"),
    ("fhir", "diagnostic-report"),
    ("data-model", "notes"),
    ("data-model", "media"),
    ("data-model", "results"),
]
PATIENT = dataclasses.replace(SHORT, reply_s=3, stall_s=3, reply_body_s=3)


@pytest.mark.parametrize(("api", "model"), ROUTES)
@pytest.mark.parametrize("then", ["reset", "close", "silence"])
async def test_an_answer_lost_after_the_commit_of_an_upload_costs_an_orphan(
    sandbox, engine_for, api, model, then
):
    sandbox.fault(do="swallow", on="blob", then=then)
    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, document(pattern(5000)), api=api, model=model, method="upload")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert len(sandbox.events("blob")) == 2
    (message,) = sandbox.events("message")
    assert message["sha256"] == receipt.sha256
    assert message["reference"] == receipt.reference_url == sandbox.events("blob")[1]["reference"]


@pytest.mark.parametrize(("api", "model"), ROUTES)
@pytest.mark.parametrize("method", ["upload", "embed"])
@pytest.mark.parametrize("then", ["reset", "close", "silence"])
async def test_an_answer_lost_after_the_commit_of_a_message_is_in_doubt_and_never_repeated(
    sandbox, engine_for, api, model, method, then
):
    number = sandbox.fault(do="swallow", on="message", then=then)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, document(pattern(5000)), api=api, model=model, method=method)
    assert (error.code, error.receipt.status) == ("outcome_unknown", "in_doubt")
    assert len(sandbox.events("message")) == 1
    assert sandbox.fault_counts()[number] == {"seen": 1, "fired": 1}
    assert "look for the document id" in error.message


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_a_5xx_after_the_commit_is_in_doubt(sandbox, engine_for, status, api):
    sandbox.fault(do="status", on="message", status=status, commit=True)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, document(pattern(5000)), api=api, method="embed")
    assert error.code == "outcome_unknown"
    assert len(sandbox.events("message")) == 1


async def test_an_early_refusal_that_does_not_end_never_makes_a_second_document(sandbox, engine_for):
    # The server refuses early, in an answer that does not end, and goes on reading and commits.
    sandbox.fault(do="slow_read", on="message", bytes_per_s=8_000_000)
    sandbox.fault(
        do="raw",
        on="message",
        when="during",
        after_bytes=1_000_000,
        then="go-on",
        bytes="HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\n",
    )
    async with engine_for(sandbox, timeouts=PATIENT) as engine:
        result = await outcome(engine, document(pattern(8_000_000)), method="embed")
    # The last chunk was held back when the answer began: no doubt, and one document.
    assert getattr(result, "status", result) == "accepted"
    assert len(sandbox.events("message")) == 1


@pytest.mark.parametrize("after_bytes", [1_000_000, 10_000_000])
@pytest.mark.parametrize("status", [500, 503, 401, 429, 408])
async def test_an_early_refusal_and_a_server_that_goes_on(sandbox, engine_for, status, after_bytes):
    sandbox.fault(do="slow_read", on="message", bytes_per_s=20_000_000)
    sandbox.fault(
        do="status", on="message", status=status, when="during", after_bytes=after_bytes, then="go-on"
    )
    async with engine_for(sandbox, timeouts=PATIENT) as engine:
        result = await outcome(engine, document(pattern(12_000_000)), method="embed")
    commits = len(sandbox.events("message"))
    # A whole body that was refused by name (401, 408, 429) counts as refused; a 5xx never does.
    if status >= 500 or after_bytes == 1_000_000:
        assert commits <= 1
    if not isinstance(result, Exception):
        assert commits >= 1


async def test_an_expired_token_costs_no_document(sandbox, engine_for):
    documents = [document(pattern(3000, seed=n), document_id=f"doc-{n}") for n in range(40)]
    sandbox.fault(do="expire_tokens", on="message", when="after", skip=10)
    async with engine_for(sandbox) as engine, engine.send_many(documents, to=TO) as receipts:
        states = [r.status async for r in receipts]
    assert states == ["accepted"] * 40
    assert len(sandbox.events("message")) == 40


def faults(draw: random.Random) -> list[dict[str, object]]:
    """A storm of faults of every kind, each once or a few times, at random places."""
    made = []
    for _ in range(60):
        on = draw.choice(["blob", "message", "message"])
        at = draw.choice([0, 1, 1000, 65_536, 200_000, None])
        kind = draw.choice(
            [
                {"do": "reset", "at_byte": at},
                {"do": "close", "at_byte": at},
                {"do": "swallow", "then": draw.choice(["reset", "close"])},
                {
                    "do": "status",
                    "status": draw.choice([500, 502, 503, 504, 408, 425, 422, 404]),
                    "when": "after",
                    "then": draw.choice(["keep-alive", "close", "reset"]),
                    "commit": draw.random() < 0.0,
                },
                {
                    "do": "status",
                    "status": draw.choice([500, 503, 401, 413, 200, 201]),
                    "when": "during",
                    "after_bytes": draw.choice([1, 1000, 100_000]),
                    "then": draw.choice(["close", "reset", "drain", "go-on"]),
                },
                {"do": "status", "status": draw.choice([500, 502, 503, 504]), "commit": True},
                {"do": "status", "status": 503, "headers": {"Retry-After": "0"}},
                {"do": "expire_tokens"},
                {
                    "do": "raw",
                    "bytes": draw.choice(["nonsense", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]),
                },
            ]
        )
        made.append({**kind, "on": on, "skip": draw.randrange(4) if draw.random() < 0.5 else 0})
    return made


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_a_storm_of_faults_never_makes_a_wrong_receipt(sandbox, engine_for, seed, api):
    draw = random.Random(seed)
    sandbox.faults(faults(draw))
    results: dict[str, tuple[str, object]] = {}
    contents = {}

    async def send(number: int) -> None:
        identity = f"doc-{number}"
        contents[identity] = pattern(draw.choice([50, 5000, 150_000, 1_000_000]), seed=number)
        result = await outcome(
            engine,
            document(contents[identity], document_id=identity),
            api=api,
            method=draw.choice(["upload", "embed"]),
            deadline_s=30,
        )
        receipt = result.receipt if isinstance(result, Exception) else result
        results[identity] = receipt.status, result

    retry = dataclasses.replace(QUICK, attempts=2)
    async with engine_for(sandbox, retry=retry, concurrency=6) as engine:
        async with anyio.create_task_group() as tasks:
            for number in range(50):
                tasks.start_soon(send, number)

    events = sandbox.events("message")
    for identity, (status, result) in results.items():
        commits = [e for e in events if e["document_id"] == identity]
        assert len(commits) <= 1, (identity, status, result)
        for event in commits:
            assert event["sha256"] == hashlib.sha256(contents[identity]).hexdigest()
        if status == "accepted":
            assert len(commits) == 1, (identity, result)
        if status == "failed":
            assert commits == [], (identity, result)
    assert len(results) == 50
    assert len({status for status, _ in results.values()}) > 1
