"""POST /endpoint: Notes, Media and Results, answered with Meta as Redox does."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Literal

import orjson

from .answers import RefusedError, json_response
from .base64_stream import NotBase64Error
from .data_model_rules import REQUIRED, missing_fields, wrong_values
from .events import Event, now_text
from .faults import Subject
from .files_in_messages import decoded, own_url, referenced_upload, text
from .json_body import json_body
from .json_stream import BadJsonError
from .json_tree import JsonValue, list_at, look_up, shortened, text_at
from .long_string import LongString
from .records import Delivery, Message
from .senders import grant_of, source_of

if TYPE_CHECKING:
    from aiohttp import web

    from .accounts import Destination, Source
    from .exchange import Exchange
    from .records import Upload
    from .state import Sandbox
    from .store import StoredFile

_MODELS: Final = {"Notes": "notes", "Media": "media", "Results": "results"}
_TEXTS: Final = {"Plain Text", "Rich Text"}
_ENCAPSULATED: Final = "Encapsulated Data"


class _Problem(Exception):  # noqa: N818  # not an error of ours: what the sender is told
    """Something is wrong with the message."""

    def __init__(self, *texts: str, module: str = "DataModels") -> None:
        super().__init__(*texts)
        self.texts = texts
        self.module = module


class Note:
    """One message, looked into."""

    def __init__(self, message: JsonValue) -> None:
        self.message = message
        self.model = text_at(message, "Meta", "DataModel") or ""
        self.event_type = text_at(message, "Meta", "EventType") or ""
        self.content = self._content()
        self.file: StoredFile | None = None
        self.upload: Upload | None = None
        self.is_dangling = False

    @property
    def required(self) -> tuple[str, ...] | None:
        """The fields that this model and event need; None if the sandbox does not know them."""
        return REQUIRED.get((self.model, self.event_type))

    @property
    def document_id(self) -> str | None:
        """The identity that the sender gave the document."""
        match self.model:
            case "Notes":
                return text_at(self.message, "Note", "DocumentID")
            case "Media":
                return text_at(self.message, "Media", "DocumentID")
            case _:
                order = look_up(self.message, "Orders", 0)
                return (
                    text_at(order, "Results", 0, "RelatedGroupID")
                    or text_at(order, "ID")
                    or text_at(order, "ApplicationOrderID")
                )

    @property
    def content_type(self) -> str | None:
        """What the message says of the kind of its file."""
        match self.model:
            case "Notes":
                return text_at(self.message, "Note", "FileType") or text_at(
                    self.message, "Note", "ContentType"
                )
            case "Media":
                return text_at(self.message, "Media", "FileType")
            case _:
                return text_at(self._result(), "FileType")

    def method(self, sandbox: Sandbox) -> Literal["upload", "embed"] | None:
        """Tell how the file came."""
        if self.content is None or self.event_type == "Delete":
            return None
        return "embed" if own_url(sandbox, self.content) is None else "upload"

    def take_file(self, sandbox: Sandbox, source: Source) -> None:
        """Resolve an upload or decode the content.

        Raises:
            _Problem: The content is not base64, or (`strict`) names no upload of this source.
        """
        match self.method(sandbox), self.content:
            case None, _:
                return
            case "upload", url:
                self.upload = referenced_upload(sandbox, source.id, url)
                self.file = None if self.upload is None else self.upload.file
                # What Redox does with a foreign URI is unknown: take it, and fail in the log.
                self.is_dangling = self.upload is None
                if self.is_dangling and sandbox.options.preset == "strict":
                    raise _Problem("The file referenced does not exist")
            case "embed", str() | LongString() as content if self._is_text():
                self.file = text(sandbox.store, content)
            case _, content:
                self._decode(sandbox, content)

    def _decode(self, sandbox: Sandbox, content: JsonValue) -> None:
        try:
            self.file = decoded(sandbox.store, content)
        except NotBase64Error as exc:
            if sandbox.options.preset != "lenient":
                raise _Problem(f"The file contents are not base64: {exc}") from None

    def _is_text(self) -> bool:
        return self.model == "Notes" and text_at(self.message, "Note", "ContentType") in _TEXTS

    def _content(self) -> JsonValue:
        match self.model:
            case "Notes":
                return look_up(self.message, "Note", "FileContents")
            case "Media":
                return look_up(self.message, "Media", "FileContents")
            case _:
                return look_up(self._result(), "Value")

    def _result(self) -> JsonValue:
        """Give the first result that is a file."""
        return next(
            (
                result
                for order in list_at(self.message, "Orders")
                for result in list_at(order, "Results")
                if text_at(result, "ValueType") == _ENCAPSULATED
            ),
            None,
        )


async def endpoint(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """POST /endpoint: take one message."""
    grant = grant_of(sandbox, exchange, "data-model")
    try:
        async with json_body(sandbox, exchange) as tree:
            note = Note(tree)
            await exchange.identify(
                Subject(
                    kind="message",
                    api="data-model",
                    method=note.method(sandbox),
                    model=_MODELS.get(note.model),
                    document_id=note.document_id,
                ),
            )
            source = source_of(sandbox, grant, text_at(tree, "Meta", "Source", "ID"), "data-model")
            try:
                destinations = _judge(sandbox, note)
                note.take_file(sandbox, source)
            except _Problem as problem:
                raise _refusal(note, source, problem) from None
            payload = sandbox.records.write_payload(orjson.dumps(shortened(tree)))
    except BadJsonError as exc:
        body = {"Meta": {"Errors": [_error(f"Invalid JSON: {exc}", "DataModels")]}}
        raise RefusedError(json_response(400, body)) from None
    message = await _commit(sandbox, exchange, note, source, destinations, payload)
    logs = [{"ID": d.log_id, "AttemptID": d.attempt_id} for d in message.deliveries]
    return json_response(200, {"Meta": _meta(note, source, destinations) | {"Logs": logs}})


def _judge(sandbox: Sandbox, note: Note) -> list[Destination]:
    """Check a message by the preset and find its destinations."""
    preset = sandbox.options.preset
    kind = f"{note.model}:{note.event_type}"
    required = note.required
    if required is None:
        fields = missing_fields(note.message, ("Meta.DataModel", "Meta.EventType"))
        if fields:
            raise _Problem(*(f"Required field missing - {path} in {kind}" for path in fields))
        raise _Problem(f"The sandbox takes no {kind}")
    if preset != "lenient":
        missing = missing_fields(note.message, required)
        if missing:
            raise _Problem(*(f"Required field missing - {path} in {kind}" for path in missing))
    if preset == "strict":
        wrong = wrong_values(note.message)
        if wrong:
            raise _Problem(*(f"Invalid value - {path} in {kind}" for path in wrong))
    return _destinations(sandbox, note)


def _destinations(sandbox: Sandbox, note: Note) -> list[Destination]:
    named = list_at(note.message, "Meta", "Destinations")
    found = [sandbox.account.destination_with_id(text_at(d, "ID") or "") for d in named]
    known = [destination for destination in found if destination is not None]
    if not known or len(known) != len(found):
        raise _Problem(
            "No subscriptions. Meta.Destinations needs to contain a destination from existing "
            f"subscriptions {sandbox.dashboard_url}",
            module="Subscriptions",
        )
    return known


async def _commit(
    sandbox: Sandbox,
    exchange: Exchange,
    note: Note,
    source: Source,
    destinations: list[Destination],
    payload: tuple[int, int],
) -> Message:
    deliveries = tuple(Delivery(destination) for destination in destinations)
    method = note.method(sandbox)
    file = note.file
    seq = await sandbox.events.append(
        Event(
            kind="message",
            api="data-model",
            method=method,
            model=_MODELS[note.model],
            event_type=note.event_type,
            destination=deliveries[0].destination.slug,
            document_id=note.document_id,
            reference=note.content if method == "upload" and isinstance(note.content, str) else None,
            size_bytes=None if file is None else file.size_bytes,
            sha256=None if file is None else file.sha256,
            log_id=deliveries[0].log_id,
        ),
    )
    message = Message(
        seq=seq,
        at=now_text(),
        api="data-model",
        model=_MODELS[note.model],
        event_type=note.event_type,
        flag="Development",
        source=source,
        deliveries=deliveries,
        document_id=note.document_id,
        trace_id=exchange.trace_id,
        method=method,
        content_type=note.content_type,
        file=file,
        upload=note.upload,
        status="FAILED" if note.is_dangling else "SUCCEEDED",
        payload=payload,
    )
    if file is not None:
        sandbox.store.commit(file)
    sandbox.records.add_message(message)
    return message


def _meta(note: Note, source: Source, destinations: list[Destination]) -> dict[str, object]:
    return {
        "DataModel": note.model,
        "EventType": note.event_type,
        "Source": {"ID": source.id, "Name": source.name},
        "Destinations": [{"ID": d.id, "Name": d.name} for d in destinations],
    }


def _refusal(note: Note, source: Source, problem: _Problem) -> RefusedError:
    meta = _meta(note, source, [])
    # The destinations are given back as they were named.
    meta["Destinations"] = [
        {"ID": text_at(d, "ID")} for d in list_at(note.message, "Meta", "Destinations")
    ]
    meta["Errors"] = [_error(text, problem.module) for text in problem.texts]
    return RefusedError(json_response(400, {"Meta": meta}))


def _error(text: str, module: str) -> dict[str, object]:
    return {
        "ID": 10_000_000 + secrets.randbelow(90_000_000),
        "Text": text,
        "Type": "message",
        "Module": module,
    }
