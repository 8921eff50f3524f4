"""Closed lists of values, as Redox and FHIR R4 publish them.

The one rule: a list stands here once, with its source; values are compared without regard to case
and sent in the published spelling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..document import Model, Sex

# Redox Data Model, value sets of Notes, Media and Results (2023 export and article, 2026).
NOTE_CONTENT_TYPES: Final = ("Plain Text", "Rich Text", "Base64 Encoded")
NOTE_STATUSES: Final = ("Authenticated", "In progress")
MEDIA_AUTHENTICATED: Final = ("True", "False")
AVAILABILITIES: Final = ("Available", "Unavailable", "Obsolete", "Deleted", "Cancelled")
ORDER_STATUSES: Final = ("Resulted", "New", "Update", "Cancel")
ORDER_RESULTS_STATUSES: Final = (
    "Final", "Preliminary", "In Process", "Corrected", "Canceled", "Unavailable",
)  # fmt: skip
RESULT_STATUSES: Final = (
    "Final", "Incomplete", "Preliminary", "Corrected", "Canceled", "Deleted", "Unavailable",
    "None Specified",
)  # fmt: skip
FILE_VALUE_TYPE: Final = "Encapsulated Data"
# FHIR R4: DocumentReferenceStatus, DiagnosticReportStatus, AdministrativeGender, v3-ActCode.
DOCUMENT_REFERENCE_STATUSES: Final = ("current", "superseded", "entered-in-error")
DIAGNOSTIC_REPORT_STATUSES: Final = (
    "registered", "partial", "preliminary", "final", "amended", "corrected", "appended",
    "cancelled", "entered-in-error", "unknown",
)  # fmt: skip
GENDERS: Final[dict[Sex, str]] = {
    "Female": "female",
    "Male": "male",
    "Nonbinary": "other",
    "Other": "other",
    "Unknown": "unknown",
}
ENCOUNTER_CLASSES: Final = (
    "AMB", "EMER", "FLD", "HH", "IMP", "ACUTE", "NONAC", "OBSENC", "PRENC", "SS", "VR",
)  # fmt: skip

_SPELLINGS: Final[dict[Model, dict[str, str]]] = {
    "document-reference": {status: status for status in DOCUMENT_REFERENCE_STATUSES},
    "diagnostic-report": {status: status for status in DIAGNOSTIC_REPORT_STATUSES},
    "notes": {status: status for status in NOTE_STATUSES},
    # Media has no status, but says in text whether somebody signed: both spellings are taken.
    "media": {"True": "True", "False": "False", "Authenticated": "True", "In progress": "False"},
    "results": {status: status for status in RESULT_STATUSES},
}
DEFAULT_STATUS: Final[dict[Model, str | None]] = {
    "document-reference": "current",
    "diagnostic-report": "final",
    "notes": None,
    "media": None,
    "results": "Final",
}
RESULTS_STATUS_OF: Final = {
    "Final": "Final",
    "Incomplete": "In Process",
    "Preliminary": "Preliminary",
    "Corrected": "Corrected",
    "Canceled": "Canceled",
    "Unavailable": "Unavailable",
}
"""A result's status to that of its order; the two without a counterpart leave it out."""


def statuses(model: Model) -> tuple[str, ...]:
    """What a document's `status` may be for a model, in the order of the documentation."""
    return tuple(_SPELLINGS[model])


def status_for(model: Model, given: str | None) -> str | None:
    """The status as it stands in the message; the model's default for None.

    A value outside the set gives None: `message.check` has refused it before.
    """
    if given is None:
        return DEFAULT_STATUS[model]
    published = spelling(given, _SPELLINGS[model])
    return None if published is None else _SPELLINGS[model][published]


def spelling(given: str, values: Iterable[str]) -> str | None:
    """The published spelling of a value, whatever its case; None when it is not in the list."""
    return next((value for value in values if value.casefold() == given.casefold()), None)
