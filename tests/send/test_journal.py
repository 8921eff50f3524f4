"""The journal: told before the last byte leaves and before the caller hears, and able to stop both."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time

import anyio
import pytest
from rig import QUICK, SHORT, TO, Notes, described, document, outcome, pattern, until

from chartsend import Document
from chartsend.errors import OutcomeUnknownError, SourceUnreadableError, TransferError, Verdict

SIZES = [57, 90_000, 2_000_000]
ONCE = dataclasses.replace(QUICK, attempts=1)
LONG = dataclasses.replace(SHORT, reply_s=20, stall_s=20)


@pytest.mark.parametrize("api", ["fhir", "data-model"])
async def test_an_upload_tells_five_things_in_order(sandbox, engine_for, api):
    notes = Notes()
    async with engine_for(sandbox, notes) as engine:
        receipt = await engine.send(
            document(pattern(300_000)), to=TO, api=api, method="upload", row="row 7"
        )
    assert notes.order == ["intent upload", "uploaded", "intent message", "result accepted"]
    upload, uploaded, message, result = [told for _, told in notes.told]
    assert {one.row for one in (upload, uploaded, message)} == {"row 7"}
    assert {one.document_id for one in (upload, uploaded, message)} == {"doc-1"}
    assert upload.sha256 == result.sha256 == receipt.sha256
    assert uploaded.reference_url == message.reference_url == receipt.reference_url
    assert (upload.attempt, message.attempt) == (1, 2)
    assert len(message.message_sha256) == 64
    assert message.message_at is not None
    assert result == receipt


async def test_an_embedded_file_tells_two_things(sandbox, engine_for):
    notes = Notes()
    async with engine_for(sandbox, notes) as engine:
        receipt = await engine.send(document(pattern(300_000)), to=TO, method="embed")
    assert notes.order == ["intent message", "result accepted"]
    assert notes.told[0][1].sha256 == receipt.sha256
    assert notes.told[0][1].reference_url is None


async def test_every_attempt_tells_its_intent(sandbox, engine_for):
    sandbox.fault(do="status", on="message", status=503, headers={"Retry-After": "0"}, times=2)
    notes = Notes()
    async with engine_for(sandbox, notes) as engine:
        await engine.send(document(pattern(1000)), to=TO, method="embed")
    assert notes.order == ["intent message"] * 3 + ["result accepted"]
    assert [told.attempt for _, told in notes.told[:3]] == [1, 2, 3]
    # A repeat is byte-identical, so its message's hash is the same.
    assert len({told.message_sha256 for _, told in notes.told[:3]}) == 1


class Gate(Notes):
    """An intent that waits to be let go."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step
        self.waiting, self.open = anyio.Event(), anyio.Event()

    async def intent(self, intent) -> None:
        await super().intent(intent)
        if intent.step == self.step:
            self.waiting.set()
            await self.open.wait()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", ["upload", "message"])
async def test_the_last_byte_leaves_after_the_intent(raw, engine_for, step, size):
    gate = Gate(step)
    async with engine_for(raw, gate) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(
            lambda: outcome(
                engine, document(pattern(size)), method="upload" if step == "upload" else "embed"
            )
        )
        await gate.waiting.wait()
        await asyncio.sleep(0.2)
        seen = raw.requests(step)
        if size < 90_000:
            assert seen == []  # a body of one chunk has not begun
        elif seen:
            assert seen[0]["received"] < seen[0]["length"]
        gate.open.set()
    assert raw.requests(step)[0]["committed"]
    assert gate.order[-1] == "result accepted"


class Refusing(Notes):
    def __init__(self, method: str, error: BaseException) -> None:
        super().__init__()
        self.method, self.error = method, error

    async def intent(self, intent) -> None:
        await super().intent(intent)
        if self.method == f"intent {intent.step}":
            raise self.error

    async def uploaded(self, uploaded) -> None:
        await super().uploaded(uploaded)
        if self.method == "uploaded":
            raise self.error

    async def result(self, row, receipt) -> None:
        await super().result(row, receipt)
        if self.method == "result":
            raise self.error


