"""Tests of a program that sends documents, as a user of chartsend would write them."""
# ruff: noqa: D103, S101  # tests say in their names what they show

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from chartsend import Document, Engine, Patient, Settings, TransferError, Verdict

if TYPE_CHECKING:
    from chartsend.testing import SandboxProcess

pytest_plugins = ["chartsend.testing.fixtures"]
pytestmark = pytest.mark.anyio

CONTENT = b"%PDF-1.7\n" + bytes(300_000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def send(sandbox: SandboxProcess) -> str:
    """The code under test: here simply one send."""
    document = Document.from_bytes(
        CONTENT,
        title="consent.pdf",
        document_id="consent-4711",
        type="Consent Form",
        patient=Patient.identified("0000991234", "MR"),
    )
    async with Engine(Settings.load(sandbox.info.profile)) as engine:
        receipt = await engine.send(document, to=sandbox.info.destination)
    return receipt.status


def messages(sandbox: SandboxProcess) -> list[dict[str, object]]:
    return [event for event in sandbox.events() if event["kind"] == "message"]


async def test_the_receiver_gets_the_bytes_that_were_sent(sandbox: SandboxProcess) -> None:
    assert await send(sandbox) == "accepted"

    (message,) = messages(sandbox)
    assert message["document_id"] == "consent-4711"
    assert message["sha256"] == hashlib.sha256(CONTENT).hexdigest()


async def test_a_short_outage_is_survived(sandbox: SandboxProcess) -> None:
    sandbox.fault(on="blob", do="status", status=503, times=2)

    assert await send(sandbox) == "accepted"


async def test_a_refusal_leaves_nothing_in_the_chart(sandbox: SandboxProcess) -> None:
    sandbox.fault(on="message", do="status", status=422)

    with pytest.raises(TransferError) as caught:
        await send(sandbox)

    assert caught.value.code == "invalid"
    assert messages(sandbox) == []


async def test_a_lost_answer_is_not_taken_for_a_failure(sandbox: SandboxProcess) -> None:
    sandbox.fault(on="message", do="swallow")

    with pytest.raises(TransferError) as caught:
        await send(sandbox)

    assert caught.value.verdict is Verdict.IN_DOUBT
    assert len(messages(sandbox)) == 1
