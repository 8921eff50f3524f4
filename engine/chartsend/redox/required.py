"""What each model requires, and which of it a message lacks.

The one rule: the finished message is examined, not the description: what is reported missing is
exactly what Redox or the receiver would miss, in its own spelling.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, TypeAlias, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_Tree: TypeAlias = "dict[str, _Tree]"
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
OUR_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    "Patient.Identifiers": ("patient.identifiers",),
    "Patient.Identifiers[].ID": ("patient.identifiers.id",),
    "Patient.Identifiers[].IDType": ("patient.identifiers.type",),
    "Patient.identifier": ("patient.identifiers",),
    "Patient.identifier[].value": ("patient.identifiers.id",),
    "Patient.Demographics.FirstName": ("patient.first_name",),
    "Patient.Demographics.LastName": ("patient.last_name",),
    "Patient.Demographics.DOB": ("patient.birth_date",),
    "Patient.Demographics.Sex": ("patient.sex",),
    "Patient.name": ("patient.last_name",),
    "Patient.birthDate": ("patient.birth_date",),
    "Patient.gender": ("patient.sex",),
    "Note.DocumentType": ("type",),
    "Note.FileName": ("title",),
    "Note.Provider.ID": ("provider.id",),
    "Media.DocumentType": ("type",),
    "Media.FileName": ("title",),
    "Media.Provider.ID": ("provider.id",),
    "Media.Authenticator.ID": ("authenticator.id",),
    "Orders[].ID": ("order.id",),
    "Orders[].ApplicationOrderID": ("order.id", "order.application_id"),
    "Orders[].Results[].Code": ("order.code",),
    "DocumentReference.type": ("type", "type_codings"),
    "DocumentReference.author": ("provider",),
    "DiagnosticReport.code": ("type", "type_codings", "order.code"),
    "Visit.VisitNumber": ("visit.number",),
    "Encounter.identifier": ("visit.number",),
}
"""Redox's path to the fields of a description that can fill it."""


def wording(fields: tuple[str, ...]) -> str:
    """One field or several of them as text: `` `a`, `b` or `c` ``."""
    *others, last = (f"`{field}`" for field in fields)
    return f"{', '.join(others)} or {last}" if others else last


def lacking(message: Mapping[str, object], paths: Iterable[str]) -> tuple[str, ...]:
    """The paths that hold nothing in a message, each once, in the order given.

    A path below one that is missing is not reported too. In a list every element counts.

    Args:
        message: A Data Model message, or a FHIR bundle: there a path begins with the type of a
            resource in it.
        paths: Such as `Patient.Identifiers[].ID` or `Encounter.identifier`.
    """
    paths, roots = tuple(paths), _roots(message)
    if _has_all(roots, _tree(paths)):
        return ()
    missing: list[str] = []
    for path in paths:
        below = any(path.startswith((f"{one}.", f"{one}[")) for one in missing)
        if path not in missing and not below and not _has_all(roots, _tree((path,))):
            missing.append(path)
    return tuple(missing)


# The same few paths for every document of a model and a destination.
@functools.lru_cache(maxsize=256)
def _tree(paths: tuple[str, ...]) -> _Tree:
    """Paths with common beginnings in one, so that a message is walked once for all of them."""
    tree: _Tree = {}
    for path in paths:
        node = tree
        for step in path.split("."):
            node = node.setdefault(step.partition("[")[0], {})
    return tree


def _roots(message: Mapping[str, object]) -> dict[str, object]:
    """What a path may begin with: fields of a message; in a bundle the types of its resources."""
    if message.get("resourceType") != "Bundle":
        return {**message, "Bundle": message}
    by_type: dict[str, list[object]] = {}
    entries = message.get("entry")
    for entry in entries if _is_list(entries) else ():
        resource = entry.get("resource") if _is_object(entry) else None
        kind = resource.get("resourceType") if _is_object(resource) else None
        if isinstance(kind, str):
            by_type.setdefault(kind, []).append(resource)
    return {**by_type, "Bundle": message}


def _has_all(value: object, tree: _Tree) -> bool:
    """Whether something stands at the end of every path, in every element of every list.

    Empty things were left out when the message was made (`fields.filled`).
    """
    if not _is_object(value):
        return _is_list(value) and all(_has_all(one, tree) for one in value)
    for step, below in tree.items():
        if step not in value or (below and not _has_all(value[step], below)):
            return False
    return True


def _is_object(value: object) -> TypeGuard[dict[str, object]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