class LedgerIsFullError(TransferError):
    """As a ledger would raise it."""

    default_verdict = Verdict.GIVE_UP


ERRORS = [
    LedgerIsFullError("full"),
    OSError(28, "no space left"),
    RuntimeError("broken"),
    TimeoutError("locked"),
]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
async def test_a_journal_that_refuses_an_intent_keeps_the_message_from_being_applied(
    raw, engine_for, size, error
):
    async with engine_for(raw, Refusing("intent message", error)) as engine:
        with pytest.raises(type(error)) as caught:
            await engine.send(document(pattern(size)), to=TO, method="embed")
    assert caught.value is error or str(caught.value) == str(error)
    assert raw.commits() == 0
    assert len(raw.requests("message")) <= 1  # it is not the network's failure: no retry


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
async def test_a_journal_that_refuses_an_upload_stops_there(raw, engine_for, error):
    async with engine_for(raw, Refusing("intent upload", error)) as engine:
        with pytest.raises(type(error)):
            await engine.send(document(pattern(300_000)), to=TO, method="upload")
    assert raw.commits("upload") == 0
    assert raw.requests("message") == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
async def test_a_journal_that_cannot_keep_a_reference_sends_no_message(raw, engine_for, error):
    async with engine_for(raw, Refusing("uploaded", error)) as engine:
        with pytest.raises(type(error)):
            await engine.send(document(pattern(1000)), to=TO, method="upload")
    assert raw.commits("upload") == 1
    assert raw.requests("message") == []


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
async def test_a_journal_that_cannot_keep_the_result_is_heard_of(raw, engine_for, error):
    notes = Refusing("result", error)
    is_ours = isinstance(error, TransferError)
    async with engine_for(raw, notes) as engine:
        with pytest.raises(OutcomeUnknownError if is_ours else type(error)) as caught:
            await engine.send(document(pattern(1000)), to=TO, method="embed")
    assert error in (caught.value, caught.value.__cause__)
    assert notes.order == ["intent message", "result accepted"]
    assert raw.commits() == 1


async def test_the_result_is_kept_before_the_caller_hears(raw, engine_for):
    kept = []

    class Slow(Notes):
        async def result(self, row, receipt) -> None:
            await asyncio.sleep(0.2)
            kept.append(receipt)

    async with engine_for(raw, Slow()) as engine:
        receipt = await engine.send(document(pattern(1000)), to=TO, method="embed")
        assert kept == [receipt]
        raw.plan("message", [["read", None], ["send", "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"]])
        error = await outcome(engine, document(pattern(1000)), method="embed")
        assert kept[1] == error.receipt


@pytest.mark.parametrize("status", ["failed", "in_doubt"])
async def test_every_ending_is_told_once(raw, engine_for, status):
    plan = [["read", None], ["send", "HTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n"]]
    raw.plan("message", plan if status == "failed" else [["read", None], ["commit"], ["close"]])
    notes = Notes()
    async with engine_for(raw, notes) as engine:
        await outcome(engine, document(pattern(1000)), method="embed")
    assert notes.order == ["intent message", f"result {status}"]


async def test_what_was_refused_before_a_request_is_told_as_failed(raw, engine_for, tmp_path):
    notes = Notes()
    async with engine_for(raw, notes) as engine:
        await outcome(engine, Document.from_path(str(tmp_path / "none.pdf"), **described()))
    assert notes.order == ["result failed"]


