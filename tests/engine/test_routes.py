"""Every route carries files of every size, byte for byte, as the sandbox's own record shows."""

from __future__ import annotations

import hashlib
import logging

import pytest

from chartsend import Document, Engine, Order, TransferError
from chartsend.errors import TooLargeError
from chartsend.testing import SandboxProcess

ROUTES = [
    ("fhir", "document-reference"),
    ("fhir", "diagnostic-report"),
    ("data-model", "notes"),
    ("data-model", "media"),
    ("data-model", "results"),
]
SIZES = [1, 57, 199_000, 201_000, 5_000_000, 30_000_000]


@pytest.fixture(scope="module")
def shared():
    with SandboxProcess.start() as process:
        yield process


async def test_every_route_and_method_carries_every_size(
    shared, settings_of, make_file, described, subtests
):
    async with Engine(settings_of(shared)) as engine:
        for api, model in ROUTES:
            for method in ("upload", "embed"):
                for size in SIZES:
                    if method == "embed" and size == 30_000_000:
                        continue  # 40,000,000 bytes of base64 leave no room for the message
                    with subtests.test(api=api, model=model, method=method, size=size):
                        path, sha256 = make_file(size)
                        document = Document.from_path(
                            path, document_id=f"{model}-{method}-{size}", **described
                        )

                        receipt = await engine.send(
                            document, to=shared.info.destination, api=api, model=model, method=method
                        )

                        event = shared.events()[-1]
                        assert event["kind"] == "message"
                        assert (event["sha256"], event["bytes"]) == (sha256, size)
                        assert (event["api"], event["model"], event["method"]) == (api, model, method)
                        assert receipt.sha256 == sha256
                        assert receipt.attempts == (2 if method == "upload" else 1)
                        assert receipt.reference_url == event["reference"]


@pytest.mark.parametrize(("api", "model"), ROUTES)
@pytest.mark.parametrize("method", ["auto", "upload", "embed"])
async def test_a_byte_over_30_mb_is_refused_before_any_request(
    sandbox, settings_of, tmp_path, described, api, model, method
):
    path = tmp_path / "large.bin"
    path.touch()
    with path.open("r+b") as file:
        file.truncate(30_000_001)

    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(TooLargeError, match=r"30[,.]?000[,.]?001") as caught:
            await engine.send(
                Document.from_path(str(path), **described),
                to=sandbox.info.destination,
                api=api,
                model=model,
                method=method,
            )

    assert sandbox.events() == []
    assert caught.value.receipt.attempts == 0
    assert engine_made_no_request(sandbox)


def engine_made_no_request(sandbox) -> bool:
    """The sandbox counts every request that it sees, tokens included."""
    return sandbox.requests()["total"] == 0


async def test_auto_embeds_to_200_kb_and_uploads_above(shared, settings_of, make_file, described):
    async with Engine(settings_of(shared)) as engine:
        small = await engine.send(
            Document.from_path(make_file(200_000)[0], **described), to=shared.info.destination
        )
        large = await engine.send(
            Document.from_path(make_file(200_001)[0], **described), to=shared.info.destination
        )

    assert (small.method, large.method) == ("embed", "upload")


async def test_a_free_account_in_development_embeds_what_fits_and_refuses_the_rest(
    settings_of, make_file, described
):
    with SandboxProcess.start("--account", "free") as sandbox:
        async with Engine(settings_of(sandbox)) as engine:
            document = Document.from_path(make_file(5_000_000)[0], **described)
            receipt = await engine.send(document, to=sandbox.info.destination)
            assert receipt.method == "embed"

            with pytest.raises(TooLargeError, match="free"):
                await engine.send(document, to=sandbox.info.destination, method="upload")


@pytest.mark.parametrize("model", ["notes", "media"])
async def test_replace_and_delete_reach_the_receiver(sandbox, settings_of, make_file, described, model):
    path, _ = make_file(57)
    async with Engine(settings_of(sandbox)) as engine:
        to = sandbox.info.destination
        await engine.send(Document.from_path(path, document_id="one", **described), to=to, model=model)
        await engine.send(
            Document.from_path(path, document_id="two", replaces="one", **described), to=to, model=model
        )
        receipt = await engine.delete(
            Document(document_id="two", title="57.bin", **described), to=to, model=model
        )

    assert [(e["event_type"], e["document_id"]) for e in sandbox.events() if e["kind"] == "message"] == [
        ("New", "one"),
        ("Replace", "two"),
        ("Delete", "two"),
    ]
    assert receipt.status == "accepted"


async def test_a_result_without_an_order_is_unsolicited(sandbox, settings_of, make_file, described):
    fields = {**described, "order": Order(application_id="LAB-77120", code="PDF_REPORT")}
    async with Engine(settings_of(sandbox)) as engine:
        await engine.send(
            Document.from_path(make_file(57)[0], **fields), to=sandbox.info.destination, model="results"
        )

    assert sandbox.events()[-1]["event_type"] == "NewUnsolicited"


@pytest.mark.parametrize(
    ("name", "text"),
    [("note.txt", 'Visit of 2 July.\n"Well", \\ Zoë said 😀\t\u2028'), ("note.rtf", "{\\rtf1 Hello}")],
)
async def test_text_files_go_as_searchable_text_where_asked(
    sandbox, settings_of, tmp_path, described, name, text
):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    async with Engine(settings_of(sandbox)) as engine:
        receipt = await engine.send(
            Document.from_path(str(path), **described),
            to=sandbox.info.destination,
            model="notes",
            note_text=True,
        )

    event = sandbox.events()[-1]
    assert receipt.method == "embed"
    assert event["sha256"] == hashlib.sha256(text.encode()).hexdigest()


async def test_fhir_binary_in_json_carries_the_same_bytes(sandbox, settings_of, make_file, described):
    path, sha256 = make_file(5_000_000)
    async with Engine(settings_of(sandbox, binary_body="fhir_json")) as engine:
        await engine.send(Document.from_path(path, **described), to=sandbox.info.destination)

    assert sandbox.events()[-1]["sha256"] == sha256


async def test_every_field_that_is_missing_is_named_at_once_and_nothing_is_sent(
    sandbox, settings_of, make_file
):
    async with Engine(settings_of(sandbox)) as engine:
        with pytest.raises(TransferError) as caught:
            await engine.send(
                Document.from_path(make_file(57)[0]), to=sandbox.info.destination, model="notes"
            )

    assert caught.value.code == "invalid_document"
    assert {"Note.DocumentType", "Note.Provider.ID", "Patient.Identifiers"} <= set(caught.value.missing)
    assert engine_made_no_request(sandbox)


async def test_what_a_route_advises_against_is_said_once_of_each_kind(
    sandbox, settings_of, described, caplog
):
    documents = (
        Document.from_bytes(
            b"%PDF-1.7\n" + bytes(size), title="a.pdf", document_id=f"d{size}", **described
        )
        for size in (250_000, 260_000, 270_000)
    )
    to = sandbox.info.destination
    with caplog.at_level(logging.DEBUG, "chartsend"):
        async with Engine(settings_of(sandbox)) as engine:
            async with engine.send_many(documents, to=to, method="embed") as receipts:
                assert [receipt.status async for receipt in receipts] == ["accepted"] * 3
    advice = [record for record in caplog.records if "are embedded" in record.getMessage()]
    assert sorted(record.levelname for record in advice) == ["DEBUG", "DEBUG", "WARNING"]
    (said,) = [record.getMessage() for record in advice if record.levelname == "WARNING"]
    assert said.endswith("(said once)")
