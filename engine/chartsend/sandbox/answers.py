"""Answers in the three dialects of Redox: OperationOutcome, Meta.Errors and errorDetail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

FHIR_JSON: Final = "application/fhir+json; charset=utf-8"
JSON: Final = "application/json; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"


class RefusedError(Exception):
    """The request is answered, and nothing of it was committed.

    Attributes:
        response: What the client gets.
    """

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(
    status: int,
    body: object,
    *,
    content_type: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """Give an answer with a JSON body."""
    return web.Response(
        status=status,
        body=orjson.dumps(body),
        headers={"Content-Type": content_type, **(headers or {})},
    )


def fhir_refusal(status: int, code: str, text: str, expression: str | None = None) -> RefusedError:
    """Refuse with an OperationOutcome.

    Args:
        status: The HTTP status.
        code: A FHIR R4 issue type, as `required` or `login`.
        text: What is wrong, without anything of the message's content.
        expression: Where in the message.
    """
    issue: dict[str, object] = {"severity": "error", "code": code, "details": {"text": text}}
    if expression is not None:
        issue |= {"diagnostics": expression, "expression": [expression]}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    return RefusedError(json_response(status, outcome, content_type=FHIR_JSON))


def blob_refusal(status: int, detail: str) -> RefusedError:
    """Refuse as the upload endpoint does (the key is what a public client decodes)."""
    return RefusedError(json_response(status, {"errorDetail": detail}))


def plain_refusal(status: int, text: str = "Invalid request") -> RefusedError:
    """Refuse as the legacy authentication does: text that calls itself HTML (recorded)."""
    return RefusedError(web.Response(status=status, text=text, headers={"Content-Type": HTML}))


def refusal_for(api: str | None, status: int, code: str, text: str) -> RefusedError:
    """Refuse in the dialect of an API, for reasons that all of them share."""
    match api:
        case "fhir":
            return fhir_refusal(status, code, text)
        case "blob":
            return blob_refusal(status, text)
        case _:
            return plain_refusal(status, text)
