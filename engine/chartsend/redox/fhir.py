"""FHIR R4 message bundles that carry one file: DocumentReference, DiagnosticReport, and Binary.

The one rule: one document for each message, and every id in it derives from the document's, so
the same document makes the same bundle again.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from .fhir_parties import encounter, identifier, patient, practitioner
from .fields import filled, moment
from .identity import NAMESPACE
from .valuesets import status_for

if TYPE_CHECKING:
    from ..document import Coding, Document, Model, Order, Provider
    from .facts import Facts, Filling

EVENT_URIS: Final = {
    "document-reference": "https://fhir.redoxengine.com/EventDefinition/DocumentReferenceCreate",
    "diagnostic-report": "https://fhir.redoxengine.com/EventDefinition/DiagnosticReportCreate",
}
"""`MessageHeader.eventUri` (Redox, schema pages of the operations; `$write` is superseded)."""
RESOURCES: Final = {
    "document-reference": "DocumentReference",
    "diagnostic-report": "DiagnosticReport",
}
SYSTEM_OF_CODESET: Final = {
    "LOINC": "http://loinc.org",
    "SNOMED CT": "http://snomed.info/sct",
    "CPT": "http://www.ama-assn.org/go/cpt",
}
_IDENTIFIER_TYPES: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
# R4 resolves a relative reference against the root of a RESTful fullUrl only, so ours have one.
# It is the form of Redox's own examples, with the destination where theirs say fhir-sandbox.
_FULL_URL_ROOT: Final = "https://fhir.redoxengine.com"


class _Parties(NamedTuple):
    """The resources beside the document; None where nothing is known."""

    patient: dict[str, object] | None
    provider: dict[str, object] | None
    authenticator: dict[str, object] | None
    visit: dict[str, object] | None

    @property
    def resources(self) -> list[dict[str, object]]:
        """Each once, in the order of the documentation's examples."""
        people = [self.patient, self.provider]
        if self.authenticator is not self.provider:
            people.append(self.authenticator)
        return [one for one in (*people, self.visit) if one is not None]


def binary(content_type: str, filling: Filling) -> dict[str, object]:
    """A FHIR `Binary` in JSON, for `binary_body = "fhir_json"`; `filling` is the hole."""
    return {"resourceType": "Binary", "contentType": content_type, "data": filling}


def compose(document: Document, facts: Facts, model: Model, filling: Filling) -> dict[str, object]:
    """The message bundle: header first, then the document and who it is about.

    Args:
        document: What is said of the file.
        facts: What is known beyond it.
        model: `document-reference` or `diagnostic-report`.
        filling: The file's reference URL, or the hole for its base64.
    """
    parties = _parties(document, facts, model)
    if model == "diagnostic-report":
        resource = _diagnostic_report(document, facts, parties, filling)
    else:
        resource = _document_reference(document, facts, parties, filling)
    header: dict[str, object] = {
        "resourceType": "MessageHeader",
        "id": facts.id_of("header", api="fhir", model=model),
        "eventUri": EVENT_URIS[model],
        "source": filled({"name": facts.source_name, "endpoint": _endpoint(facts.source_id)}),
        "focus": [_reference(resource)],
    }
    root = f"{_FULL_URL_ROOT}/{facts.destination.slug}"
    return {
        "resourceType": "Bundle",
        "id": facts.id_of("bundle", api="fhir", model=model),
        "type": "message",
        "timestamp": moment(facts.at),
        "entry": [
            {"fullUrl": f"{root}/{one['resourceType']}/{one['id']}", "resource": one}
            for one in (header, resource, *parties.resources)
        ],
    }


def _document_reference(
    document: Document, facts: Facts, parties: _Parties, filling: Filling
) -> dict[str, object]:
    own = _document_identifier(facts.document_id, facts)
    replaced = {} if document.replaces is None else _document_identifier(document.replaces, facts)
    context = {
        "encounter": _one(parties.visit),
        "period": filled({"start": moment(document.service_at)}),
        "related": _orders(document.order, "PLAC", "FILL"),
    }
    return filled(
        {
            "resourceType": "DocumentReference",
            "id": facts.id_of("document", api="fhir", model="document-reference"),
            "masterIdentifier": own,
            "identifier": [own],
            "status": status_for("document-reference", document.status),
            "type": _concept(document.type_codings, facts.type_name(document.type)),
            "subject": _reference(parties.patient),
            "date": moment(document.documented_at or facts.at),
            "author": _one(parties.provider),
            "authenticator": _reference(parties.authenticator),
            "relatesTo": [
                {
                    "code": "replaces",
                    "target": {"type": "DocumentReference", "identifier": replaced},
                }
            ]
            if replaced
            else [],
            "description": document.description,
            "content": [{"attachment": _attachment(document, facts, filling)}],
            "context": filled(context),
        }
    )


