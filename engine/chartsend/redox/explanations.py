"""Why an answer is an error, in words that are safe to log.

The one rule: only what is on a list is repeated: codes, names of fields, texts that Redox
documents. Free text and diagnostics never are: they may quote the patient's data that we sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .json_body import is_array, is_object, member, objects_in, parse
from .vocabulary import (
    FHIR_ELEMENTS,
    FHIR_RESOURCES,
    ISSUE_CODES,
    MODEL_FIELDS,
    OAUTH_DESCRIPTIONS,
    OAUTH_ERRORS,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..ports import Reply

MAX_REASONS: Final = 5
_SEVERE: Final = frozenset({"error", "fatal"})
_STEP = re.compile(r"([A-Za-z]{1,40})(?:\[[0-9]{1,4}\])?")
_MISSING = re.compile(
    r"Required field missing - (?P<path>[A-Za-z.\[\]0-9]{1,200}) in"
    r" (?P<event>(?:Notes|Media|Results):(?:New|Replace|Delete|NewUnsolicited))\.?"
)
_MODEL_STEP = re.compile(r"([A-Za-z]{1,40})(?:\[[0-9]{0,4}\])?")
_NO_SUBSCRIPTION: Final = "No subscriptions. Meta.Destinations needs to contain a destination"
_ERROR_TYPES: Final = frozenset({"message", "transmission", "query"})
_ERROR_MODULES: Final = frozenset({"DataModels", "Subscriptions", "Send"})
_ERROR_ID = re.compile(r"[0-9]{1,20}")
_OAUTH_CLAIM = re.compile(r"Unexpected (?:aud|exp|iat|iss|jti|nbf|sub|scope) claim value")


def explain(reply: Reply) -> str:
    """What an answer says of its error, in one line; empty when nothing in it may be repeated.

    At most five reasons, then how many more there are. Raises nothing, whatever the body.
    """
    reasons: list[str] = []
    if may_speak_of_errors(reply.body):
        reasons = list(dict.fromkeys(_reasons(parse(reply.body))))
    if not reasons and reply.headers.get("content-type", "").lower().startswith("text/html"):
        return "the answer is a web page, so it may come from a firewall or proxy on the way"
    shown = "; ".join(reasons[:MAX_REASONS])
    more = len(reasons) - MAX_REASONS
    return f"{shown}; and {more} more" if more > 0 else shown


def may_speak_of_errors(body: bytes) -> bool:
    """Whether a body may name an issue or an error; False is certain, and nearly free.

    In JSON only an escape can hide a letter.
    """
    return b"issue" in body or b"rror" in body or b"\\" in body


def issues_of(content: object) -> Iterator[dict[str, object]]:
    """Every issue of severity error or fatal, anywhere in a body."""
    for one in objects_in(content):
        issues = one.get("issue")
        for issue in issues if is_array(issues) else (issues,):
            severity = issue.get("severity") if is_object(issue) else None
            if is_object(issue) and isinstance(severity, str) and severity.lower() in _SEVERE:
                yield issue


def _reasons(content: object) -> Iterator[str]:
    for issue in issues_of(content):
        yield _issue_reason(issue)
    errors = member(content, "Meta", "Errors")
    for error in errors if is_array(errors) else ():
        yield _error_reason(error)
    yield from _oauth_reasons(content)


def _issue_reason(issue: dict[str, object]) -> str:
    code = issue.get("code")
    text = code if isinstance(code, str) and code in ISSUE_CODES else "error"
    paths = issue.get("expression")
    known = [path for path in paths if _is_fhir_path(path)] if is_array(paths) else []
    return f"{text} at {', '.join(str(path) for path in known[:3])}" if known else text


def _is_fhir_path(path: object) -> bool:
    """Whether a path has nothing in it but elements of our own messages."""
    if not isinstance(path, str) or len(path) > 200:
        return False
    first, *rest = [_STEP.fullmatch(step) for step in path.split(".")]
    return (
        first is not None
        and first[1] in FHIR_RESOURCES
        and all(step is not None and step[1] in FHIR_ELEMENTS for step in rest)
    )


def _error_reason(error: object) -> str:
    """One of `Meta.Errors`: what it is, where it arose, its id, and a documented text."""
    kind, module = member(error, "Type"), member(error, "Module")
    parts = [kind if isinstance(kind, str) and kind in _ERROR_TYPES else "error"]
    if isinstance(module, str) and module in _ERROR_MODULES:
        parts.append(f"in {module}")
    number = member(error, "ID")
    if isinstance(number, int | str) and not isinstance(number, bool):
        # Never str() of a number that a server chose before its length is known to be small.
        digits = number if isinstance(number, str) else f"{number:d}"
        if _ERROR_ID.fullmatch(digits):
            parts.append(f"(error {digits})")
    text = _documented_text(member(error, "Text"))
    return " ".join(parts) + (f": {text}" if text else "")


def _documented_text(text: object) -> str | None:
    if not isinstance(text, str):
        return None
    if text.startswith(_NO_SUBSCRIPTION):
        return "no subscription: the source has none to this destination"
    match = _MISSING.fullmatch(text)
    if match is None:
        return None
    steps = [_MODEL_STEP.fullmatch(step) for step in match["path"].split(".")]
    if any(step is None or step[1] not in MODEL_FIELDS for step in steps):
        return f"a required field is missing in {match['event']}"
    return f"required field missing: {match['path']} in {match['event']}"


def _oauth_reasons(content: object) -> Iterator[str]:
    error, text = member(content, "error"), member(content, "error_description")
    if not isinstance(error, str) or error not in OAUTH_ERRORS:
        return
    if isinstance(text, str) and (text in OAUTH_DESCRIPTIONS or _OAUTH_CLAIM.fullmatch(text)):
        yield f"{error}: {text}"
    else:
        yield error
