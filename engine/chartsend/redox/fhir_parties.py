"""FHIR R4 resources about people and visits: Patient, Practitioner, Encounter.

The one rule: an identifier has a system URI where one is known, and otherwise its type in words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .fields import day, filled
from .valuesets import ENCOUNTER_CLASSES, GENDERS, spelling

if TYPE_CHECKING:
    from ..document import Address, Location, Patient, Provider, Visit
    from ..settings import Destination

SYSTEMS: Final = {
    "NPI": "http://hl7.org/fhir/sid/us-npi",
    "SSN": "http://hl7.org/fhir/sid/us-ssn",
}
"""Identifier systems that are the same at every site (FHIR R4, identifier registry)."""
_ACT_CODE: Final = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
_UNKNOWN_CLASS: Final = {
    # Encounter.class is required in R4; this is its way of saying that we do not know.
    "system": "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
    "code": "UNK",
}
_CLASS_CODES: Final = {"inpatient": "IMP", "outpatient": "AMB", "emergency": "EMER"}


def identifier(
    value: str | None, kind: str | None, system: str | None, destination: Destination
) -> dict[str, object]:
    """An Identifier; empty without a value.

    The system is the given one, the destination's for this kind, or one that is the same
    everywhere. Without any, the kind goes into `type.text`.
    """
    if not value:
        return {}
    known = system or destination.identifier_systems.get(kind or "") or SYSTEMS.get(kind or "")
    if known:
        return {"system": known, "value": value}
    return filled({"type": filled({"text": kind}), "value": value})


def patient(given: Patient, resource_id: str, destination: Destination) -> dict[str, object]:
    """The Patient resource."""
    identifiers = [identifier(one.id, one.type, one.system, destination) for one in given.identifiers]
    name = filled({"family": given.last_name, "given": [given.first_name] if given.first_name else []})
    telecom = [
        {"system": system, "value": value}
        for system, value in (("phone", given.phone), ("email", given.email))
        if value
    ]
    address = _address(given.address)
    return filled(
        {
            "resourceType": "Patient",
            "id": resource_id,
            "identifier": [one for one in identifiers if one],
            "name": [name] if name else [],
            "telecom": telecom,
            "gender": None if given.sex is None else GENDERS[given.sex],
            "birthDate": day(given.birth_date),
            "address": [address] if address else [],
        }
    )


def practitioner(given: Provider, resource_id: str, destination: Destination) -> dict[str, object]:
    """The Practitioner resource of a provider."""
    own = identifier(given.id, given.id_type, None, destination)
    name = filled({"family": given.last_name, "given": [given.first_name] if given.first_name else []})
    return filled(
        {
            "resourceType": "Practitioner",
            "id": resource_id,
            "identifier": [own] if own else [],
            "name": [name] if name else [],
        }
    )


def encounter(
    given: Visit, resource_id: str, destination: Destination, *, subject: dict[str, object]
) -> dict[str, object]:
    """The Encounter resource of a visit."""
    number = identifier(given.number, None, destination.identifier_systems.get("visit"), destination)
    account = identifier(
        given.account_number, None, destination.identifier_systems.get("account"), destination
    )
    return filled(
        {
            "resourceType": "Encounter",
            "id": resource_id,
            "identifier": [number] if number else [],
            "status": "unknown",
            "class": _class(given.class_),
            "subject": subject,
            "account": [{"identifier": account}] if account else [],
            "location": _locations(given.location),
        }
    )


def _class(given: str | None) -> dict[str, object]:
    if not given:
        return dict(_UNKNOWN_CLASS)
    code = _CLASS_CODES.get(given.casefold()) or spelling(given, ENCOUNTER_CLASSES)
    return {"display": given} if code is None else {"system": _ACT_CODE, "code": code}


def _locations(given: Location | None) -> list[dict[str, object]]:
    """The place in words: a Location resource of our own making would be a stranger there."""
    if given is None:
        return []
    parts = (given.facility, given.department, given.room, given.bed)
    display = ", ".join(part for part in parts if part)
    location = filled(
        {
            "location": filled({"display": display or given.type}),
            "physicalType": filled({"text": given.type if display else None}),
        }
    )
    return [location] if location else []


def _address(given: Address | None) -> dict[str, object]:
    if given is None:
        return {}
    return filled(
        {
            "line": [given.street] if given.street else [],
            "city": given.city,
            "district": given.county,
            "state": given.state,
            "postalCode": given.zip,
            "country": given.country,
        }
    )
