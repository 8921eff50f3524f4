"""Objects that the Data Models share: Meta, Patient, Provider, Visit.

The one rule: names and nesting are Redox's (Data Model reference, 2023 export); a part about which
nothing is known is left out whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .fields import day, filled, moment

if TYPE_CHECKING:
    from ..document import Address, Location, Order, Patient, Provider, Visit
    from .facts import Facts

DataModel = Literal["Notes", "Media", "Results"]
EventType = Literal["New", "Replace", "Delete", "NewUnsolicited"]


def meta(data_model: DataModel, event_type: EventType, facts: Facts) -> dict[str, object]:
    """`Meta`: what this is, from whom, to whom. Everything but Production is a test."""
    destination = filled({"ID": facts.destination.id})
    return filled(
        {
            "DataModel": data_model,
            "EventType": event_type,
            "EventDateTime": moment(facts.at),
            "Test": facts.environment != "Production",
            "Source": filled({"ID": facts.source_id, "Name": facts.source_name}),
            "Destinations": [destination] if destination else [],
        }
    )


def patient(given: Patient | None) -> dict[str, object]:
    """`Patient`: identifiers and demographics."""
    if given is None:
        return {}
    identifiers = [filled({"ID": one.id, "IDType": one.type}) for one in given.identifiers]
    return filled(
        {
            "Identifiers": [one for one in identifiers if one],
            "Demographics": filled(
                {
                    "FirstName": given.first_name,
                    "LastName": given.last_name,
                    "DOB": day(given.birth_date),
                    "Sex": given.sex,
                    "PhoneNumber": filled({"Home": given.phone}),
                    "EmailAddresses": [given.email] if given.email else [],
                    "Address": _address(given.address),
                }
            ),
        }
    )


def provider(given: Provider | None) -> dict[str, object]:
    """A `Provider`: also an `Authenticator`, a `PrimaryResultsInterpreter` and others."""
    if given is None:
        return {}
    return filled(
        {
            "ID": given.id,
            "IDType": given.id_type,
            "FirstName": given.first_name,
            "LastName": given.last_name,
        }
    )


def visit(given: Visit | None) -> dict[str, object]:
    """`Visit`: which encounter the file belongs to."""
    if given is None:
        return {}
    return filled(
        {
            "VisitNumber": given.number,
            "AccountNumber": given.account_number,
            "PatientClass": given.class_,
            "Location": _location(given.location),
        }
    )


def linked_orders(given: Order | None) -> list[dict[str, object]]:
    """`Orders` of Notes and Media: which order the file belongs to."""
    if given is None or not given.id:
        return []
    return [filled({"ID": given.id, "Name": given.description or given.code})]


def _location(given: Location | None) -> dict[str, object]:
    if given is None:
        return {}
    return filled(
        {
            "Type": given.type,
            "Facility": given.facility,
            "Department": given.department,
            "Room": given.room,
            "Bed": given.bed,
        }
    )


def _address(given: Address | None) -> dict[str, object]:
    if given is None:
        return {}
    return filled(
        {
            "StreetAddress": given.street,
            "City": given.city,
            "State": given.state,
            "ZIP": given.zip,
            "County": given.county,
            "Country": given.country,
        }
    )
