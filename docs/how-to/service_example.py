"""A service that takes a file over HTTP and passes it on through Redox while it comes in.

    POST /documents
    Content-Length: 184213            the exact size: it is needed before the first byte
    Content-Type: application/pdf
    Document-Id: consent-4711         the caller's own id: the same file, the same id
    Document-Type: Consent Form
    Document-Title: consent.pdf       UTF-8, percent-encoded
    Patient-Id: 0000991234:MR

The file is never held: what the caller sends is read as fast as Redox takes it.
"""

from __future__ import annotations

import logging
import os
import socket
from typing import TYPE_CHECKING
from urllib.parse import unquote

from aiohttp import web

from chartsend import Document, Engine, Patient, Receipt, Settings, TransferError, Verdict
from chartsend.errors import (
    EmptyFileError,
    InvalidDocumentError,
    InvalidError,
    PayloadRejectedError,
    SourceChangedError,
    SourceUnreadableError,
    TooLargeError,
    TypeMismatchError,
    UnsupportedMediaError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ENGINE = web.AppKey("engine", Engine)
DESTINATION = web.AppKey("destination", str)
LARGEST_BYTES = 30_000_000
DEADLINE_S = 300.0

log = logging.getLogger("service")

# What the caller did wrong. Everything else that failed is ours or Redox's, and a 5xx.
CALLERS_FAULT: dict[type[TransferError], int] = {
    InvalidDocumentError: 422,
    InvalidError: 422,
    TypeMismatchError: 422,
    EmptyFileError: 422,
    TooLargeError: 413,
    PayloadRejectedError: 413,
    UnsupportedMediaError: 415,
    SourceUnreadableError: 400,  # the caller hung up
}


def describe(request: web.Request, size_bytes: int) -> Document:
    """The document that a request's headers describe; its bytes are the request's body."""
    patient_id, _, kind = request.headers.get("Patient-Id", "").rpartition(":")
    return Document.from_stream(
        request.content.iter_any(),
        size_bytes=size_bytes,
        document_id=request.headers.get("Document-Id"),
        type=request.headers.get("Document-Type"),
        title=unquote(request.headers.get("Document-Title", "")) or "document",
        content_type=request.headers.get("Content-Type"),  # else the title's ending decides
        patient=Patient.identified(patient_id, kind) if patient_id else None,
    )


async def receive(request: web.Request) -> web.Response:
    """Pass one file on, and answer what became of it."""
    size_bytes = request.content_length
    if size_bytes is None:
        return web.json_response({"error": "length_required"}, status=411)
    if size_bytes > LARGEST_BYTES:
        return web.json_response({"error": "too_large"}, status=413)
    if "Document-Id" not in request.headers:
        return web.json_response({"error": "document_id_required"}, status=400)
    try:
        receipt = await request.app[ENGINE].send(
            describe(request, size_bytes), to=request.app[DESTINATION], deadline_s=DEADLINE_S
        )
    except TransferError as error:
        return refusal(error)
    log.info("document %s: accepted, %d bytes", receipt.document_id, size_bytes)
    return web.json_response(as_answer(receipt), status=201)


def refusal(error: TransferError) -> web.Response:
    """The answer for a document that was not accepted, or perhaps was."""
    log.warning("document %s: %s", error.document_id, error.message)
    answer = {"status": "failed", "error": error.code, "message": error.message}
    if error.verdict is Verdict.IN_DOUBT:
        # Not a 5xx: callers and proxies repeat those by themselves, and this one may be in the chart.
        return web.json_response({**answer, "status": "in_doubt"}, status=409)
    for kind, status in CALLERS_FAULT.items():
        if isinstance(error, kind):
            return web.json_response(answer, status=status)
    # A body comes once. After a failed attempt only the caller can send it again.
    if error.verdict is Verdict.RETRY or isinstance(error, SourceChangedError):
        wait_s = round(error.retry_after_s or 5)
        return web.json_response(answer, status=503, headers={"Retry-After": str(wait_s)})
    return web.json_response(answer, status=502)


def as_answer(receipt: Receipt) -> dict[str, object]:
    """What a caller is told of an accepted document."""
    return {
        "status": receipt.status,
        "document_id": receipt.document_id,
        "bytes": receipt.bytes,
        "sha256": receipt.sha256,
        "log_ids": receipt.log_ids,
    }


async def health(request: web.Request) -> web.Response:
    """Whether the service runs, and how busy it is."""
    statistics = request.app[ENGINE].statistics()
    return web.json_response({"in_flight": statistics.sends_in_flight, "requests": statistics.requests})


async def one_engine(app: web.Application) -> AsyncIterator[None]:
    """One engine for the whole life of the service: opened at start-up, closed at shutdown."""
    async with Engine(Settings.load()) as engine:  # the profile is named by CHARTSEND_PROFILE
        app[ENGINE] = engine
        yield


def make_app(destination: str) -> web.Application:
    """The service, for `web.run_app` and for tests."""
    app = web.Application()
    app[DESTINATION] = destination
    app.cleanup_ctx.append(one_engine)
    app.router.add_post("/documents", receive)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    """Serve until SIGTERM: then take nothing new, finish what is under way, close the engine."""
    logging.basicConfig(level=logging.INFO)
    listening = socket.create_server(("127.0.0.1", int(os.environ.get("PORT", "8080"))))
    print(f"http://127.0.0.1:{listening.getsockname()[1]}", flush=True)  # noqa: T201  # for people
    app = make_app(os.environ.get("DESTINATION", "memorial-ehr"))
    web.run_app(app, sock=listening, shutdown_timeout=DEADLINE_S, print=None)


if __name__ == "__main__":
    main()
