"""TLS: who is trusted, what is refused, and what lies below asyncio's TLS layer."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from rig import SHORT, TO, Raw, Sandbox, document, outcome, pattern

from chartsend import Engine, Timeouts
from chartsend.aio import Deadline
from chartsend.encoding.base64 import IdentityEncoder
from chartsend.errors import ConfigError, TransferError, Verdict
from chartsend.ports import Operation
from chartsend.sources.memory import MemorySource
from chartsend.testing import SandboxProcess
from chartsend.transport.body import Frame, StreamingBody
from chartsend.transport.chunks import Chunks
from chartsend.transport.http import Http, Outgoing
from chartsend.transport.quota import Quota

SMALL, LARGE = pattern(2000), pattern(5_000_000)


@pytest.fixture
def trusted(certificates):
    return {"ca_file": str(certificates / "ca.pem")}


@pytest.mark.parametrize("method", ["upload", "embed"])
@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_files_arrive_over_tls(settings_for, method, api):
    with SandboxProcess.start("--tls") as process:
        sandbox = Sandbox(process)
        async with Engine(settings_for(sandbox)) as engine:
            receipt = await outcome(engine, document(LARGE), api=api, method=method)
        assert getattr(receipt, "status", receipt) == "accepted"
        assert sandbox.events("message")[0]["sha256"] == receipt.sha256


async def certificate_refused(engine_for, server, **overrides):
    async with engine_for(server, **overrides) as engine:
        error = await outcome(engine, document(SMALL))
    assert (error.code, error.verdict) == ("tls", Verdict.GIVE_UP), error
    assert server.log()["requests"] == []
    assert server.log()["connections"] == 1  # refused is refused: no second try


async def test_an_unknown_authority_is_refused_at_once(engine_for, raw_tls):
    await certificate_refused(engine_for, raw_tls)


async def test_the_wrong_authority_is_refused_at_once(engine_for, raw_tls, certificates):
    await certificate_refused(engine_for, raw_tls, ca_file=str(certificates / "second.pem"))


async def test_a_certificate_for_another_host_is_refused_at_once(engine_for, certificates, trusted):
    server = Raw(str(certificates / "other-cert.pem"), str(certificates / "other-key.pem"))
    try:
        await certificate_refused(engine_for, server, **trusted)
    finally:
        server.stop()


async def test_plain_http_where_tls_is_due_is_refused_at_once(engine_for, raw, trusted):
    url = raw.url.replace("http:", "https:")
    raw.plan("connect", [["send", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"], ["drain"]])
    async with engine_for(raw, api_url=url, blob_url=url, token_url=None, **trusted) as engine:
        error = await outcome(engine, document(SMALL))
    assert (error.code, error.verdict) == ("tls", Verdict.GIVE_UP), error
    assert raw.requests("message") == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate", "folder"])
async def test_a_ca_file_that_is_none_is_a_configuration_error(settings_for, raw, tmp_path, content):
    path = tmp_path / "ca.pem"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match="ca_file"):
        async with Engine(settings_for(raw, ca_file=str(path))):
            pass


TOKEN = '{"access_token": "t", "token_type": "Bearer", "expires_in": 300}'
TOKEN_AND_CLOSE = [
    ["read", None],
    # The end of the connection is said, not only done: a close may arrive after the next send.
    ["send", f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(TOKEN)}\r\n"],
    ["send", f"Content-Type: application/json\r\n\r\n{TOKEN}"],
    ["close"],
]


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_handshake_that_is_cut_is_tried_again(engine_for, raw_tls, trusted, how):
    async with engine_for(raw_tls, **trusted) as engine:
        raw_tls.plan("token", TOKEN_AND_CLOSE)
        raw_tls.plan("connect", [], [["sleep", 0.05], [how]])
        receipt = await outcome(engine, document(SMALL), method="embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert raw_tls.commits() == 1


async def test_a_handshake_that_stalls_is_tried_again(engine_for, raw_tls, trusted):
    brief = Timeouts(connect_s=0.5, tls_handshake_s=0.5)  # the others as usual: a machine may be busy
    async with engine_for(raw_tls, timeouts=brief, **trusted) as engine:
        raw_tls.plan("token", TOKEN_AND_CLOSE)
        raw_tls.plan("connect", [], [["hold"], ["close"]])
        receipt = await outcome(engine, document(SMALL), method="embed")
    assert getattr(receipt, "status", receipt) == "accepted"
    assert 0.9 <= receipt.seconds < Timeouts().tls_handshake_s


async def test_no_tls_record_after_the_body_leaves_a_message_in_doubt(engine_for, raw_tls, trusted):
    raw_tls.plan(
        "message",
        [
            ["read", None],
            ["commit"],
            ["raw_tcp", "no TLS record at all " * 20],
            ["sleep", 0.1],
            ["close"],
        ],
    )
    async with engine_for(raw_tls, **trusted) as engine:
        error = await outcome(engine, document(SMALL), method="embed")
    assert error.code == "outcome_unknown"
    assert len(raw_tls.requests("message")) == 1


@pytest.mark.parametrize("then", [[["close"]], [["drain"]], [["hold"]]])
@pytest.mark.parametrize("status", [413, 503])
async def test_an_early_refusal_over_tls(engine_for, raw_tls, trusted, then, status):
    answer = f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\n\r\nno"
    raw_tls.plan("message", *[[["read", 65_536], ["send", answer], *then]] * 4)
    async with engine_for(raw_tls, **trusted) as engine:
        error = await outcome(engine, document(pattern(16_000_000)), method="embed")
    if then != [["close"]]:  # over TLS an RST behind the answer may still overtake it
        assert error.status == status, error
    if error.status == status:
        assert len(raw_tls.requests("message")) == (1 if status == 413 else 3)
    assert error.receipt.status == "failed"
    assert raw_tls.commits() == 0


@pytest.mark.parametrize("then", [[["close"]], [["drain"]], [["hold"]]])
async def test_an_early_success_over_tls_is_none(engine_for, raw_tls, trusted, then):
    answer = 'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"Meta":{}}'
    raw_tls.plan("message", [["read", 65_536], ["send", answer], *then])
    async with engine_for(raw_tls, **trusted) as engine:
        error = await outcome(engine, document(pattern(16_000_000)), method="embed")
    assert getattr(error, "code", error) == "outcome_unknown"


async def test_a_body_is_not_flushed_while_bytes_wait_below_tls(raw_tls, settings_for, trusted):
    raw_tls.plan("message", *[[["hold"]]] * 40)
    timeouts = dataclasses.replace(SHORT, stall_s=0.3, reply_s=0.3)
    waited = []

    class Observed(StreamingBody):
        async def _flush(self, writer) -> None:
            await super()._flush(writer)
            below = writer.transport._ssl_protocol._transport
            waited.append((self.flushed, below.get_write_buffer_size()))

    async def sent(http, size) -> StreamingBody:
        data = bytes(size)
        frame = Frame("application/pdf", b"", b"", size, size, 96 * 1024, reuses_buffer=False)
        body = Observed(frame, chunks=Chunks(MemorySource(data).reader()), encoder=IdentityEncoder())
        with pytest.raises(TransferError):
            await http.exchange(
                Outgoing(Operation.MESSAGE, raw_tls.url + "/x", {}, body), deadline=Deadline.after(10)
            )
        return body

    async with Http(
        settings_for(raw_tls, timeouts=timeouts, **trusted), Quota(None), user_agent="t"
    ) as http:
        capacity = (await sent(http, 20_000_000)).sent_bytes
        for size in range(capacity - 160_000, capacity + 160_000, 40_000):
            await sent(http, size)
    assert [below for flushed, below in waited if flushed and below] == []


async def test_what_was_shut_down_over_tls_leaves_nothing(engine_for, raw_tls, trusted):
    patient = dataclasses.replace(SHORT, stall_s=60, reply_s=60)  # this machine may be busy
    async with engine_for(raw_tls, timeouts=patient, **trusted) as engine:
        async with asyncio.TaskGroup() as tasks:
            for number in range(8):
                tasks.create_task(engine.send(document(LARGE, document_id=f"d{number}"), to=TO))
    assert raw_tls.commits() == 8
