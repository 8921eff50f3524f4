"""Streams: exactly what was declared, from a fresh iterator per attempt, always closed."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import time

import anyio
import pytest
from rig import SHORT, TO, described, outcome, pattern

from chartsend import Document
from chartsend.document import Stream
from chartsend.errors import (
    InvalidDocumentError,
    SourceChangedError,
    SourceUnreadableError,
    StallTimeoutError,
    TransferError,
    Verdict,
)
from chartsend.sources.stream import StreamSource

DATA = pattern(700_000)


@pytest.fixture(autouse=True)
def no_settling(monkeypatch):
    """A changed source is looked at again after half a second; here after a moment."""
    monkeypatch.setattr("chartsend.send.sender.SETTLE_S", 0.01)


SIZE = len(DATA)


def stream(source, size=SIZE, **fields) -> Document:
    return Document.from_stream(
        source, size_bytes=size, title="scan.pdf", **described(**{"document_id": "doc-1", **fields})
    )


class Tap:
    """A factory of async generators that counts how often it was opened and closed."""

    def __init__(self, data=DATA, piece=50_001, fail_at=None, hang_at=None) -> None:
        self.data, self.piece, self.fail_at, self.hang_at = data, piece, fail_at, hang_at
        self.opened = self.closed = 0

    async def __call__(self):
        self.opened += 1
        try:
            for start in range(0, len(self.data), self.piece):
                if self.fail_at is not None and start >= self.fail_at:
                    raise RuntimeError("marla's scanner is on fire")
                if self.hang_at is not None and start >= self.hang_at:
                    await asyncio.sleep(30)
                yield self.data[start : start + self.piece]
        finally:
            self.closed += 1
            await asyncio.sleep(0)  # closing may await


class Once:
    """An iterator without aclose that can be read once."""

    def __init__(self, data=DATA, piece=50_001) -> None:
        self._pieces = [data[i : i + piece] for i in range(0, len(data), piece)]

    def __aiter__(self):
        return self

    async def __anext__(self):
        await asyncio.sleep(0)
        if not self._pieces:
            raise StopAsyncIteration
        return self._pieces.pop(0)


def generator():
    return Tap()()


METHODS = pytest.mark.parametrize("method", ["upload", "embed"])


@METHODS
@pytest.mark.parametrize("piece", [1, 3, 1000, 98_304, 98_305, 10**6])
async def test_any_cut_arrives(engine_for, sandbox, method, piece):
    data = DATA if piece > 3 else DATA[:5000]
    tap = Tap(data, piece)
    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, stream(tap, len(data)), method=method)
    assert receipt.status == "accepted", receipt
    assert sandbox.events("message")[0]["sha256"] == hashlib.sha256(data).hexdigest() == receipt.sha256
    assert (tap.opened, tap.closed) == (1, 1)


@METHODS
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
async def test_any_buffer_and_empty_pieces_arrive(engine_for, sandbox, method, kind):
    async def pieces():
        for start in range(0, len(DATA), 100_000):
            yield kind(b"")
            yield kind(DATA[start : start + 100_000])
        yield kind(b"")

    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, stream(pieces), method=method)
    assert receipt.status == "accepted", receipt
    assert sandbox.events("message")[0]["sha256"] == hashlib.sha256(DATA).hexdigest()


@METHODS
async def test_a_buffer_that_is_reused_and_cleared_by_its_owner_arrives(engine_for, sandbox, method):
    async def pieces():
        buffer = bytearray()
        for start in range(0, len(DATA), 100_000):
            buffer += DATA[start : start + 100_000]
            yield buffer
            buffer.clear()  # a BufferError, if anybody still holds a view of it

    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, stream(pieces), method=method)
    assert not isinstance(receipt, TransferError), receipt
    assert sandbox.events("message")[0]["sha256"] == hashlib.sha256(DATA).hexdigest()


@METHODS
@pytest.mark.parametrize("size", [1, 4096, 98_304, 200_000])
@pytest.mark.parametrize("declared", [-1, +1, +100_000])
async def test_another_size_than_declared_is_never_sent(engine_for, sandbox, method, size, declared):
    if size + declared == 0:
        pytest.skip("an empty document is another error")
    tap = Tap(DATA[:size])
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(tap, size + declared), method=method)
    assert isinstance(error, SourceChangedError)
    assert error.receipt.status == "failed"
    assert sandbox.events("message") == sandbox.events("blob") == []
    assert tap.opened == tap.closed > 0


@METHODS
@pytest.mark.parametrize("fail_at", [0, 50_001, 650_000])
async def test_a_stream_that_raises_fails_the_send_and_nothing_arrives(
    engine_for, sandbox, method, fail_at
):
    tap = Tap(fail_at=fail_at)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(tap), method=method)
    assert isinstance(error, SourceUnreadableError)
    assert error.verdict is Verdict.GIVE_UP
    assert "marla" not in error.message
    assert "RuntimeError" in error.message
    assert sandbox.events("message") == sandbox.events("blob") == []
    assert (tap.opened, tap.closed) == (1, 1)


@METHODS
async def test_a_stream_that_hangs_fails_in_time_and_is_closed(engine_for, sandbox, method):
    tap = Tap(hang_at=300_000)
    timeouts = dataclasses.replace(SHORT, read_s=0.2)
    async with engine_for(sandbox, timeouts=timeouts) as engine:
        began = time.monotonic()
        error = await outcome(engine, stream(tap), method=method)
        assert time.monotonic() - began < 3
    assert isinstance(error, StallTimeoutError)
    assert error.message.startswith("the stream gave nothing")
    assert tap.opened == tap.closed == 3  # provably not applied: tried again with a fresh one
    assert sandbox.events("message") == sandbox.events("blob") == []


@METHODS
async def test_a_cancelled_send_closes_its_stream(engine_for, sandbox, method):
    tap = Tap(hang_at=300_000)
    async with engine_for(sandbox) as engine:
        with anyio.move_on_after(0.2):
            await engine.send(stream(tap), to=TO, method=method)
        assert (tap.opened, tap.closed) == (1, 1)
    assert sandbox.events("message") == sandbox.events("blob") == []


@METHODS
async def test_every_attempt_opens_a_fresh_stream(engine_for, sandbox, method):
    kind = "blob" if method == "upload" else "message"
    sandbox.fault(do="status", on=kind, status=503, headers={"Retry-After": "0"}, times=2)
    tap = Tap()
    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, stream(tap), method=method)
    assert receipt.status == "accepted", receipt
    assert (tap.opened, tap.closed) == (3, 3)
    assert len(sandbox.events("message")) == 1


@METHODS
@pytest.mark.parametrize("source", [Once, generator], ids=["iterator", "generator"])
async def test_an_iterator_that_is_read_once_arrives(engine_for, sandbox, method, source):
    async with engine_for(sandbox) as engine:
        receipt = await outcome(engine, stream(source()), method=method)
    assert receipt.status == "accepted", receipt


@METHODS
@pytest.mark.parametrize("source", [Once, generator], ids=["iterator", "generator"])
async def test_an_iterator_that_would_be_needed_twice_says_so(engine_for, sandbox, method, source):
    kind = "blob" if method == "upload" else "message"
    sandbox.fault(do="status", on=kind, status=503, headers={"Retry-After": "0"}, times=2)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(source()), method=method)
    assert (error.code, error.status) == ("server_unavailable", 503)  # the cause, not its consequence
    assert "pass a function that opens a fresh one" in error.message
    assert error.receipt.attempts == 1
    assert sandbox.events("message") == sandbox.events("blob") == []


@METHODS
async def test_an_expired_token_does_not_condemn_the_key_because_an_iterator_was_read(
    engine_for, sandbox, method
):
    kind = "blob" if method == "upload" else "message"
    sandbox.fault(do="status", on=kind, status=401)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(Once()), method=method)
        # One token was refused, once; credentials are condemned when a fresh one is refused too.
        assert error.verdict is Verdict.RETRY
        assert (await outcome(engine, stream(Once()), method=method)).status == "accepted"


async def test_an_iterator_is_used_up_by_its_first_byte_and_not_by_an_attempt():
    """An attempt that found no connection has asked for nothing: the next one has it all."""
    source = StreamSource(Stream(size_bytes=6, open=generator()), read_s=5)
    await source.reader().aclose()
    assert source.can_reopen

    reader = source.reader()
    buffer = memoryview(bytearray(3))
    assert await reader.read_into(buffer) == 3
    await reader.aclose()

    assert not source.can_reopen
    with pytest.raises(SourceChangedError, match="pass a function"):
        source.reader()


async def test_the_rest_of_an_iterator_is_never_sent_as_another_document(engine_for, sandbox):
    class Splitting(Once):
        """Ends after one piece, and goes on when it is asked again, as a queue does."""

        async def __anext__(self):
            if len(self._pieces) % 2:
                self._pieces.insert(0, None)
            piece = self._pieces.pop(0)
            if piece is None:
                raise StopAsyncIteration
            return piece

    source = Splitting(b"%PDF-first" + b"SECOND-PDF", 10)
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(source, 10), method="embed")
    whole = hashlib.sha256(b"%PDF-first").hexdigest()
    assert isinstance(error, SourceChangedError) or error.sha256 == whole
    assert all(e["sha256"] == whole for e in sandbox.events("message"))


@pytest.mark.parametrize("wrong", ["text", 7, None, [1, 2]])
async def test_a_stream_of_something_else_than_bytes_is_a_clear_error(engine_for, sandbox, wrong):
    async def pieces():
        yield b"%PDF"
        yield wrong

    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(pieces, 54), method="embed")
    assert isinstance(error, SourceUnreadableError | SourceChangedError | InvalidDocumentError), error
    assert error.receipt.attempts <= 3
    assert sandbox.events("message") == []


async def test_a_factory_that_raises_is_a_clear_error(engine_for, sandbox):
    def factory():
        raise OSError("marla's file is locked")

    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(factory), method="embed")
    assert isinstance(error, SourceUnreadableError)
    assert "marla" not in error.message


async def test_a_factory_that_gives_no_iterator_is_a_clear_error(engine_for, sandbox):
    async with engine_for(sandbox) as engine:
        error = await outcome(engine, stream(lambda: b"bytes"), method="embed")
    assert isinstance(error, SourceUnreadableError | InvalidDocumentError)


async def test_a_broken_factory_fails_its_own_document_only(engine_for, sandbox):
    def factory():
        raise OSError

    documents = [
        stream(Tap(), document_id="a"),
        stream(factory, document_id="b"),
        stream(Tap(), document_id="c"),
    ]
    async with engine_for(sandbox) as engine, engine.send_many(documents, to=TO) as receipts:
        states = {r.document_id: r.status async for r in receipts}
    assert states == {"a": "accepted", "b": "failed", "c": "accepted"}


def test_a_negative_size_is_refused():
    with pytest.raises(InvalidDocumentError, match="size_bytes"):
        stream(Tap(), -1)


async def test_a_deadline_passes_while_a_stream_is_slow(engine_for, sandbox):
    tap = Tap(hang_at=300_000)
    async with engine_for(sandbox) as engine:
        began = time.monotonic()
        error = await outcome(engine, stream(tap), method="embed", deadline_s=0.3)
        assert time.monotonic() - began < 1
    assert error.code == "deadline_exceeded"
    assert error.receipt.status == "failed"  # the last chunk was never released
    assert (tap.opened, tap.closed) == (1, 1)
    assert sandbox.events("message") == []
