"""What Data Model messages must have: the required fields, and for `strict` the value sets and types.

Sources: Redox's article "Send a file via Redox Data Model API" and the published schemas of Notes,
Media and Results; the front door checks required fields and not types (a recorded message with a
numeric visit number was accepted), so `documented` does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .long_string import LongString

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .json_tree import JsonValue

_ALWAYS: Final = (
    "Meta.DataModel",
    "Meta.EventType",
    "Patient.Identifiers[].ID",
    "Patient.Identifiers[].IDType",
)
_NOTE: Final = (
    "Note.ContentType",
    "Note.DocumentID",
    "Note.DocumentType",
    "Note.Provider.ID",
)
_MEDIA: Final = (
    "Media.Availability",
    "Media.DocumentID",
    "Media.DocumentType",
    "Media.FileName",
    "Media.FileType",
    "Media.Provider.ID",
)
_RESULTS: Final = (
    "Orders[].Status",
    "Orders[].Results[].Code",
    "Orders[].Results[].Value",
    "Orders[].Results[].ValueType",
)

REQUIRED: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("Notes", "New"): (*_ALWAYS, *_NOTE),
    ("Notes", "Replace"): (*_ALWAYS, *_NOTE, "Note.OriginalDocumentID"),
    ("Notes", "Delete"): (*_ALWAYS, *_NOTE),
    ("Media", "New"): (*_ALWAYS, *_MEDIA, "Media.FileContents"),
    ("Media", "Replace"): (*_ALWAYS, *_MEDIA, "Media.FileContents", "Media.OriginalDocumentID"),
    ("Media", "Delete"): (*_ALWAYS, *_MEDIA),
    ("Results", "New"): (*_ALWAYS, *_RESULTS, "Orders[].ID"),
    ("Results", "NewUnsolicited"): (*_ALWAYS, *_RESULTS, "Orders[].ApplicationOrderID"),
}
"""Every field on the way to a required one is required as well."""

_AVAILABILITY: Final = frozenset(
    {"Available", "Unavailable", "Obsolete", "Deleted", "Cancelled"},
)

VALUE_SETS: Final[Mapping[str, frozenset[str]]] = {
    "Note.ContentType": frozenset({"Plain Text", "Rich Text", "Base64 Encoded"}),
    "Note.Status": frozenset({"Authenticated", "In progress"}),
    "Note.Availability": _AVAILABILITY,
    "Media.Availability": _AVAILABILITY,
    "Media.Authenticated": frozenset({"True", "False"}),
    "Orders[].Status": frozenset({"Resulted", "New", "Update", "Cancel"}),
    "Orders[].ResultsStatus": frozenset(
        {"Final", "Preliminary", "In Process", "Corrected", "Canceled", "Unavailable"},
    ),
    "Orders[].Results[].ValueType": frozenset(
        {
            "Address",
            "Coded Entry",
            "Date",
            "DateTime",
            "Encapsulated Data",
            "Formatted Text",
            "ID",
            "ID And Name",
            "Money",
            "Name",
            "Numeric",
            "Phone Number",
            "Price",
            "Reference Pointer",
            "String",
            "Structured Numeric",
            "Time",
        },
    ),
    "Orders[].Results[].Status": frozenset(
        {
            "Final",
            "Incomplete",
            "Preliminary",
            "Corrected",
            "Canceled",
            "Deleted",
            "Unavailable",
            "None Specified",
        },
    ),
    "Patient.Demographics.Sex": frozenset({"Female", "Male", "Nonbinary", "Other", "Unknown"}),
}

_NOT_TEXT: Final[Mapping[str, type[bool] | tuple[type[int], type[float]]]] = {
    "Meta.Test": bool,
    "Meta.Message.ID": (int, float),
    "Meta.Transmission.ID": (int, float),
    "Orders[].Results[].ReferenceRange.High": (int, float),
    "Orders[].Results[].ReferenceRange.Low": (int, float),
    "Patient.Demographics.IsDeceased": bool,
    "Patient.Demographics.IsHispanic": bool,
}
"""The only published fields of these models that are neither text nor a container."""


def missing_fields(message: JsonValue, required: tuple[str, ...]) -> list[str]:
    """Give the required fields that a message lacks, each once, outermost first."""
    missing: dict[str, None] = {}
    for path in required:
        for found in _missing_on(message, path):
            missing[found] = None
    return list(missing)


def wrong_values(message: JsonValue) -> list[str]:
    """Give the fields whose value is of another type or outside of its value set."""
    wrong: dict[str, None] = {}
    for path, value in _leaves(message, ""):
        allowed = VALUE_SETS.get(path)
        is_of_type = isinstance(value, _NOT_TEXT.get(path, (str, LongString))) and (
            not isinstance(value, bool) or _NOT_TEXT.get(path) is bool
        )
        if not is_of_type or (allowed is not None and value not in allowed):
            wrong[path] = None
    return list(wrong)


def _missing_on(value: JsonValue, path: str) -> Iterator[str]:
    """Walk down a path such as `Orders[].Results[].Code` and give every prefix that is missing."""
    steps = path.split(".")
    values = [value]
    for depth, step in enumerate(steps):
        name = step.removesuffix("[]")
        below: list[JsonValue] = []
        for item in values:
            found = item.get(name) if isinstance(item, dict) else None
            if found is None or found == "" or (step.endswith("[]") and not _is_filled(found)):
                yield ".".join([*steps[:depth], name])
            elif isinstance(found, list):
                below += found
            else:
                below.append(found)
        values = below


def _is_filled(value: JsonValue) -> bool:
    return isinstance(value, list) and len(value) > 0


def _leaves(value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{path}[]")
    elif value is not None:
        yield path, value
