"""The message of a document: checked first, then made, for whichever model the route names.

The one rule: nothing that is said of a document is dropped without a word. What a model has no
place for is a problem, unless it says nothing that the message does not say anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from ..encoding.envelope import HOLE
from ..errors import ConfigError, InvalidDocumentError
from . import fhir, media, notes, results
from .facts import Facts, Filling
from .required import OUR_FIELDS, REQUIRED, lacking, wording
from .route import Route, check_model
from .valuesets import ORDER_STATUSES, spelling, status_for, statuses

if TYPE_CHECKING:
    from ..document import Api, Document, Model, Order

_INSTEAD_OF_REPLACES: Final[dict[Model, str]] = {
    "diagnostic-report": "send the report again with status amended or corrected",
    "results": "send the result again with status Corrected for the same order",
}
"""Models that know no replacement, and what they have instead."""

__all__ = ["Facts", "Filling", "check", "compose", "compose_delete"]


def check(
    document: Document, facts: Facts, *, api: Api, model: Model, deleting: bool = False
) -> dict[str, object]:
    """Refuse a document that lacks what its model or its destination requires.

    Args:
        document: What is said of the file.
        facts: What is known beyond it; the time in it does not matter here.
        api: The API of the route.
        model: The model of the route.
        deleting: Check for `compose_delete` instead of `compose`.

    Returns:
        The message that it looked at: the one that embeds, with its hole, or the Delete.

    Raises:
        InvalidDocumentError: Everything missing at once, in Redox's spelling, and every value
            that is not one of its set or has no place in the model. No value is quoted.
        ConfigError: The API does not have this model, or the model has no Delete.
    """
    check_model(api, model)
    if deleting:
        message = compose_delete(document, facts, model)
    else:
        message = compose(document, facts, Route(api, "embed", model, None, ()), HOLE)
    needed = [*_required(document, model, deleting=deleting), *facts.destination.required]
    missing = lacking(message, needed)
    problems = tuple(_problems(document, facts, model, deleting=deleting))
    if not missing and not problems:
        return message
    texts = [f"{_what(document, model, deleting=deleting)} lacks {_list(missing)}"] if missing else []
    texts.extend(problems)
    raise InvalidDocumentError("; ".join(texts), missing=missing, problems=problems)


def compose(document: Document, facts: Facts, route: Route, filling: Filling) -> dict[str, object]:
    """The message of a document that `check` has passed.

    Args:
        document: What is said of the file.
        facts: What is known beyond it.
        route: The route chosen; its model decides.
        filling: The reference URL of an upload, or `encoding.envelope.HOLE` to embed.
    """
    match route.model:
        case "document-reference" | "diagnostic-report":
            return fhir.compose(document, facts, route.model, filling)
        case "notes":
            return notes.compose(document, facts, route, filling)
        case "media":
            return media.compose(document, facts, filling)
        case "results":
            return results.compose(document, facts, filling)
        case _:
            assert_never(route.model)


def compose_delete(document: Document, facts: Facts, model: Model) -> dict[str, object]:
    """The Notes or Media Delete of the document whose id is `facts.document_id`.

    Raises:
        ConfigError: The model has no Delete.
    """
    match model:
        case "notes":
            return notes.compose_delete(document, facts)
        case "media":
            return media.compose_delete(document, facts)
        case _:
            raise ConfigError(f"{model} has no Delete at Redox: choose model notes or media")


def _required(document: Document, model: Model, *, deleting: bool) -> tuple[str, ...]:
    """The paths that Redox's model and event require."""
    match model:
        case "document-reference" | "diagnostic-report":
            return REQUIRED[model]
        case "results":
            return REQUIRED[f"Results:{results.event_type(document.order)}"]
        case "notes" | "media":
            event = "Delete" if deleting else "New" if document.replaces is None else "Replace"
            paths = REQUIRED[f"{model.capitalize()}:{event}"]
            signed = model == "media" and status_for(model, document.status) == "True"
            # Redox, Media: with Authenticated "True" the Authenticator should be filled.
            return (*paths, "Media.Authenticator.ID") if signed else paths
        case _:
            assert_never(model)


def _problems(document: Document, facts: Facts, model: Model, *, deleting: bool) -> list[str]:
    """What is present and wrong, a text each."""
    found: list[str] = []
    if document.status is not None and status_for(model, document.status) is None:
        found.append(f"status is not one of {', '.join(statuses(model))}")
    order = document.order
    if order is not None and order.status is not None:
        if model != "results":
            if order.status != "Resulted":
                found.append(f"order.status has no place in {model}, only in results")
        elif spelling(order.status, ORDER_STATUSES) is None:
            found.append(f"order.status is not one of {', '.join(ORDER_STATUSES)}")
    found.extend(_without_a_place(document, model, deleting=deleting))
    if document.replaces is not None and document.replaces == facts.document_id:
        found.append("replaces is the document's own document_id: the new one needs an id of its own")
    return found


def _without_a_place(document: Document, model: Model, *, deleting: bool) -> list[str]:
    """What was said and would be dropped."""
    found: list[str] = []
    if model not in {"notes", "media"} and document.availability not in {None, "Available"}:
        found.append(f"availability has no place in {model}; say it with status")
    if document.replaces is not None and (deleting or model in _INSTEAD_OF_REPLACES):
        instead = "leave it out" if deleting else _INSTEAD_OF_REPLACES[model]
        found.append(f"replaces has no place in {'a Delete' if deleting else model}; {instead}")
    if document.description is not None and model == "diagnostic-report":
        found.append("description has no place in diagnostic-report; use type or order.description")
    if not _order_has_a_place(document.order, model):
        found.append(f"order has no place in {model} without order.id; set it, or use results")
    return found


def _order_has_a_place(order: Order | None, model: Model) -> bool:
    """Whether the message says what the order says, at least by which order it is."""
    if order is None or order.id or model in {"results", "diagnostic-report"}:
        return True
    if order.application_id:
        return model == "document-reference"
    return not (order.code or order.codeset or order.description)


def _what(document: Document, model: Model, *, deleting: bool) -> str:
    """Which message it is about, in Redox's words."""
    match model:
        case "results":
            return f"Results {results.event_type(document.order)}"
        case "notes" | "media":
            event = "Delete" if deleting else "New" if document.replaces is None else "Replace"
            return f"{model.capitalize()} {event}"
        case _:
            return fhir.RESOURCES[model]


def _list(missing: tuple[str, ...]) -> str:
    """Every missing path, with the field of ours that fills it where there is one."""
    return ", ".join(
        f"{path} ({wording(OUR_FIELDS[path])})" if path in OUR_FIELDS else path for path in missing
    )
