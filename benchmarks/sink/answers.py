"""What the sink says when a body has come whole: as much as a client of Redox must hear.

The one rule: the same words to everybody, so that no contestant has a shorter answer to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from .heads import Head

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
BAD: Final = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
FILE_PATH: Final = "/fhir/R4/redox/Development/Binary/7d5f2b6e-0f0e-4a53-9c7b-5b7a2b1c9e10"
_LOG_ID: Final = "0f9b3c58-5d0b-4e0f-8a34-2f3a6f6f2f57"


def answer(head: Head, base_url: str) -> bytes:
    """The whole answer to a request of that kind."""
    match head.kind:
        case "token":
            token = {"access_token": "b" * 43, "token_type": "Bearer", "expires_in": 3600}
            return _json(b"200 OK", token)
        case "binary":
            location = f"Location: {base_url}{FILE_PATH}\r\n".encode("ascii")
            return _json(b"201 Created", {"resourceType": "Binary"}, location)
        case "upload":
            return _json(b"201 Created", {"URI": f"{base_url}{FILE_PATH}"})
        case "message":
            entry = {"response": {"status": "201 Created", "location": "DocumentReference/1"}}
            bundle = {"resourceType": "Bundle", "type": "transaction-response", "entry": [entry]}
            return _json(b"200 OK", bundle)
        case "endpoint":
            return _json(b"200 OK", {"Meta": {"DataModel": "Notes", "Logs": [{"ID": _LOG_ID}]}})
        case "other":
            return _json(b"404 Not Found", {})


def _json(status: bytes, content: object, header: bytes = b"") -> bytes:
    body = orjson.dumps(content)
    head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, header, len(body)) + body
