"""Connections that end in the middle: at every class of byte, by FIN and by RST."""

from __future__ import annotations

import pytest
from rig import document, outcome, pattern

SMALL, LARGE = pattern(2000), pattern(16_000_000)
"""A large body is more than the kernels take (about 4 MB), so a cut in its first part comes in time."""


def method_of(kind: str) -> str:
    return "upload" if kind == "upload" else "embed"


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("kind", ["upload", "message"])
@pytest.mark.parametrize("at", [0, 1, 65_536, 8_000_000])
async def test_a_cut_within_the_body_is_tried_again(raw, engine_for, kind, at, end):
    raw.plan(kind, [["read", at], [end]], [["read", at], [end]])
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(LARGE), method=method_of(kind))
    assert getattr(receipt, "status", receipt) == "accepted"
    assert len(raw.requests(kind)) == 3 == receipt.attempts - (kind == "upload")
    assert raw.commits() == 1


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_a_cut_in_every_attempt_fails_and_nothing_was_applied(raw, engine_for, kind, end):
    raw.plan(kind, *[[["read", 100_000], [end]]] * 5)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(LARGE), method=method_of(kind))
    assert (error.code, error.verdict.value) == ("network_interrupted", "retry")
    assert error.phase.value == "partly_sent"
    assert error.receipt.status == "failed"
    assert len(raw.requests(kind)) == 3
    assert raw.commits() == 0


@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("at", [-1, None])
async def test_an_answer_lost_after_the_last_byte(raw, engine_for, end, size, at):
    data = SMALL if size == "small" else LARGE
    cut = [["read", at], ["commit"], [end]]
    raw.plan("upload", cut)
    async with engine_for(raw) as engine:
        receipt = await outcome(engine, document(data), method="upload")
        assert receipt.status == "accepted"  # an orphan is left, and the next upload is used
        assert len(raw.requests("upload")) == 2
        raw.clear()
        raw.plan("message", cut)
        error = await outcome(engine, document(data), method="embed")
    assert (error.code, error.verdict.value, error.receipt.status) == (
        "outcome_unknown",
        "in_doubt",
        "in_doubt",
    )
    assert len(raw.requests("message")) == 1
    assert raw.commits() == (at is None or size == "small")  # a small one comes in one piece


BODY = '{"Meta":{"Logs":[{"ID":"1"}]}}'
GOOD = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}"


@pytest.mark.parametrize("end", ["reset", "fin"])
@pytest.mark.parametrize("sent", [1, 12, 17, 40, 68, 76, 77, 90, 100])
@pytest.mark.parametrize("kind", ["upload", "message"])
async def test_an_answer_cut_anywhere_is_no_answer(raw, engine_for, kind, sent, end):
    assert sent < len(GOOD)
    # The pause lets the part arrive before a reset could overtake it.
    ends = {"reset": [["sleep", 0.02], ["reset"]], "fin": [["fin"], ["drain"]]}
    raw.plan(kind, [["read", None], ["commit"], ["send", GOOD[:sent]], *ends[end]])
    async with engine_for(raw) as engine:
        result = await outcome(engine, document(SMALL), method=method_of(kind))
    if kind == "upload":
        assert result.status == "accepted"
        assert len(raw.requests("upload")) == 2
    else:
        assert result.code == "outcome_unknown"
        assert len(raw.requests("message")) == 1


@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize(
    "kind_of_body", ["", "Content-Type: application/fhir+json\r\n", "Content-Type: text/plain\r\n"]
)
async def test_an_answer_without_a_length_that_is_reset_is_in_doubt(
    raw, raw_tls, certificates, engine_for, scheme, kind_of_body
):
    server, more = (
        (raw, {}) if scheme == "plain" else (raw_tls, {"ca_file": str(certificates / "ca.pem")})
    )
    head = f"HTTP/1.1 200 OK\r\n{kind_of_body}\r\n"
    server.plan("message", [["read", None], ["commit"], ["send", head], ["sleep", 0.05], ["reset"]])
    async with engine_for(server, **more) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert getattr(error, "code", error) == "outcome_unknown"


@pytest.mark.parametrize("status", [400, 413, 422, 503])
async def test_a_status_counts_although_its_body_is_cut(raw, engine_for, status):
    cut = f"HTTP/1.1 {status} No\r\nContent-Length: 1000\r\n\r\n{{"
    raw.plan("message", *[[["read", None], ["send", cut], ["fin"], ["drain"]]] * 3)
    async with engine_for(raw) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert error.status == status
    assert len(raw.requests("message")) == 1


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_connection_that_ends_before_a_byte_is_tried_again(raw, engine_for, how):
    async with engine_for(raw) as engine:
        # The token's connection is closed, so that the message needs one of its own.
        raw.plan("token", [["read", None], ["ok"], ["fin"], ["drain"]])
        raw.plan("connect", [], [[how]])
        receipt = await outcome(engine, document(LARGE), method="embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert raw.commits() == 1
