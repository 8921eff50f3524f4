"""A journal that cannot note how a send ended: no receipt says less than what is known, or another's."""

from __future__ import annotations

import asyncio

import pytest
from rig import TO, Notes, document, outcome, pattern, until

from chartsend.errors import LedgerFullError, OutcomeUnknownError, Verdict

REFUSED = [["read", None], ["send", "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"]]
UNANSWERED = [["read", None], ["commit"], ["close"]]


class Full(Notes):
    """Its disk is full: each method that is named raises, always the same object."""

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.methods, self.error = methods, LedgerFullError("no room")

    async def intent(self, intent) -> None:
        await super().intent(intent)
        if "intent" in self.methods:
            raise self.error

    async def result(self, row, receipt) -> None:
        await super().result(row, receipt)
        if "result" in self.methods:
            raise self.error


def made(document_id: str):
    return document(pattern(1000), document_id=document_id)


async def test_what_was_accepted_and_cannot_be_noted_is_in_doubt_with_all_that_is_known(
    sandbox, engine_for
):
    notes = Full("result")
    async with engine_for(sandbox, notes) as engine:
        error = await outcome(engine, made("one"), method="upload")
    told = notes.told[-1][1]
    assert (told.status, type(error), error.verdict) == (
        "accepted",
        OutcomeUnknownError,
        Verdict.IN_DOUBT,
    )
    assert error.__cause__ is notes.error
    assert notes.error.receipt is None
    receipt = error.receipt
    assert (receipt.status, receipt.document_id, receipt.attempts) == ("in_doubt", "one", 2)
    assert told.reference_url is not None
    for name in ("reference_url", "log_ids", "trace_id", "resource_url", "sha256", "bytes", "seconds"):
        assert getattr(receipt, name) == getattr(told, name)
    assert "was accepted" in receipt.error.message
    assert "ledger_full" in receipt.error.message


async def test_what_is_in_doubt_and_cannot_be_noted_stays_in_doubt(raw, engine_for):
    raw.plan("message", UNANSWERED)
    notes = Full("result")
    async with engine_for(raw, notes) as engine:
        error = await outcome(engine, made("one"), method="embed")
    assert (error.verdict, error.receipt.status, error.receipt.attempts) == (
        Verdict.IN_DOUBT,
        "in_doubt",
        1,
    )
    assert error.__cause__ is notes.error
    assert "was accepted" not in error.message


async def test_what_failed_and_cannot_be_noted_has_failed_with_its_attempts(raw, engine_for):
    raw.plan("message", REFUSED)
    notes = Full("result")
    async with engine_for(raw, notes) as engine:
        error = await outcome(engine, made("one"), method="embed")
    assert error is notes.error
    assert (error.receipt.status, error.receipt.attempts) == ("failed", 1)


@pytest.mark.parametrize("methods", [("result",), ("intent",), ("intent", "result")])
async def test_one_error_raised_for_many_documents_gives_each_its_own_receipt(
    sandbox, engine_for, methods
):
    names = [f"doc-{n}" for n in range(6)]
    receipts = []
    async with engine_for(sandbox, Full(*methods)) as engine:
        errors = [await outcome(engine, made(name), method="embed") for name in names]
        async with engine.send_many([made(name) for name in names], to=TO, method="embed") as each:
            receipts += [receipt async for receipt in each]
    status = "in_doubt" if methods == ("result",) else "failed"
    assert [(error.document_id, error.receipt.document_id) for error in errors] == [
        (name, name) for name in names
    ]
    assert {error.receipt.status for error in errors} == {status}
    assert sorted(receipt.document_id for receipt in receipts) == names
    assert {receipt.status for receipt in receipts} == {status}
    assert len(sandbox.events("message")) == (12 if status == "in_doubt" else 0)


async def test_a_journal_that_wants_to_hears_of_a_send_that_was_given_up_and_not_applied(
    raw, engine_for
):
    class Hearing(Notes):
        def not_applied(self, row) -> None:
            self.told.append((f"not applied {row}", None))

    busy = "HTTP/1.1 503 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
    raw.plan("message", [["read", None], ["send", busy]])
    notes = Hearing()
    async with engine_for(raw, notes) as engine:
        task = asyncio.create_task(
            engine.send(made("one"), to=TO, method="embed", row="7", deadline_s=60)
        )
        await until(lambda: engine.statistics().retries == 1)
        task.cancel()
        await asyncio.wait({task})
    assert notes.order == ["intent message", "not applied 7"]
