"""One token serves every send that waits; expiry costs no document."""

from __future__ import annotations

import pytest

from chartsend import Document, Engine
from chartsend.testing import SandboxProcess

SENDS = 10_000


@pytest.mark.timeout(300)
async def test_ten_thousand_sends_that_find_the_token_expired_make_one_token_request(
    settings_of, described
):
    """Both kinds: nobody has a token yet, and everybody's token was refused."""
    with SandboxProcess.start("--quota", "off") as sandbox:
        await send_all(sandbox, settings_of(sandbox, concurrency=256), described)


async def send_all(sandbox, settings, described):

    def documents(prefix):
        return (
            Document.from_bytes(b"%d" % n, title="n.txt", document_id=f"{prefix}{n}", **described)
            for n in range(SENDS // 2)
        )

    async with Engine(settings) as engine:
        for prefix, tokens in (("a", 1), ("b", 2)):
            async with engine.send_many(documents(prefix), to=sandbox.info.destination) as receipts:
                assert {r.status async for r in receipts} == {"accepted"}
            assert sandbox.requests()["tokens_issued"] == tokens
            assert engine.statistics().tokens == tokens
            sandbox.fault(do="expire_tokens")

    messages = [e["document_id"] for e in sandbox.events() if e["kind"] == "message"]
    assert len(messages) == len(set(messages)) == SENDS


@pytest.mark.timeout(120)
async def test_tokens_that_expire_again_and_again_in_a_batch_cost_no_document(
    sandbox, settings_of, make_file, described
):
    path, _ = make_file(201_000)
    documents = (Document.from_path(path, document_id=str(n), **described) for n in range(200))

    async with Engine(settings_of(sandbox)) as engine:
        async with engine.send_many(documents, to=sandbox.info.destination) as receipts:
            statuses = []
            async for receipt in receipts:
                statuses.append(receipt.status)
                if len(statuses) % 40 == 0:  # every token issued so far is void from now on
                    sandbox.fault(do="expire_tokens")

    assert statuses == ["accepted"] * 200
    arrived = [e["document_id"] for e in sandbox.events() if e["kind"] == "message"]
    assert sorted(arrived) == sorted(str(n) for n in range(200))
    assert 4 <= sandbox.requests()["tokens_issued"] <= 6