def _diagnostic_report(
    document: Document, facts: Facts, parties: _Parties, filling: Filling
) -> dict[str, object]:
    order = document.order
    identifiers = [_document_identifier(facts.document_id, facts)]
    if order is not None and order.application_id:
        identifiers.append(_order_number("FILL", order.application_id))
    codings = [*_order_codings(order), *(_coding(one) for one in document.type_codings)]
    named = facts.type_name(document.type) or (order and order.description)
    return filled(
        {
            "resourceType": "DiagnosticReport",
            "id": facts.id_of("document", api="fhir", model="diagnostic-report"),
            "identifier": identifiers,
            "basedOn": _orders(order, "PLAC"),
            "status": status_for("diagnostic-report", document.status),
            "code": filled({"coding": codings, "text": named}),
            "subject": _reference(parties.patient),
            "encounter": _reference(parties.visit),
            "effectiveDateTime": moment(document.service_at),
            "issued": moment(document.documented_at or facts.at),
            "performer": _one(parties.provider),
            "resultsInterpreter": _one(parties.authenticator),
            "presentedForm": [_attachment(document, facts, filling)],
        }
    )


def _attachment(document: Document, facts: Facts, filling: Filling) -> dict[str, object]:
    """The file: `url` when it was uploaded, `data` when it is embedded. R4 counts raw bytes."""
    return filled(
        {
            "contentType": facts.content_type,
            ("url" if isinstance(filling, str) else "data"): filling,
            "size": facts.size_bytes,
            "title": facts.name,
            "creation": moment(document.documented_at),
        }
    )


def _parties(document: Document, facts: Facts, model: Model) -> _Parties:
    who = None
    if document.patient is not None:
        own_id = facts.id_of("patient", api="fhir", model=model)
        who = _known(patient(document.patient, own_id, facts.destination))
    visit = None
    if document.visit is not None:
        own_id = facts.id_of("visit", api="fhir", model=model)
        made = encounter(document.visit, own_id, facts.destination, subject=_reference(who))
        # Status and class stand there always; alone they say nothing of this visit.
        says_something = made.keys() & {"identifier", "account", "location"}
        visit = made if says_something or document.visit.class_ else None
    provider = _practitioner(document.provider, "provider", facts, model)
    signer = provider
    if document.authenticator != document.provider:
        signer = _practitioner(document.authenticator, "authenticator", facts, model)
    return _Parties(who, provider, signer, visit)


def _practitioner(
    given: Provider | None, part: str, facts: Facts, model: Model
) -> dict[str, object] | None:
    if given is None:
        return None
    own_id = facts.id_of(part, api="fhir", model=model)
    return _known(practitioner(given, own_id, facts.destination))


def _known(resource: dict[str, object]) -> dict[str, object] | None:
    """A resource that says more than its type and id, or None."""
    return resource if len(resource) > 2 else None


def _reference(resource: dict[str, object] | None) -> dict[str, object]:
    if resource is None:
        return {}
    return {"reference": f"{resource['resourceType']}/{resource['id']}"}


def _one(resource: dict[str, object] | None) -> list[dict[str, object]]:
    return [] if resource is None else [_reference(resource)]


def _document_identifier(value: str, facts: Facts) -> dict[str, object]:
    """Our id, verbatim: `identifier_systems.document` of the destination names its system."""
    return identifier(
        value, None, facts.destination.identifier_systems.get("document"), facts.destination
    )


def _order_number(code: str, value: str) -> dict[str, object]:
    """An order's number; HL7 table 0203 has PLAC for the receiver's and FILL for the sender's."""
    return {"type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": code}]}, "value": value}


def _orders(order: Order | None, *kinds: str) -> list[dict[str, object]]:
    """Logical references to an order by its numbers of these kinds: we do not know its resource."""
    if order is None:
        return []
    numbers = {"PLAC": order.id, "FILL": order.application_id}
    named = filled({"display": order.description or order.code})
    return [
        {"type": "ServiceRequest", "identifier": _order_number(kind, number), **named}
        for kind, number in numbers.items()
        if kind in kinds and number
    ]


def _order_codings(order: Order | None) -> list[dict[str, object]]:
    if order is None or not order.code:
        return []
    codeset = order.codeset
    system = None if codeset is None else SYSTEM_OF_CODESET.get(codeset, codeset)
    return [filled({"system": system, "code": order.code, "display": order.description})]


def _concept(codings: tuple[Coding, ...], text: str | None) -> dict[str, object]:
    return filled({"coding": [_coding(one) for one in codings], "text": text})


def _coding(given: Coding) -> dict[str, object]:
    return filled({"system": given.system, "code": given.code, "display": given.display})


@functools.lru_cache(maxsize=64)
def _endpoint(source_id: str | None) -> str:
    """`MessageHeader.source.endpoint`: R4 wants a URL; Redox's examples name the source's UUID."""
    if source_id is None:
        return f"urn:uuid:{NAMESPACE}"
    try:
        return f"urn:uuid:{UUID(source_id)}"
    except ValueError:
        return f"urn:redox:source:{source_id}"
