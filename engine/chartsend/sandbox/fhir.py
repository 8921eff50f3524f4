"""The FHIR operations that take a document, and the search that finds it again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

import orjson

from .answers import FHIR_JSON, fhir_refusal, json_response
from .events import Event, now_text
from .fhir_rules import OPERATIONS, Letter, read_letter
from .json_body import json_body
from .json_stream import BadJsonError
from .json_tree import shortened
from .records import Delivery, Message
from .senders import grant_of, source_of
from .token_api import FORM

if TYPE_CHECKING:
    from aiohttp import web

    from .accounts import Destination, Source
    from .exchange import Exchange
    from .state import Sandbox

from .accounts import PUBLIC_SANDBOX_SLUG
from .faults import Subject

_CONTENT_TYPES: Final = {"application/fhir+json", "application/json"}
_SEARCH_LIMIT_BYTES: Final = 64 * 1024
_SEARCH_KEYS: Final = ("_id", "identifier", "patient")


async def operation(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """POST /fhir/R4/{slug}/{flag}/{Resource}/${operation}: take a message bundle."""
    source, destination = _parties(sandbox, exchange)
    if exchange.request.content_type not in _CONTENT_TYPES:
        raise fhir_refusal(415, "not-supported", "Content-Type application/fhir+json required")
    rules = OPERATIONS["/".join(exchange.path[4:])]
    try:
        async with json_body(sandbox, exchange) as bundle:
            letter = read_letter(bundle, rules)
            subject = Subject(
                kind="message",
                api="fhir",
                method=letter.method,
                model=rules.model,
                document_id=letter.document_id,
            )
            await exchange.identify(subject)
            letter.check(sandbox, source)
            payload = sandbox.records.write_payload(orjson.dumps(shortened(bundle)))
    except BadJsonError as exc:
        raise fhir_refusal(400, "structure", str(exc)) from None
    message = await _commit(sandbox, exchange, letter, source, destination, payload)
    return _accepted(destination, rules.resource, message)


async def _commit(
    sandbox: Sandbox,
    exchange: Exchange,
    letter: Letter,
    source: Source,
    destination: Destination,
    payload: tuple[int, int],
) -> Message:
    delivery = Delivery(destination)
    upload = letter.upload
    file = letter.file
    seq = await sandbox.events.append(
        Event(
            kind="message",
            api="fhir",
            method=letter.method,
            model=letter.rules.model,
            event_type=letter.rules.event,
            destination=destination.slug,
            document_id=letter.document_id,
            reference=None if upload is None else upload.url,
            size_bytes=None if file is None else file.size_bytes,
            sha256=None if file is None else file.sha256,
            log_id=delivery.log_id,
        ),
    )
    message = Message(
        seq=seq,
        at=now_text(),
        api="fhir",
        model=letter.rules.model,
        event_type=letter.rules.event,
        flag=exchange.path[3],
        source=source,
        deliveries=(delivery,),
        document_id=letter.document_id,
        identifiers=letter.identifiers,
        patients=letter.patients,
        resource_id=str(uuid.uuid4()),
        trace_id=exchange.trace_id,
        method=letter.method,
        content_type=letter.content_type,
        file=file,
        upload=upload,
        payload=payload,
    )
    if file is not None:
        sandbox.store.commit(file)
    sandbox.records.add_message(message)
    return message


def _accepted(
    destination: Destination,
    resource: str,
    message: Message,
) -> web.Response:
    if destination.slug != PUBLIC_SANDBOX_SLUG:
        # What real, asynchronous destinations answer is not published: an empty message bundle.
        return json_response(
            200,
            {"resourceType": "Bundle", "type": "message", "timestamp": message.at},
            content_type=FHIR_JSON,
        )
    location = f"https://fhir.redoxengine.com/fhir-sandbox/{resource}/{message.resource_id}/_history/1"
    return json_response(
        200,
        {
            "resourceType": "Bundle",
            "type": "transaction-response",
            "entry": [{"response": {"status": "201 Created", "location": location}}],
        },
        content_type=FHIR_JSON,
    )


async def search(sandbox: Sandbox, exchange: Exchange) -> web.Response:
    """POST /fhir/R4/{slug}/{flag}/DocumentReference/_search: find committed documents."""
    source, destination = _parties(sandbox, exchange)
    content = await exchange.body.read(_SEARCH_LIMIT_BYTES)
    await exchange.identify(exchange.subject)
    if exchange.request.content_type != FORM:
        raise fhir_refusal(415, "not-supported", f"Content-Type {FORM} required")
    try:
        asked = dict(parse_qsl(content.decode("ascii"), max_num_fields=64))
    except ValueError:
        raise fhir_refusal(400, "structure", "The body is not a form") from None
    sought = next((asked[key] for key in _SEARCH_KEYS if key in asked), None)
    if sought is None:
        raise fhir_refusal(400, "required", "One of _id, identifier, patient is required")
    found = [
        message
        for message in sandbox.records.with_search_value(sought)
        if message.model == "document-reference"
        and message.flag == exchange.path[3]
        and message.source == source
        and message.deliveries[0].destination == destination
        and _is_asked_for(message, asked)
    ]
    body: dict[str, object] = {"resourceType": "Bundle", "type": "searchset", "total": len(found)}
    if found:
        body["entry"] = [_entry(sandbox, message) for message in found]
    return json_response(200, body, content_type=FHIR_JSON)


def _is_asked_for(message: Message, asked: dict[str, str]) -> bool:
    known: dict[str, tuple[str, ...]] = {
        "_id": (message.resource_id,),
        "identifier": message.identifiers,
        "patient": message.patients,
    }
    return all(value in known[key] for key, value in asked.items() if key in known)


def _entry(sandbox: Sandbox, message: Message) -> dict[str, object]:
    """Give a document as a searchset has it: under the id it was given, without its bytes."""
    bundle = orjson.loads(sandbox.records.read_payload(message))
    resource = next(
        entry["resource"]
        for entry in bundle["entry"]
        if entry["resource"]["resourceType"] == "DocumentReference"
    )
    resource["id"] = message.resource_id
    resource["meta"] = {"versionId": "1", "lastUpdated": message.at}
    for content in resource.get("content", []):
        content["attachment"].pop("data", None)
        if message.file is not None:
            content["attachment"].setdefault("size", message.file.size_bytes)
    url = f"https://fhir.redoxengine.com/fhir-sandbox/DocumentReference/{message.resource_id}"
    return {"fullUrl": url, "resource": resource, "search": {"mode": "match"}}


def _parties(sandbox: Sandbox, exchange: Exchange) -> tuple[Source, Destination]:
    grant = grant_of(sandbox, exchange, "fhir")
    named = exchange.request.headers.get("Redox-Source-Id")
    source = source_of(sandbox, grant, named, "fhir")
    destination = sandbox.account.destination_with_slug(exchange.path[2])
    if destination is None:
        raise fhir_refusal(404, "not-found", "No destination has this slug")
    return source, destination