@pytest.mark.parametrize("how", ["scope", "task"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_caller_cancelled_after_the_last_byte_leaves_one_doubt(raw, engine_for, size, how):
    raw.plan("message", [["read", None], ["commit"], ["hold"]])
    notes = Notes()
    async with engine_for(raw, notes, timeouts=LONG) as engine:
        task = asyncio.create_task(
            engine.send(document(pattern(size)), to=TO, method="embed", row="row 1")
        )
        await until(lambda: raw.commits() == 1)
        if how == "task":
            task.cancel()
        else:
            task.cancel("from a scope")
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
    assert notes.order == ["intent message", "result in_doubt"]
    receipt = notes.told[1][1]
    assert (receipt.status, receipt.document_id, receipt.error.code) == (
        "in_doubt",
        "doc-1",
        "outcome_unknown",
    )
    assert receipt.sha256 is not None


async def cancelled_once(condition, engine, doc, **options):
    """Send, and cancel the caller as soon as the condition holds, however long that takes."""
    task = asyncio.create_task(engine.send(doc, to=TO, **options))
    try:
        await until(condition)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    assert task.cancelled()


async def test_a_caller_cancelled_before_the_last_byte_leaves_no_doubt(raw, engine_for):
    raw.plan("message", [["read", 100_000], ["hold"]])
    notes = Notes()
    async with engine_for(raw, notes, timeouts=LONG) as engine:
        await cancelled_once(
            lambda: any(each["received"] >= 100_000 for each in raw.requests("message")),
            engine,
            document(pattern(16_000_000)),
            method="embed",
        )
    assert "result in_doubt" not in notes.order
    assert raw.commits() == 0


async def test_a_caller_cancelled_after_an_upload_leaves_no_doubt(raw, engine_for):
    raw.plan("upload", [["read", None], ["commit"], ["hold"]])
    notes = Notes()
    async with engine_for(raw, notes, timeouts=LONG) as engine:
        await cancelled_once(
            lambda: any(each["committed"] for each in raw.requests("upload")),
            engine,
            document(pattern(1000)),
            method="upload",
        )
    assert notes.order == ["intent upload"]


async def test_a_message_that_was_refused_leaves_no_doubt_when_it_is_cancelled_later(raw, engine_for):
    raw.plan("message", [["read", None], ["send", "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n"]])
    raw.plan("token", [["read", None], ["ok"]], [["read", None], ["hold"]])
    notes = Notes()
    async with engine_for(raw, notes, timeouts=LONG) as engine:
        await cancelled_once(
            lambda: len(raw.requests("token")) == 2, engine, document(pattern(1000)), method="embed"
        )
    assert notes.order == ["intent message"]


async def test_a_wait_between_attempts_that_is_cancelled_leaves_no_doubt(raw, engine_for):
    refusal = "HTTP/1.1 503 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
    raw.plan("message", [["read", None], ["send", refusal]])
    notes = Notes()
    async with engine_for(raw, notes) as engine:
        await cancelled_once(
            lambda: engine.statistics().retries == 1,
            engine,
            document(pattern(1000)),
            method="embed",
            deadline_s=60,
        )
    assert notes.order == ["intent message"]


class Blocking(Notes):
    """A journal that holds up the whole event loop, as a synchronous database does."""

    async def intent(self, intent) -> None:
        await super().intent(intent)
        time.sleep(0.2)


@pytest.mark.parametrize("status", [200, 503])
async def test_an_answer_that_came_during_a_blocking_intent_is_still_early(raw, engine_for, status):
    answer = f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"
    # More is left than the last chunk has: what was read by then came before the intent.
    raw.plan("message", *[[["read", -400_000], ["send", answer], ["drain"]]] * 3)
    async with engine_for(raw, Blocking(), retry=ONCE) as engine:
        error = await outcome(engine, document(pattern(1_000_000)), method="embed")
    if status == 200:
        assert isinstance(error, OutcomeUnknownError), error
    else:
        assert error.verdict is Verdict.RETRY
    assert raw.requests("message")[0]["received"] < raw.requests("message")[0]["length"]


async def test_a_source_that_fails_tells_no_intent(raw, engine_for):
    async def pieces():
        yield b"%PDF"
        raise ValueError

    notes = Notes()
    async with engine_for(raw, notes) as engine:
        error = await outcome(
            engine,
            Document.from_stream(pieces, size_bytes=10, title="a.pdf", **described(document_id="x")),
            method="embed",
        )
    assert isinstance(error, SourceUnreadableError)
    assert notes.order == ["result failed"]
