"""What a worker sends, and what is told of it, is what the engine itself would have sent and told."""

from __future__ import annotations

from functools import partial

import anyio
import msgspec
import pytest
from rig import TO, Notes, described, outcome, pattern
from seen import Book, pids_of

from chartsend import Document, Engine, Timeouts

MB = 1 << 20
ROUTES = {
    "upload raw": {"api": "fhir", "method": "upload"},
    "upload multipart": {"api": "data-model", "method": "upload", "model": "media"},
    "embed FHIR": {"api": "fhir", "method": "embed"},
    "embed Notes": {"api": "data-model", "method": "embed", "model": "notes"},
    "note_text": {"api": "data-model", "model": "notes", "note_text": True},
    "results": {"api": "data-model", "model": "results"},
    "report": {"api": "fhir", "model": "diagnostic-report"},
}
SIZES = [1, 97, 20 * MB]


def data_for(route: str, size: int) -> bytes:
    if route == "note_text":
        line = "Zustand nach Röntgen: unauffällig «ok»\r\n\t".encode()
        return (line * (size // len(line) + 1))[:size].decode("utf-8", "ignore").encode()
    return pattern(size, seed=size % 251)


def without_chance(receipt):
    """What differs from send to send by nature: times and ids of logs."""
    url = receipt.reference_url is not None
    resource = receipt.resource_url is not None
    return msgspec.structs.replace(
        receipt,
        seconds=0.0,
        log_ids=(),
        trace_id=None,
        reference_url=str(url),
        resource_url=str(resource),
    )


def calls_without_chance(notes: Notes) -> list:
    told = []
    for name, what in notes.told:
        if name.startswith("result"):
            told.append((name, without_chance(what)))
        else:
            told.append(
                (name, msgspec.structs.replace(what, reference_url="url" * bool(what.reference_url)))
            )
    return told


async def one_by_one(engine, documents, **route):
    return [await engine.send(each, to=TO, deadline_s=120, row="7", **route) for each in documents]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("journalled", [True, False])
async def test_bytes_receipts_and_journal_are_the_same_with_workers(
    sandbox, settings_for, make_document, journalled
):
    settings = settings_for(sandbox, timeouts=Timeouts())
    seen = {}
    for workers in (1, 2):
        notes, receipts, events = Notes(), [], []
        engine = Engine(settings, journal=notes if journalled else None, workers=workers)
        async with engine:
            for route, options in ROUTES.items():
                name = "note.txt" if route == "note_text" else "scan.pdf"
                sizes = SIZES if route != "note_text" else [1, 97, 300_000]
                documents = [
                    make_document(f"{route} {size}", data_for(route, size), name) for size in sizes
                ]
                receipts += await one_by_one(engine, documents, **options)
            statistics = engine.statistics()
        assert not [r for r in receipts if r.status != "accepted"]
        events = [
            (e["kind"], e["document_id"], e["method"], e["model"], e["bytes"], e["sha256"])
            for e in sandbox.events()
            if e["kind"] != "token"
        ][-statistics.requests :]
        seen[workers] = (
            [without_chance(r) for r in receipts],
            events,
            [_timeless(c) for c in calls_without_chance(notes)],
            statistics.requests,
            dict(statistics.meter.statuses),
        )
    assert seen[1] == seen[2]
    assert len(seen[2][1]) == seen[2][3]


def _timeless(call):
    name, what = call
    if name.startswith("intent"):
        # The message says when it was made, so its digest differs from send to send.
        what = msgspec.structs.replace(
            what, message_at=None, message_sha256=str(what.message_sha256 is None)
        )
    return name, what


async def test_messages_are_byte_identical_with_workers(sandbox, settings_for, make_document):
    """With the time fixed, the digest around the file is that of every byte of the message."""
    import datetime as dt

    at = dt.datetime(2026, 11, 22, 6, 0, tzinfo=dt.UTC)
    digests = []
    for workers in (1, 2):
        notes = Notes()
        async with Engine(
            settings_for(sandbox, timeouts=Timeouts()), journal=notes, workers=workers
        ) as engine:
            for route in ("embed FHIR", "embed Notes", "note_text", "results"):
                name = "note.txt" if route == "note_text" else "scan.pdf"
                document = make_document(route, data_for(route, 5_000), name)
                await engine.send(document, to=TO, message_at=at, **ROUTES[route])
        digests.append([i.message_sha256 for n, i in notes.told if n == "intent message"])
    assert digests[0] == digests[1]
    assert len(digests[0]) == 4


async def test_errors_are_the_same_with_workers(sandbox, settings_for, make_document, tmp_path):
    sandbox.fault(do="status", on="message", status=422, times=None, where={"document_id": "refused"})
    sandbox.fault(do="swallow", on="message", times=None, where={"document_id": "lost"}, then="close")
    seen = []
    for workers in (1, 2):
        notes, found = Notes(), []
        async with Engine(
            settings_for(sandbox, timeouts=Timeouts()), journal=notes, workers=workers
        ) as engine:
            missing = Document.from_path(str(tmp_path / "gone.pdf"), **described(document_id="missing"))
            empty = make_document("empty", b"")
            lacking = Document.from_path(empty.path, document_id="lacking")
            for document in (
                missing,
                empty,
                lacking,
                make_document("refused"),
                make_document("lost"),
            ):
                error = await outcome(engine, document, method="embed")
                told = {k: v for k, v in vars(error).items() if k != "receipt"}
                found.append((type(error), str(error), told, without_chance(error.receipt)))
        seen.append((found, notes.order))
    assert seen[0] == seen[1]
    assert [kind.__name__ for kind, *_ in seen[1][0]][-1] == "OutcomeUnknownError"


async def test_what_is_in_memory_or_streamed_is_sent_from_the_engines_own_process(
    sandbox, team, make_document
):
    async def pieces():
        for _ in range(10):
            yield b"x" * 1000

    async with team(sandbox) as engine:
        own = engine._open.parts
        await engine.send(make_document("file"), to=TO, method="embed")
        assert own.statistics().requests == 0
        await engine.send(
            Document.from_bytes(b"%PDF-1.7\n", title="a.pdf", **described(document_id="bytes")),
            to=TO,
            method="embed",
        )
        await engine.send(
            Document.from_stream(
                pieces, size_bytes=10_000, title="a.bin", **described(document_id="stream")
            ),
            to=TO,
            method="embed",
        )
        assert own.statistics().requests == 2
        assert engine.statistics().requests == 3
    assert [e["document_id"] for e in sandbox.events("message")] == ["file", "bytes", "stream"]


async def test_progress_is_told_and_ends_with_the_whole_body(sandbox, team, make_document):
    told = []
    async with team(sandbox) as engine:
        document = make_document("shown", pattern(3 * MB))
        await engine.send(document, to=TO, method="embed", on_progress=told.append)
    assert {p.document_id for p in told} == {"shown"}
    assert told[-1].sent_bytes == told[-1].declared_bytes > 4 * MB
    assert [p.sent_bytes for p in told] == sorted(p.sent_bytes for p in told)


async def test_progress_that_raises_harms_neither_its_send_nor_the_worker(
    sandbox, team, make_document, caplog
):
    def broken(_):
        raise ValueError("a display")

    async with team(sandbox) as engine:
        before = pids_of(engine)
        for n in range(3):
            document = make_document(f"shown {n}", pattern(2 * MB))
            receipt = await engine.send(document, to=TO, method="embed", on_progress=broken)
            assert receipt.status == "accepted"
        assert pids_of(engine) == before
    assert sum("on_progress raised ValueError" in m for m in caplog.messages) == 3


async def test_a_journal_hears_of_each_step_before_it_is_taken(sandbox, team, make_document):
    """Looked at from the sandbox, in the calls themselves."""
    order = []

    async def before_message(intent):
        order.append(("intent", len(sandbox.events("message"))))

    async def before_caller(receipt):
        order.append(("result", len(sandbox.events("message"))))

    journal = Book(intent_message=before_message, result=before_caller)
    async with team(sandbox, journal) as engine:
        for n in range(3):
            await engine.send(make_document(str(n)), to=TO, method="upload")
            order.append(("caller", n + 1))
    assert order == [
        (what, n + (what != "intent")) for n in range(3) for what in ("intent", "result", "caller")
    ]


async def test_each_send_goes_by_its_own_terms_when_they_are_forgotten_again_and_again(
    sandbox, team, make_document, monkeypatch
):
    """A number comes to mean other terms while sends that named it are still to begin."""
    monkeypatch.setattr("chartsend.workers.terms.MOST", 1)
    routes = ["embed FHIR", "embed Notes", "results", "upload multipart"]
    async with team(sandbox, concurrency=40) as engine:
        async with anyio.create_task_group() as tasks:
            for n in range(40):
                options = ROUTES[routes[n % 4]]
                tasks.start_soon(partial(engine.send, make_document(f"{n}"), to=TO, **options))
    models = {e["document_id"]: e["model"] for e in sandbox.events("message")}
    expected = ["document-reference", "notes", "results", "media"]
    assert models == {f"{n}": expected[n % 4] for n in range(40)}


async def test_texts_of_a_callers_own_enumeration_cross_as_texts(sandbox, team, make_document):
    import enum

    class Kind(enum.StrEnum):  # a local class: its instances cannot be pickled at all
        CONSENT = "Consent Form"

    async with team(sandbox) as engine:
        before = pids_of(engine)
        document = make_document("typed", type=Kind.CONSENT)
        receipt = await engine.send(document, to=TO, method="embed", row=Kind.CONSENT)
        assert receipt.status == "accepted"
        assert pids_of(engine) == before
