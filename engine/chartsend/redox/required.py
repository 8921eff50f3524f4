"""What each model requires, and which of it a message lacks.

The one rule: the finished message is examined, not the description: what is reported missing is
exactly what Redox or the receiver would miss, in its own spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PATIENT: Final = (
    "Patient.Identifiers",
    "Patient.Identifiers[].ID",
    "Patient.Identifiers[].IDType",
)
_NOTE: Final = (
    "Note.ContentType",
    "Note.DocumentType",
    "Note.DocumentID",
    "Note.Provider.ID",
)
_MEDIA: Final = (
    "Media.FileType",
    "Media.FileName",
    "Media.DocumentType",
    "Media.DocumentID",
    "Media.Provider.ID",
    "Media.Availability",
)
_RESULT: Final = (
    "Orders[].Status",
    "Orders[].Results[].Code",
    "Orders[].Results[].Value",
    "Orders[].Results[].ValueType",
    "Orders[].Results[].FileType",
)
REQUIRED: Final[dict[str, tuple[str, ...]]] = {
    # Data Models: schemas of 2021 and 2023, with Note.FileName and Results[].FileType from the
    # article "Send a file via Redox Data Model API".
    "Notes:New": (*_PATIENT, *_NOTE, "Note.FileName", "Note.FileContents"),
    "Notes:Replace": (*_PATIENT, *_NOTE, "Note.FileName", "Note.FileContents",
                      "Note.OriginalDocumentID"),
    "Notes:Delete": (*_PATIENT, *_NOTE),
    "Media:New": (*_PATIENT, *_MEDIA, "Media.FileContents"),
    "Media:Replace": (*_PATIENT, *_MEDIA, "Media.FileContents", "Media.OriginalDocumentID"),
    "Media:Delete": (*_PATIENT, *_MEDIA),
    "Results:New": (*_PATIENT, "Orders[].ID", *_RESULT),
    "Results:NewUnsolicited": (*_PATIENT, "Orders[].ApplicationOrderID", *_RESULT),
    # FHIR: R4 and Redox's schema pages; type and the patient's identifier because no chart can
    # file a document of no kind, about nobody. R4 itself requires DiagnosticReport.code.
    "document-reference": (
        "Patient.identifier",
        "Patient.identifier[].value",
        "DocumentReference.type",
        "DocumentReference.content[].attachment.contentType",
    ),
    "diagnostic-report": (
        "Patient.identifier",
        "Patient.identifier[].value",
        "DiagnosticReport.code",
        "DiagnosticReport.presentedForm[].contentType",
    ),
}  # fmt: skip
"""Paths that must hold something, by `DataModel:EventType` or FHIR model."""
OUR_FIELDS: Final = {
    "Patient.Identifiers": "patient.identifiers",
    "Patient.Identifiers[].ID": "patient.identifiers.id",
    "Patient.Identifiers[].IDType": "patient.identifiers.type",
    "Patient.identifier": "patient.identifiers",
    "Patient.identifier[].value": "patient.identifiers.id",
    "Patient.Demographics.FirstName": "patient.first_name",
    "Patient.Demographics.LastName": "patient.last_name",
    "Patient.Demographics.DOB": "patient.birth_date",
    "Patient.Demographics.Sex": "patient.sex",
    "Patient.name": "patient.last_name",
    "Patient.birthDate": "patient.birth_date",
    "Patient.gender": "patient.sex",
    "Note.DocumentType": "type",
    "Note.FileName": "title",
    "Note.Provider.ID": "provider.id",
    "Media.DocumentType": "type",
    "Media.FileName": "title",
    "Media.Provider.ID": "provider.id",
    "Media.Authenticator.ID": "authenticator.id",
    "Orders[].ID": "order.id",
    "Orders[].ApplicationOrderID": "order.id or order.application_id",
    "Orders[].Results[].Code": "order.code",
    "DocumentReference.type": "type or type_codings",
    "DocumentReference.author": "provider",
    "DiagnosticReport.code": "type, type_codings or order.code",
    "Visit.VisitNumber": "visit.number",
    "Encounter.identifier": "visit.number",
}
"""Redox's path to the field of a description that fills it, for the error's text."""


def lacking(message: Mapping[str, object], paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that hold nothing in a message, each once, in the order given.

    A path below one that is missing is not reported too. In a list every element counts.

    Args:
        message: A Data Model message, or a FHIR bundle: there a path begins with the type of a
            resource in it.
        paths: Such as `Patient.Identifiers[].ID` or `Encounter.identifier`.
    """
    missing: list[str] = []
    for path in paths:
        below = any(path.startswith((f"{one}.", f"{one}[")) for one in missing)
        if path not in missing and not below and not _holds(message, path):
            missing.append(path)
    return tuple(missing)


def _holds(message: Mapping[str, object], path: str) -> bool:
    first, *rest = [step.partition("[")[0] for step in path.split(".")]
    if message.get("resourceType") == "Bundle" and first != "Bundle":
        resources = _resources(message, first)
        return bool(resources) and all(_reaches(one, rest) for one in resources)
    return _reaches(message, rest if first == "Bundle" else [first, *rest])


def _resources(bundle: Mapping[str, object], kind: str) -> list[object]:
    entries = bundle.get("entry")
    if not _is_list(entries):
        return []
    found = [entry.get("resource") for entry in entries if _is_object(entry)]
    return [one for one in found if _is_object(one) and one.get("resourceType") == kind]


def _reaches(value: object, steps: list[str]) -> bool:
    """Whether something stands at the end of the steps, in every element of every list.

    Empty things were left out when the message was made (`fields.filled`).
    """
    if _is_list(value):
        return all(_reaches(one, steps) for one in value)
    if not steps:
        return True
    if not _is_object(value) or steps[0] not in value:
        return False
    return _reaches(value[steps[0]], steps[1:])


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
