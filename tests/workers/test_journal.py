"""A journal has the last word before a step, with workers as without; what it raises ends the send."""

from __future__ import annotations

import asyncio

import pytest
from rig import TO, pattern, until
from seen import Book, Gate, pids_of

from chartsend import errors
from chartsend.errors import Verdict
from chartsend.settings import Retry


class OwnLedgerError(errors.LedgerError):
    """A journal's own error, with something in it that cannot cross to a worker."""

    def __init__(self) -> None:
        super().__init__("the ledger is full")
        self.lock = asyncio.Lock()
        self.loop = asyncio.get_running_loop()


def raising(error):
    async def raise_it(_):
        raise error

    return raise_it


KINDS = [
    lambda: errors.LedgerError("the ledger cannot be written"),
    lambda: errors.SourceChangedError("changed", verdict=Verdict.GIVE_UP),
    OwnLedgerError,
    lambda: ValueError("a defect of the journal"),
]


@pytest.mark.parametrize("make", KINDS, ids=["ledger", "source", "own", "defect"])
@pytest.mark.parametrize("where", ["intent_message", "intent_upload", "uploaded", "result"])
async def test_what_a_journal_raises_is_what_the_caller_gets(sandbox, team, make_document, make, where):
    error = make()
    journal = Book(**{where: raising(error)})
    async with team(sandbox, journal) as engine:
        before = pids_of(engine)
        is_doubt = where == "result" and isinstance(error, errors.TransferError)
        with pytest.raises(errors.OutcomeUnknownError if is_doubt else type(error)) as raised:
            await engine.send(make_document("one"), to=TO, method="upload")
        if is_doubt:
            assert raised.value.__cause__ is error
            receipt = raised.value.receipt
            assert (receipt.status, receipt.document_id, receipt.attempts) == ("in_doubt", "one", 2)
        else:
            assert raised.value is error
        journal.at.clear()
        # The worker goes on, and so does the engine.
        receipt = await engine.send(make_document("two"), to=TO, method="upload")
        assert receipt.status == "accepted"
        assert pids_of(engine) == before
    messages = [e["document_id"] for e in sandbox.events("message")]
    assert messages == (["one", "two"] if where == "result" else ["two"])
    if where == "intent_upload":
        assert len(sandbox.events("blob")) == 1
    if isinstance(error, errors.TransferError) and where != "result":
        assert error.receipt.status == "failed"
        assert error.document_id == "one"


async def test_a_source_that_changed_as_the_journal_sees_it_is_sent_once_more(
    sandbox, team, make_document
):
    """SourceChangedError is judged by the sender: it opens the source anew."""
    raised = []

    async def changed_once(_):
        if not raised:
            raised.append(1)
            raise errors.SourceChangedError("changed")

    journal = Book(intent_message=changed_once)
    async with team(sandbox, journal) as engine:
        receipt = await engine.send(make_document("one"), to=TO, method="embed")
    assert receipt.status == "accepted"
    assert len(sandbox.events("message")) == 1
    assert journal.began.count("intent_message") == 2


@pytest.mark.parametrize("method", ["embed", "upload"])
async def test_a_journal_that_hangs_holds_nobody_beyond_the_deadline(
    sandbox, team, make_document, method
):
    gate = Gate()
    journal = Book(**{"intent_message" if method == "embed" else "intent_upload": gate})
    async with team(sandbox, journal) as engine:
        with pytest.raises(errors.DeadlineExceededError):
            await engine.send(make_document("one"), to=TO, method=method, deadline_s=1.0)
        assert engine.statistics().sends_in_flight == 0
        gate.open.set()
        receipt = await engine.send(make_document("two"), to=TO, method=method)
        assert receipt.status == "accepted"
    assert [e["document_id"] for e in sandbox.events("message")] == ["two"]
    assert journal.statuses == {"one": "failed", "two": "accepted"}


async def test_a_connection_lost_while_the_journal_writes_leaves_no_answer_for_the_next_attempt(
    sandbox, team, make_document
):
    allowed, seen = asyncio.Event(), []
    slow = Gate()

    async def first_is_slow(intent):
        seen.append(intent.attempt)
        if intent.attempt == 1:
            await slow(intent)
        else:
            # The worker has asked anew, and waits.
            assert sandbox.events("message") == []
            await allowed.wait()

    sandbox.fault(do="reset", on="message", at_byte=400_000)
    journal = Book(intent_message=first_is_slow)
    async with team(sandbox, journal, retry=Retry(attempts=3, base_s=0.0)) as engine:
        send = asyncio.ensure_future(
            engine.send(make_document("one", pattern(600_000)), to=TO, method="embed", deadline_s=60)
        )
        while not (slow.reached.is_set() or len(seen) > 1):
            assert not send.done(), send
            await asyncio.sleep(0.01)
        # The reset has been met by now, or is soon: the second attempt begins while the first is asked.
        await asyncio.sleep(0.3)
        slow.open.set()
        await until(lambda: seen[-1] == 2 or send.done())
        if seen[-1] == 2:
            await asyncio.sleep(0.3)  # time to do wrong
            assert sandbox.events("message") == []
        allowed.set()
        receipt = await send
    assert receipt.status == "accepted"
    assert journal.intended == {"one"}


async def test_one_error_raised_for_many_documents_gives_each_its_own_receipt(
    sandbox, team, make_document
):
    names = [f"doc-{n}" for n in range(6)]
    journal = Book(intent_message=raising(errors.LedgerFullError("no room")))
    async with team(sandbox, journal) as engine:
        documents = [make_document(name) for name in names]
        async with engine.send_many(documents, to=TO, method="embed") as receipts:
            got = [(receipt.document_id, receipt.status) async for receipt in receipts]
    assert sorted(got) == [(name, "failed") for name in names]
    assert sandbox.events("message") == []


async def test_an_intent_that_fails_after_its_attempt_was_abandoned_takes_no_receipt_away(
    sandbox, team, make_document, caplog
):
    """The connection is lost while the journal is asked; it answers the next attempt in time."""
    attempts = {}

    async def fails_late(intent):
        asked = attempts.setdefault(intent.document_id, [])
        asked.append(intent.attempt)
        if intent.attempt == 1:
            await until(lambda: "tried again" in caplog.text)
            raise TimeoutError("the database")

    journal = Book(intent_message=fails_late)
    async with team(sandbox, journal, retry=Retry(attempts=3, base_s=0.0)) as engine:
        for n in range(20):  # until the loss is met while the journal is asked, not before
            caplog.clear()
            sandbox.fault(do="reset", on="message", at_byte=400_000)
            document = make_document(f"doc-{n}", pattern(600_000))
            receipt = await engine.send(document, to=TO, method="embed", deadline_s=60)
            assert receipt.status == "accepted"
            if attempts[receipt.document_id] == [1, 2]:
                break
    assert [1, 2] in attempts.values()
    assert set(journal.statuses.values()) == {"accepted"}
    assert len(sandbox.events("message")) == len(journal.statuses)
