"""chartsend itself: the real Engine and its `send_many`, or a real batch with a durable ledger.

The one rule: nothing is switched off but what the job switches off (the digest) and the request quota,
which would hold every sender back alike.

Fair: settings as an application makes them; tokens, retries, watchdog and answers' checks all at work.
"""

from __future__ import annotations

import inspect
import os
import tempfile
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypedDict

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from chartsend import (
    Auth,
    Batch,
    BatchOptions,
    Destination,
    Document,
    Engine,
    Patient,
    Provider,
    Settings,
)

from .stage import SendError, only, path_of, play_async

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from typing import Literal

    from ..job import Job

TO: Final = "bench"
_WARM_UP: Final = b"%PDF-1.7\nwarm-up"


class Way(TypedDict, total=False):
    """What `send_many` and a batch are asked for."""

    api: Literal["fhir", "data-model"]
    method: Literal["embed", "upload"]
    model: Literal["document-reference", "notes"]
    note_text: bool


WAYS: Final[dict[str, Way]] = {
    "embed": {"api": "fhir", "method": "embed"},
    "raw": {"api": "fhir", "method": "upload"},
    "multipart": {"api": "data-model", "method": "upload", "model": "notes"},
    "embed_notes": {"api": "data-model", "method": "embed", "model": "notes"},
    "notes": {"api": "data-model", "method": "embed", "model": "notes", "note_text": True},
}


@asynccontextmanager
async def sender(job: Job) -> AsyncGenerator[Callable[[], Awaitable[None]]]:
    """Open the engine and warm it up; with a ledger, plan the batch."""
    only(job, "embed", "raw", "multipart", "notes", "embed_notes")
    with tempfile.TemporaryDirectory(prefix="chartsend-bench-") as folder:
        settings = settings_of(job, Path(folder))
        async with AsyncExitStack() as stack:
            if job.ledger is None:
                engine = await stack.enter_async_context(_engine(settings, job.workers))
                await _warm_up(engine, job)
                yield lambda: _send(engine, job)
            else:
                async with Engine(settings) as engine:
                    await _warm_up(engine, job)
                batch = await stack.enter_async_context(_batch(job, settings))
                yield lambda: _run(batch, job)


def settings_of(job: Job, folder: Path) -> Settings:
    """Settings that speak to the sink."""
    key = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key_file = folder / "key.pem"
    key_file.touch(mode=0o600)
    key_file.write_bytes(key)
    further: dict[str, Any] = {}
    if job.buffer_bytes is not None:
        further["buffer_bytes"] = job.buffer_bytes
    return Settings(
        environment="Development",
        source_id="5d2b6e0f-bench-source",
        api_url=job.api_url,
        blob_url=job.api_url,
        ca_file=job.ca_file,
        concurrency=job.concurrency,
        hash=job.hashes,
        quota="off",
        auth=Auth(client_id="bench", key_id="bench", algorithm="ES384", key_file=str(key_file)),
        destinations={TO: Destination(name=TO, slug=TO, id=TO)},
        **further,
    )


def _engine(settings: Settings, workers: int) -> Engine:
    if workers == 1:
        return Engine(settings)
    if "workers" not in inspect.signature(Engine).parameters:
        raise SendError("this engine has no workers")
    further: dict[str, Any] = {"workers": workers}
    return Engine(settings, **further)


def _document(path: str, number: int) -> Document:
    return Document.from_path(path, **_described(number))


def _described(number: int) -> dict[str, Any]:
    return {
        "document_id": f"BENCH-{number:09}",
        "type": "Consent Form",
        "patient": Patient.identified("0000991234", "MR", first_name="Marla", last_name="Quillfeather"),
        "provider": Provider(id="9999999995", id_type="NPI", last_name="Oduya"),
    }


async def _warm_up(engine: Engine, job: Job) -> None:
    """One small document: imports, token, connection."""
    text = job.route == "notes"
    content = b"warm-up" if text else _WARM_UP
    document = Document.from_bytes(content, title="w.txt" if text else "w.pdf", **_described(0))
    await engine.send(document, to=TO, **WAYS[job.route])


async def _send(engine: Engine, job: Job) -> None:
    documents: Iterator[Document] = (
        _document(path_of(job, number), number) for number in range(job.count)
    )
    accepted = 0
    async with engine.send_many(documents, to=TO, **WAYS[job.route]) as receipts:
        async for receipt in receipts:
            if receipt.error is not None:
                raise SendError(receipt.error.message)
            accepted += 1
    if accepted != job.count:
        raise SendError(f"{accepted} of {job.count} were accepted")


@asynccontextmanager
async def _batch(job: Job, settings: Settings) -> AsyncGenerator[Batch]:
    assert job.ledger is not None
    folder = Path(tempfile.mkdtemp(prefix="batch-", dir=job.ledger))
    os.environ["XDG_STATE_HOME"] = str(folder)  # where a user's ledgers are listed
    root = Path(job.files[0]).parent  # rows may not leave it
    manifest = folder / "manifest.jsonl"
    with manifest.open("wb") as file:
        for number in range(job.count):
            row = {
                "path": Path(path_of(job, number)).name,
                "document_id": f"BENCH-{number:09}",
                "type": "Consent Form",
                "patient": {
                    "identifiers": [{"id": "0000991234", "type": "MR"}],
                    "first_name": "Marla",
                    "last_name": "Quillfeather",
                },
                "provider": {"id": "9999999995", "id_type": "NPI", "last_name": "Oduya"},
            }
            file.write(orjson.dumps(row) + b"\n")
    options = BatchOptions(to=TO, sends_again=True, root=str(root), **WAYS[job.route])
    async with Batch.open(manifest, settings, options) as batch:
        plan = await batch.plan()
        if plan.accepted != job.count:
            raise SendError(f"{plan.accepted} of {job.count} rows can be sent")
        yield batch


async def _run(batch: Batch, job: Job) -> None:
    accepted = 0
    async with batch.run(workers=job.workers) as settled:
        async for each in settled:
            if each.receipt.status != "accepted":
                raise SendError(f"row {each.row} was not accepted")
            accepted += 1
    if accepted != job.count:
        raise SendError(f"{accepted} of {job.count} were accepted")


if __name__ == "__main__":
    play_async(sender)
