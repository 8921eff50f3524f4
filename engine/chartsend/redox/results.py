"""The Data Model's Results: files that answer an order, or come without one.

The one rule: `order.id` makes it `New`; without one, `order.application_id` makes it
`NewUnsolicited`. Results have no document id: `RelatedGroupID` carries ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .fields import filled, moment
from .media_types import file_type_token
from .parties import EventType, meta, patient, provider, visit
from .valuesets import FILE_VALUE_TYPE, ORDER_STATUSES, RESULTS_STATUS_OF, spelling, status_for

if TYPE_CHECKING:
    from ..document import Coding, Document, Order
    from .facts import Facts, Filling

_CODESETS = {
    "http://loinc.org": "LOINC",
    "http://snomed.info/sct": "SNOMED CT",
    "http://www.ama-assn.org/go/cpt": "CPT",
}
"""FHIR system URIs to the names that Data Models use."""


def event_type(order: Order | None) -> EventType:
    """`New` for a result of an order that the receiver placed, else `NewUnsolicited`."""
    return "New" if order is not None and order.id else "NewUnsolicited"


def compose(document: Document, facts: Facts, filling: Filling) -> dict[str, object]:
    """`Results/New` or `Results/NewUnsolicited`, with the file as its one result."""
    return filled(
        {
            "Meta": meta("Results", event_type(document.order), facts),
            "Patient": patient(document.patient),
            "Visit": visit(document.visit),
            "Orders": [_order(document, facts, filling)],
        }
    )


def _order(document: Document, facts: Facts, filling: Filling) -> dict[str, object]:
    given = document.order
    status = status_for("results", document.status)
    asked = None if given is None or given.status is None else spelling(given.status, ORDER_STATUSES)
    return filled(
        {
            "ID": None if given is None else given.id,
            "ApplicationOrderID": None if given is None else given.application_id,
            "Status": asked or "Resulted",
            "ResultsStatus": RESULTS_STATUS_OF.get(status or ""),
            "CollectionDateTime": moment(document.service_at),
            "CompletionDateTime": moment(document.documented_at),
            "Procedure": _procedure(document, facts),
            "Provider": provider(document.provider),
            "Results": [_result(document, facts, filling)],
        }
    )


def _result(document: Document, facts: Facts, filling: Filling) -> dict[str, object]:
    order = document.order
    coding = document.type_codings[0] if document.type_codings else None
    own_code = None if order is None else order.code
    return filled(
        {
            "Code": own_code or (None if coding is None else coding.code),
            "Codeset": _own_codeset(order) if own_code else _codeset(coding),
            "Description": (order and order.description) or facts.type_name(document.type),
            "Value": filling,
            "ValueType": FILE_VALUE_TYPE,
            "FileType": file_type_token(facts.content_type, facts.name),
            "Status": status_for("results", document.status),
            "RelatedGroupID": facts.document_id,
            "CompletionDateTime": moment(document.documented_at),
            "Notes": [document.description] if document.description else [],
            "PrimaryResultsInterpreter": provider(document.authenticator),
        }
    )


def _procedure(document: Document, facts: Facts) -> dict[str, object]:
    coding = document.type_codings[0] if document.type_codings else None
    name = facts.type_name(document.type)
    if coding is None:
        return filled({"Description": name})
    return filled(
        {"Code": coding.code, "Codeset": _codeset(coding), "Description": coding.display or name}
    )


def _own_codeset(order: Order | None) -> str | None:
    return None if order is None else order.codeset


def _codeset(coding: Coding | None) -> str | None:
    if coding is None or coding.system is None:
        return None
    return _CODESETS.get(coding.system, coding.system)
