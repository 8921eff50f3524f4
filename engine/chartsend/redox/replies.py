"""What complete success answers mean: the reference of an upload, the acceptance of a message.

The one rule: a success status is not success. A message counts as accepted only when its answer
says nothing else; what cannot be read leaves the outcome unknown.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from ..errors import ApplicationError, OutcomeUnknownError, Phase, ProtocolError, Verdict
from .explanations import explain, issues_of, may_speak_of_errors
from .json_body import UNREADABLE, is_array, is_object, member, parse
from .references import bare_id_error, check_reference, resolve_reference

if TYPE_CHECKING:
    from ..document import Api
    from ..ports import Reply

__all__ = ["Accepted", "check_reference", "explain", "read_message", "read_upload"]

MAX_LOG_IDS: Final = 64
_SAFE_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._:/+=-]{0,126}[A-Za-z0-9=])?")
_SAFE_URL = re.compile(r"[!#-;=?-\[\]_a-z~]{1,2048}")
_FAILED_ENTRY = re.compile(r"[45][0-9]{2}\b")
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)


class Accepted(NamedTuple):
    """What an answer told of an accepted message.

    Attributes:
        log_ids: Redox's log ids, one for each destination; may be empty.
        trace_id: Redox's trace id, or None.
        resource_url: The FHIR resource that was made, or None.
    """

    log_ids: tuple[str, ...]
    trace_id: str | None
    resource_url: str | None


def read_upload(reply: Reply, *, api: Api, request_url: str, allowed_hosts: frozenset[str]) -> str:
    """The reference URL in a complete 2xx answer to an upload.

    FHIR names it in the `Location` header, the Data Model API under `URI` in the body; each is
    looked for first where its API has it. An absolute URL is returned verbatim.

    Raises:
        ProtocolError: There is none, or only an id. Verdict RETRY: an upload may be repeated.
        UnsafeLocationError: There is one, and it is not safe; see `check_reference`.
    """
    content = parse(reply.body)
    header = reply.headers.get("location")
    in_body = [member(content, name) for name in ("URI", "url")]
    candidates = [header, *in_body] if api == "fhir" else [*in_body, header]
    text = next((one for one in candidates if isinstance(one, str)), None)
    if text is not None:
        try:
            return resolve_reference(text, request_url=request_url, allowed_hosts=allowed_hosts)
        except ProtocolError as exc:
            exc.phase, exc.status = Phase.ANSWERED, reply.status
            raise
    error = ProtocolError(
        "the answer to the upload has a success status and no reference URL",
        verdict=Verdict.RETRY,
    )
    if member(content, "id") is not None:
        error = bare_id_error()
    error.phase, error.status = Phase.ANSWERED, reply.status
    raise error


def read_message(reply: Reply, *, api: Api) -> Accepted:
    """Whether a complete 2xx answer to a message is an acceptance, and what it tells.

    Raises:
        ApplicationError: It carries errors: the receiver did not take the document.
        OutcomeUnknownError: It cannot be read as an answer of Redox. FHIR: a web page, or what
            should be JSON and is not; an empty body or plain text is an acceptance there. Data
            Model: anything without `Meta`.
    """
    content = parse(reply.body)
    entries = _entries(content)
    if (may_speak_of_errors(reply.body) and _carries_errors(content)) or _is_refused(entries):
        why = explain(reply)
        raise ApplicationError(
            f"the answer has status {reply.status} and carries errors: {why or 'no details'}",
            phase=Phase.ANSWERED,
            status=reply.status,
        )
    doubt = _doubt(reply, content, api)
    if doubt is not None:
        raise OutcomeUnknownError(
            f"the message was sent whole, and its answer {doubt}: look for it in Redox's logs"
            " before sending it again",
            phase=Phase.ANSWERED,
            status=reply.status,
        )
    trace = reply.headers.get("redox-trace-id")
    return Accepted(
        log_ids=_log_ids(content),
        trace_id=trace if trace is not None and _SAFE_ID.fullmatch(trace) else None,
        resource_url=_resource_url(reply, entries) if api == "fhir" else None,
    )


def _carries_errors(content: object) -> bool:
    """Meta.Errors, errors at the top, an issue of severity error or fatal anywhere.

    Redox's own words for a synchronous answer are "a 200 with an error array"; where that array
    stands in a FHIR answer is not published, so each place that says "error" is taken at its word.
    """
    if member(content, "Meta", "Errors") or next(issues_of(content), None) is not None:
        return True
    return any(member(content, name) for name in ("errors", "Errors", "error"))


def _is_refused(entries: list[object]) -> bool:
    """An entry of a bundle with a status of 4xx or 5xx."""
    if not entries:
        return False
    statuses = [member(entry, "response", "status") for entry in entries]
    return any(_FAILED_ENTRY.match(str(one)) for one in statuses if isinstance(one, str | int))


def _doubt(reply: Reply, content: object, api: Api) -> str | None:
    """Why the answer says nothing certain; None when it is an acceptance."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"} or _HTML.match(reply.body):
        return "is a web page, so something between us and Redox may have written it"
    if api == "data-model":
        if content is UNREADABLE:
            return "is not readable JSON"
        return None if is_object(member(content, "Meta")) else "has no Meta"
    if content is not UNREADABLE or not reply.body.strip():
        return None
    if "json" in kind or (not kind and reply.body.lstrip()[:1] in {b"{", b"["}):
        return "is not readable JSON"
    # FHIR has an XML form too: we do not ask for it, and do not read it.
    return "is an OperationOutcome that is not JSON" if b"OperationOutcome" in reply.body else None


def _log_ids(content: object) -> tuple[str, ...]:
    """`Meta.Logs[].ID`; from before 2022, the number `Meta.Message.ID`."""
    meta = member(content, "Meta")
    logs = member(meta, "Logs")
    found = [member(log, "ID") for log in logs[:MAX_LOG_IDS]] if is_array(logs) else []
    ids = tuple(one for one in found if isinstance(one, str) and _SAFE_ID.fullmatch(one))
    if ids:
        return ids
    number = member(meta, "Message", "ID")
    if isinstance(number, int) and not isinstance(number, bool):
        return (str(number),)
    return (number,) if isinstance(number, str) and _SAFE_ID.fullmatch(number) else ()


def _resource_url(reply: Reply, entries: list[object]) -> str | None:
    """Where the document now is: of several entries the first that is one, else the first."""
    found = [member(entry, "response", "location") for entry in entries]
    found.append(reply.headers.get("location"))
    urls = [one for one in found if isinstance(one, str) and _SAFE_URL.fullmatch(one)]
    documents = [one for one in urls if "DocumentReference/" in one or "DiagnosticReport/" in one]
    return next(iter(documents or urls), None)


def _entries(content: object) -> list[object]:
    entries = member(content, "entry")
    return entries if is_array(entries) else []
