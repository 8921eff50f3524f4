"""The message that everybody but chartsend sends: the same resources, in as many bytes as chartsend's.

The one rule: a test compares it with what chartsend sends, so that nobody has less to do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from ..job import Job

TOKEN: Final = "b" * 43
"""Got beforehand: rivals need not ask for one."""
EMBED_PATH: Final = "/fhir/R4/bench/Development/DocumentReference/$documentreference-create"
BINARY_PATH: Final = "/fhir/R4/redox/Development/Binary"
UPLOAD_PATH: Final = "/upload"
NOTES_PATH: Final = "/endpoint"
FHIR_JSON: Final = "application/fhir+json"
JSON: Final = "application/json"
HEADERS: Final = {
    "Authorization": f"Bearer {TOKEN}",
    "Accept": FHIR_JSON,
    "Redox-Source-Id": "5d2b6e0f-bench-source",
}
WARM_UP: Final = b"%PDF-1.7\nwarm-up"
_HOLE: Final = "HOLE"
_BASE: Final = "https://fhir.redoxengine.com/bench"
_AT: Final = "2026-11-22T06:00:10.358Z"
_IDS: Final = {
    "DocumentReference": "168e2409-7481-56c5-a44d-b98032ec98bc",
    "MessageHeader": "aa9c28e0-a582-5be7-b149-926868a8284f",
    "Patient": "c7c99473-0b20-5364-8aba-6fbbf6a0ade1",
    "Practitioner": "24e023be-4d70-568f-8d6e-1e368a732d40",
}


def fhir_message(
    filling: dict[str, str], *, number: int, size_bytes: int, title: str
) -> dict[str, object]:
    """A bundle for `$documentreference-create`.

    Args:
        filling: `data` with base64 text, or `url` of an upload.
        number: Of the document.
        size_bytes: Of the file.
        title: The file's name.
    """
    document_id = f"BENCH-{number:09}"
    attachment = {"contentType": "application/pdf", **filling, "size": size_bytes, "title": title}
    return {
        "resourceType": "Bundle",
        "id": "0837d3ca-de44-58f7-a4f1-7de46db17241",
        "type": "message",
        "timestamp": _AT,
        "entry": [
            _entry(
                "MessageHeader",
                eventUri="https://fhir.redoxengine.com/EventDefinition/DocumentReferenceCreate",
                source={"endpoint": "urn:redox:source:5d2b6e0f-bench-source"},
                focus=[_reference("DocumentReference")],
            ),
            _entry(
                "DocumentReference",
                masterIdentifier={"value": document_id},
                identifier=[{"value": document_id}],
                status="current",
                type={"text": "Consent Form"},
                subject=_reference("Patient"),
                date=_AT,
                author=[_reference("Practitioner")],
                content=[{"attachment": attachment}],
            ),
            _entry(
                "Patient",
                identifier=[{"type": {"text": "MR"}, "value": "0000991234"}],
                name=[{"family": "Quillfeather", "given": ["Marla"]}],
            ),
            _entry(
                "Practitioner",
                identifier=[{"system": "http://hl7.org/fhir/sid/us-npi", "value": "9999999995"}],
                name=[{"family": "Oduya"}],
            ),
        ],
    }


def notes_message(contents: str, *, number: int, title: str) -> dict[str, object]:
    """A Data Model Notes message; its contents are base64, or the URI of an upload."""
    return {
        "Meta": {
            "DataModel": "Notes",
            "EventType": "New",
            "EventDateTime": _AT,
            "Test": True,
            "Source": {"ID": "5d2b6e0f-bench-source"},
            "Destinations": [{"ID": "bench"}],
        },
        "Patient": {
            "Identifiers": [{"ID": "0000991234", "IDType": "MR"}],
            "Demographics": {"FirstName": "Marla", "LastName": "Quillfeather"},
        },
        "Note": {
            "ContentType": "Base64 Encoded",
            "FileName": title,
            "FileType": "PDF",
            "FileContents": contents,
            "DocumentType": "Consent Form",
            "DocumentID": f"BENCH-{number:09}",
            "Availability": "Available",
            "Provider": {"ID": "9999999995", "IDType": "NPI", "LastName": "Oduya"},
        },
    }


def around(path: str, number: int, size_bytes: int) -> tuple[bytes, bytes]:
    """What stands before and after the base64 text in a compact FHIR message."""
    message = fhir_message({"data": _HOLE}, number=number, size_bytes=size_bytes, title=Path(path).name)
    prefix, suffix = compact(message).split(_HOLE.encode("ascii"))
    return prefix, suffix


def naming(path: str, number: int, size_bytes: int, url: str) -> bytes:
    """The compact FHIR message that names an upload."""
    return compact(
        fhir_message({"url": url}, number=number, size_bytes=size_bytes, title=Path(path).name)
    )


def compact(message: dict[str, object]) -> bytes:
    """JSON without spaces."""
    return json.dumps(message, separators=(",", ":")).encode("ascii")


def head(job: Job, path: str, content_type: str, length_bytes: int) -> bytes:
    """An HTTP/1.1 head, as whoever writes to sockets writes it."""
    fields = {
        "Host": urlsplit(job.api_url).netloc,
        **HEADERS,
        "Content-Type": content_type,
        "Content-Length": str(length_bytes),
    }
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _entry(kind: str, **fields: object) -> dict[str, object]:
    resource = {"resourceType": kind, "id": _IDS[kind], **fields}
    return {"fullUrl": f"{_BASE}/{kind}/{_IDS[kind]}", "resource": resource}


def _reference(kind: str) -> dict[str, str]:
    return {"reference": f"{kind}/{_IDS[kind]}"}
