"""Connections: reused after clean exchanges, never after others; no proxy that nobody configured."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import anyio
import pytest
from rig import Raw, document, outcome, pattern

from chartsend.errors import TransferError

pytestmark = pytest.mark.short_waits

SMALL, LARGE = pattern(2000), pattern(16_000_000)


async def test_one_connection_serves_clean_exchanges_one_after_another(raw, engine_for):
    async with engine_for(raw) as engine:
        for number in range(10):
            receipt = await outcome(engine, document(SMALL, document_id=f"d{number}"), method="upload")
            assert receipt.status == "accepted"
    assert raw.log()["connections"] == 1
    assert len(raw.log()["requests"]) == 21


async def test_sends_at_once_take_a_connection_each(raw, engine_for):
    async with engine_for(raw, concurrency=5) as engine:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for number in range(5):
                    tasks.start_soon(outcome, engine, document(SMALL, document_id=f"d{number}"))
    assert raw.log()["connections"] <= 6


@pytest.mark.parametrize("status", [400, 422, 500, 503])
async def test_a_refusal_after_the_body_keeps_the_connection(raw, engine_for, status):
    refusal = f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"
    raw.plan("message", *[[["read", None], ["send", refusal]]] * 3)
    async with engine_for(raw) as engine:
        for number in range(3):
            await outcome(engine, document(SMALL), to=f"to-{number}", method="embed")
    assert raw.log()["connections"] == 1


UNCLEAN = {
    "early refusal": [
        ["read", 1000],
        ["send", "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"],
        ["drain"],
    ],
    "unfinished answer": [
        ["read", None],
        ["send", "HTTP/1.1 422 No\r\nContent-Length: 5\r\n\r\nno"],
        ["hold"],
    ],
    "too much": [
        ["read", None],
        ["send", "HTTP/1.1 422 No\r\nContent-Length: 2\r\n\r\nno and more"],
        ["sleep", 0.1],
    ],
    "garbage": [["read", None], ["send", "what?\r\n\r\n"], ["sleep", 0.1]],
    "close asked": [
        ["read", None],
        ["send", "HTTP/1.1 422 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"],
    ],
    "old version": [["read", None], ["send", "HTTP/1.0 422 No\r\nContent-Length: 0\r\n\r\n"]],
    "too large": [
        ["read", None],
        ["send", "HTTP/1.1 422 No\r\nContent-Length: 9000000\r\n\r\n" + "x" * 9_000_000],
    ],
    "stall": [["read", 1000], ["hold"]],
}


@pytest.mark.parametrize("plan", UNCLEAN.values(), ids=UNCLEAN.keys())
async def test_a_connection_is_never_used_again_after_an_unclean_exchange(raw, engine_for, plan):
    raw.plan("message", plan)
    async with engine_for(raw) as engine:
        await outcome(engine, document(LARGE), method="embed")
        assert (
            await outcome(engine, document(SMALL), to="another", method="embed")
        ).status == "accepted"
        messages = raw.requests("message")
        assert messages[0]["conn"] != messages[1]["conn"]
        tokens = raw.requests("token")
        assert messages[0]["conn"] == tokens[0]["conn"]  # it was a reused one before


async def test_a_connection_that_the_server_closed_while_idle_is_noticed(raw, engine_for):
    raw.plan("message", *[[["read", None], ["commit"], ["ok"], ["fin"]]] * 10)
    async with engine_for(raw) as engine:
        for number in range(10):
            receipt = await outcome(engine, document(SMALL, document_id=f"d{number}"), method="embed")
            assert getattr(receipt, "status", receipt) == "accepted"
            await asyncio.sleep(0.02)
    assert raw.commits() == 10


async def test_a_race_with_a_closing_server_never_sends_twice(raw, engine_for):
    raw.plan("message", *[[["read", None], ["commit"], ["ok"], ["close"]]] * 60)
    accepted = doubts = 0
    async with engine_for(raw) as engine:
        for number in range(60):
            result = await outcome(engine, document(SMALL, document_id=f"d{number}"), method="embed")
            if isinstance(result, TransferError):
                assert result.code == "outcome_unknown"
                doubts += 1
            else:
                accepted += 1
    bodies = [b for b in raw.bodies() if b'"resourceType"' in b]
    assert accepted + doubts == 60
    assert accepted <= raw.commits() <= 60
    for number in range(60):
        assert sum(f'"d{number}"'.encode() in b for b in bodies) <= 1


async def test_proxies_of_the_environment_and_netrc_are_ignored(raw, engine_for, monkeypatch, tmp_path):
    other = Raw()
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login marla password secret\n")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    try:
        async with engine_for(raw) as engine:
            receipt = await outcome(engine, document(SMALL), method="upload")
        assert receipt.status == "accepted"
        assert other.log()["connections"] == 0
    finally:
        other.stop()
    assert all("Authorization: Basic" not in r["head"] for r in raw.log()["requests"])


async def test_a_proxy_of_the_settings_is_used(raw, engine_for):
    async with engine_for(raw, proxy=raw.url) as engine:
        assert (await outcome(engine, document(SMALL), method="embed")).status == "accepted"
    assert raw.requests("message")[0]["head"].startswith(f"POST {raw.url}/fhir/R4/")


@pytest.mark.parametrize(
    "answer", ["HTTP/1.1 407 Who\r\n\r\n", "HTTP/1.1 502 No\r\n\r\n", "garbage\r\n\r\n"]
)
async def test_a_proxy_that_refuses_is_no_connection(raw, raw_tls, certificates, engine_for, answer):
    raw.plan("connect", *[[["sleep", 0.05], ["send", answer], ["fin"], ["drain"]]] * 9)
    async with engine_for(raw_tls, proxy=raw.url, ca_file=str(certificates / "ca.pem")) as engine:
        error = await outcome(engine, document(SMALL), method="embed", deadline_s=1)
    assert isinstance(error, TransferError)
    assert error.receipt.status == "failed"
    assert raw_tls.log()["connections"] == 0


async def test_every_message_has_a_length_and_expects_nothing(raw, engine_for):
    async with engine_for(raw) as engine:
        for api in ("fhir", "data-model"):
            for method in ("upload", "embed"):
                assert (
                    await outcome(engine, document(LARGE), api=api, method=method)
                ).status == "accepted"
    for request in raw.log()["requests"]:
        head = request["head"].lower()
        assert head.count("content-length:") == 1
        assert "transfer-encoding" not in head
        assert "expect" not in head
        assert "cookie" not in head
        assert request["received"] == request["length"]


async def test_cookies_are_not_kept(raw, engine_for):
    text = "HTTP/1.1 200 OK\r\nSet-Cookie: a=marla\r\nContent-Length: 0\r\n\r\n"
    raw.plan("message", [["read", None], ["send", text]])
    async with engine_for(raw) as engine:
        for _ in range(2):
            await outcome(engine, document(SMALL), method="embed")
    assert "cookie" not in raw.requests("message")[1]["head"].lower()


@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_the_token_goes_nowhere_but_to_the_settings_hosts(raw, engine_for, api):
    stranger = Raw()
    try:
        where = f"{stranger.url}/files/1"
        body = f'{{"URI":"{where}"}}'
        text = f"HTTP/1.1 201 OK\r\nLocation: {where}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        raw.plan("upload", *[[["read", None], ["send", text]]] * 3)
        async with engine_for(raw) as engine:
            error = await outcome(engine, document(SMALL), api=api, method="upload")
        assert error.code == "unsafe_location"
        assert where not in error.message
        assert stranger.log()["connections"] == 0
    finally:
        stranger.stop()
    assert len(raw.requests("upload")) == 1
    assert raw.requests("message") == []


def test_the_engine_is_quiet_in_development_mode(sandbox, tmp_path):
    script = """
import asyncio, sys
from chartsend import Document, Engine, Patient, Provider, Settings
async def main(profile, to):
    fields = dict(type="Consent Form", provider=Provider(id="9999999995", id_type="NPI"),
                  patient=Patient.identified("0000991234", "MR", first_name="M", last_name="Q"))
    async with Engine(Settings.load(profile)) as engine:
        documents = [
            Document.from_bytes(
                b"%PDF-" + bytes(n * 50_000), title=f"{n}.pdf", document_id=f"dev-{n}", **fields
            )
            for n in range(20)
        ]
        async with engine.send_many(documents, to=to) as receipts:
            print(sum([r.status == "accepted" async for r in receipts]))
asyncio.run(main(*sys.argv[1:]))
"""
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "dev",
            "-W",
            "error",
            "-c",
            script,
            str(sandbox.info.profile),
            sandbox.info.destination,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONASYNCIODEBUG": "1"},
    )
    assert done.stdout == "20\n", done.stderr
    assert "Warning" not in done.stderr
    assert "never" not in done.stderr
