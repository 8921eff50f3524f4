"""Uploads: FHIR's Binary and the Data Model's multipart form. Both end as a file with a URL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from .answers import FHIR_JSON, blob_refusal, fhir_refusal, json_response
from .base64_stream import NotBase64Error
from .events import Event, now_text
from .files_in_messages import decoded
from .json_body import json_body
from .json_stream import BadJsonError
from .json_tree import look_up, text_at
from .multipart_stream import BadMultipartError, MultipartReader, PartHead, boundary_of
from .records import Upload
from .senders import grant_of, source_of

if TYPE_CHECKING:
    from aiohttp import web

    from .accounts import Source
    from .exchange import Exchange
    from .multipart_stream import PartSink
    from .state import Sandbox
    from .store import FileWriter, StoredFile

_FHIR_TYPES = {"application/fhir+json", "application/json+fhir"}


async def binary(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """POST /fhir/R4/redox/{flag}/Binary: raw bytes, or a FHIR JSON Binary by its Content-Type."""
    grant = grant_of(sandbox, exchange, "fhir")
    named = exchange.request.headers.get("Redox-Source-Id")
    source = source_of(sandbox, grant, named, "fhir")
    if sandbox.options.account == "free" and exchange.path[3] == "Development":
        raise fhir_refusal(403, "forbidden", "A free account cannot upload in Development")
    if exchange.request.content_type in _FHIR_TYPES:
        content_type, file = await _read_fhir_json(sandbox, exchange)
    else:
        content_type, file = await _read_raw(sandbox, exchange)
    upload = await _commit(sandbox, exchange, source, "fhir", _Received(content_type, None, file))
    body = {"resourceType": "Binary", "id": upload.id, "contentType": content_type}
    return json_response(201, body, content_type=FHIR_JSON, headers={"Location": upload.url})


async def form(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """POST /upload: multipart/form-data with exactly one part, named `file`."""
    grant = grant_of(sandbox, exchange, "blob")
    named = exchange.request.headers.get("Redox-Source-Id")
    source = source_of(sandbox, grant, named, "blob")
    if sandbox.options.account == "free":
        raise blob_refusal(403, "A free account cannot upload in Development")
    # The form around the file may have some size of its own; the file itself is measured apart.
    exchange.body.limit_bytes = sandbox.options.upload_limit_bytes + 64 * 1024
    reader = _FormReader(sandbox)
    try:
        head, file = await reader.read(exchange)
    except BadMultipartError as exc:
        raise blob_refusal(400, str(exc)) from None
    finally:
        reader.close()
    content_type = head.content_type or "application/octet-stream"
    received = _Received(content_type, head.filename, file)
    upload = await _commit(sandbox, exchange, source, "data-model", received)
    return json_response(201, {"URI": upload.url})


async def _read_raw(sandbox: Sandbox, exchange: Exchange) -> tuple[str, StoredFile]:
    exchange.body.limit_bytes = sandbox.options.upload_limit_bytes
    content_type = exchange.request.headers.get("Content-Type")
    if not content_type:
        raise fhir_refusal(415, "required", "A Binary needs a Content-Type")
    with sandbox.store.new_file() as file:
        async for piece in exchange.body.pieces():
            file.write(piece)
        if not file.size_bytes:
            raise fhir_refusal(400, "required", "The body is empty")
        await exchange.identify(exchange.subject)
        return content_type, file.finish()


async def _read_fhir_json(sandbox: Sandbox, exchange: Exchange) -> tuple[str, StoredFile]:
    exchange.body.limit_bytes = sandbox.options.request_limit_bytes
    try:
        async with json_body(sandbox, exchange) as resource:
            await exchange.identify(exchange.subject)
            content_type = text_at(resource, "contentType")
            if text_at(resource, "resourceType") != "Binary" or not content_type:
                raise fhir_refusal(400, "required", "A Binary needs contentType and data")
            file = decoded(sandbox.store, look_up(resource, "data"))
    except BadJsonError as exc:
        raise fhir_refusal(400, "structure", str(exc)) from None
    except NotBase64Error as exc:
        raise fhir_refusal(400, "value", f"data is not base64: {exc}", "Binary.data") from None
    if not file.size_bytes:
        raise fhir_refusal(400, "required", "The file is empty", "Binary.data")
    if file.size_bytes > sandbox.options.upload_limit_bytes:
        raise fhir_refusal(413, "too-long", "The file is larger than an upload may be")
    return content_type, file


@dataclass(frozen=True, slots=True)
class _Received:
    """A file that came whole, and what was said of it."""

    content_type: str
    filename: str | None
    file: StoredFile


class _FormReader:
    """Takes the one file out of a form."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._head: PartHead | None = None
        self._file: FileWriter | None = None

    async def read(self, exchange: Exchange) -> tuple[PartHead, StoredFile]:
        reader = MultipartReader(
            boundary_of(exchange.request.headers.get("Content-Type", "")),
            self._open_part,
        )
        error: BadMultipartError | None = None
        async for piece in exchange.body.pieces():
            if error is None:
                try:
                    reader.feed(piece)
                except BadMultipartError as exc:
                    error = exc  # the rest is read all the same, so that the answer is heard
        if error is not None:
            raise error
        reader.finish()
        await exchange.identify(exchange.subject)
        if self._head is None or self._file is None:
            raise BadMultipartError("exactly one part named file is required")
        if not self._file.size_bytes:
            raise BadMultipartError("the file is empty")
        if self._file.size_bytes > self._sandbox.options.upload_limit_bytes:
            raise blob_refusal(413, "The file is larger than an upload may be")
        return self._head, self._file.finish()

    def close(self) -> None:
        """Delete the file unless it was taken."""
        if self._file is not None:
            self._file.discard()

    def _open_part(self, head: PartHead) -> PartSink:
        if self._head is not None or head.name != "file":
            raise BadMultipartError("exactly one part named file is required")
        if head.filename is None:
            raise BadMultipartError("the part named file has no filename")
        self._head = head
        self._file = self._sandbox.store.new_file()
        return self._file


async def _commit(
    sandbox: Sandbox,
    exchange: Exchange,
    source: Source,
    api: Literal["fhir", "data-model"],
    received: _Received,
) -> Upload:
    path = sandbox.records.new_upload_path(api)
    upload = Upload(
        id=path.rpartition("/")[2],
        url=sandbox.blob_url.geturl() + path,
        at=now_text(),
        api=api,
        source=source,
        content_type=received.content_type,
        filename=received.filename,
        file=received.file,
    )
    await sandbox.events.append(
        Event(
            kind="blob",
            api=api,
            method="upload",
            reference=upload.url,
            size_bytes=received.file.size_bytes,
            sha256=received.file.sha256,
        ),
    )
    sandbox.store.commit(upload.file)
    sandbox.records.add_upload(path, upload)
    exchange.reference = upload.url
    return upload
