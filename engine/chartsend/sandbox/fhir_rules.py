"""What a FHIR message bundle must look like, and where its file is.

`documented` enforces what Redox documents or FHIR R4 requires of a message; `strict` adds what a
careful receiver would check; `lenient` asks only for what is needed to find the document.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from .answers import fhir_refusal
from .base64_stream import NotBase64Error
from .files_in_messages import decoded, referenced_upload
from .json_tree import JsonValue, list_at, look_up, text_at

if TYPE_CHECKING:
    from .accounts import Source
    from .answers import RefusedError
    from .records import Upload
    from .state import Sandbox
    from .store import StoredFile

_EVENT_BASE: Final = "https://fhir.redoxengine.com/EventDefinition/"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation that takes a message.

    Attributes:
        attachments: Keys that lead from the resource to its attachments; empty if it has none.
        statuses: The values of the resource's required `status` (FHIR R4).
    """

    resource: str
    model: str
    event: str
    attachments: tuple[str, ...]
    statuses: frozenset[str]


OPERATIONS: Final = {
    "DocumentReference/$documentreference-create": Operation(
        "DocumentReference",
        "document-reference",
        "DocumentReferenceCreate",
        ("content", "attachment"),
        frozenset({"current", "superseded", "entered-in-error"}),
    ),
    "DiagnosticReport/$diagnosticreport-create": Operation(
        "DiagnosticReport",
        "diagnostic-report",
        "DiagnosticReportCreate",
        ("presentedForm",),
        frozenset(
            {
                "registered",
                "partial",
                "preliminary",
                "final",
                "amended",
                "corrected",
                "appended",
                "cancelled",
                "entered-in-error",
                "unknown",
            },
        ),
    ),
    "Observation/$observation-create": Operation(
        "Observation",
        "observation",
        "ObservationCreate",
        (),
        frozenset(
            {
                "registered",
                "preliminary",
                "final",
                "amended",
                "corrected",
                "cancelled",
                "entered-in-error",
                "unknown",
            },
        ),
    ),
}


@dataclass(slots=True)
class Letter:
    """A message bundle with its document found in it; `check` then judges it and takes its file.

    Attributes:
        place: Where the document stands, as a FHIRPath for error texts.
        file: The decoded bytes that the receiver gets, after `check`.
    """

    bundle: JsonValue
    rules: Operation
    resource: JsonValue
    place: str
    attachments: list[tuple[str, JsonValue]]
    document_id: str | None
    method: Literal["upload", "embed"] | None
    identifiers: tuple[str, ...]
    patients: tuple[str, ...]
    content_type: str | None = None
    file: StoredFile | None = None
    upload: Upload | None = None
    others: int = field(default=0)

    def check(self, sandbox: Sandbox, source: Source) -> None:
        """Judge the message by the sandbox's preset, and take its file.

        Raises:
            RefusedError: 400 with an OperationOutcome that names the place.
        """
        preset = sandbox.options.preset
        if self.resource is None:
            raise _missing(f"Bundle.entry[].resource ({self.rules.resource})")
        if preset != "lenient":
            self._check_envelope()
            self._check_resource()
        if preset == "strict":
            self._check_strictly()
        for number, (place, attachment) in enumerate(self.attachments):
            self._take(sandbox, source, place, attachment, is_first=number == 0)
        if preset == "strict":
            self._check_sums()

    def _check_envelope(self) -> None:
        if text_at(self.bundle, "resourceType") != "Bundle":
            raise _wrong("Bundle.resourceType", "Bundle")
        if text_at(self.bundle, "type") != "message":
            raise _wrong("Bundle.type", "message")
        if text_at(self.bundle, "entry", 0, "resource", "resourceType") != "MessageHeader":
            raise _wrong("Bundle.entry[0].resource.resourceType", "MessageHeader")
        if text_at(self.bundle, "entry", 0, "resource", "eventUri") != _EVENT_BASE + self.rules.event:
            raise _wrong("Bundle.entry[0].resource.eventUri", _EVENT_BASE + self.rules.event)

    def _check_resource(self) -> None:
        if self.others:
            # A public integration reports that Redox takes one document per request.
            raise fhir_refusal(400, "business-rule", f"More than one {self.rules.resource}")
        if text_at(self.resource, "status") not in self.rules.statuses:
            raise _wrong(f"{self.place}.status", " | ".join(sorted(self.rules.statuses)))
        if self.rules.resource == "DocumentReference" and not self.attachments:
            raise _missing(f"{self.place}.content[0].attachment")
        for place, attachment in self.attachments:
            _check_attachment(place, attachment)

    def _check_strictly(self) -> None:
        if text_at(self.bundle, "entry", 0, "resource", "source", "endpoint") is None:
            raise _missing("Bundle.entry[0].resource.source.endpoint")
        identity = text_at(self.resource, "id")
        references = {
            text_at(focus, "reference")
            for focus in list_at(self.bundle, "entry", 0, "resource", "focus")
        }
        if f"{self.rules.resource}/{identity}" not in references:
            raise _missing("Bundle.entry[0].resource.focus")
        if text_at(self.resource, "subject", "reference") is None:
            raise _missing(f"{self.place}.subject.reference")
        if len(self.attachments) > 1:
            raise fhir_refusal(400, "business-rule", "More than one attachment", self.place)

    def _take(
        self,
        sandbox: Sandbox,
        source: Source,
        place: str,
        attachment: JsonValue,
        *,
        is_first: bool,
    ) -> None:
        file: StoredFile | None = None
        upload: Upload | None = None
        data, url = look_up(attachment, "data"), look_up(attachment, "url")
        if data is not None:
            try:
                file = decoded(sandbox.store, data)
            except NotBase64Error as exc:
                raise fhir_refusal(400, "value", f"Not base64: {exc}", f"{place}.data") from None
        elif url is not None:
            upload = referenced_upload(sandbox, source.id, url)
            if upload is None and sandbox.options.preset != "lenient":
                raise fhir_refusal(
                    400, "not-found", "No upload of this source has this URL", f"{place}.url"
                )
            file = None if upload is None else upload.file
        if is_first:
            self.content_type = text_at(attachment, "contentType")
            self.file, self.upload = file, upload

    def _check_sums(self) -> None:
        """Compare R4's `size` and `hash` (base64 of SHA-1) with the file, where they are given."""
        if self.file is None or not self.attachments:
            return
        place, attachment = self.attachments[0]
        size, digest = look_up(attachment, "size"), look_up(attachment, "hash")
        if size is not None and size != self.file.size_bytes:
            raise fhir_refusal(400, "value", "Not the file's size", f"{place}.size")
        if digest is not None:
            sha1 = hashlib.sha1(usedforsecurity=False)
            for piece in self.file.pieces():
                sha1.update(piece)
            if digest != base64.b64encode(sha1.digest()).decode():
                raise fhir_refusal(400, "value", "Not the file's SHA-1", f"{place}.hash")


def read_letter(bundle: JsonValue, rules: Operation) -> Letter:
    """Find the document of a bundle. Judges nothing, so that faults can strike any message."""
    places = [
        number
        for number, entry in enumerate(list_at(bundle, "entry"))
        if text_at(entry, "resource", "resourceType") == rules.resource
    ]
    number = places[0] if places else -1
    place = f"Bundle.entry[{number}].resource"
    resource = look_up(bundle, "entry", number, "resource") if places else None
    attachments = list(_attachments(resource, rules, place))
    first = attachments[0][1] if attachments else None
    return Letter(
        bundle=bundle,
        rules=rules,
        resource=resource,
        place=place,
        attachments=attachments,
        document_id=_document_id(resource),
        method=_method(first),
        identifiers=tuple(_identifiers(resource)),
        patients=tuple(_patients(bundle, resource)),
        others=len(places) - 1 if places else 0,
    )


def _attachments(resource: JsonValue, rules: Operation, place: str) -> list[tuple[str, JsonValue]]:
    if not rules.attachments:
        return []
    first, *rest = rules.attachments
    suffix = "".join(f".{key}" for key in rest)
    return [
        (f"{place}.{first}[{number}]{suffix}", look_up(item, *rest))
        for number, item in enumerate(list_at(resource, first))
    ]


def _document_id(resource: JsonValue) -> str | None:
    master = text_at(resource, "masterIdentifier", "value")
    return master if master is not None else text_at(resource, "identifier", 0, "value")


def _method(attachment: JsonValue) -> Literal["upload", "embed"] | None:
    if look_up(attachment, "data") is not None:
        return "embed"
    return "upload" if look_up(attachment, "url") is not None else None


def _identifiers(resource: JsonValue) -> list[str]:
    found: list[str] = []
    for item in [look_up(resource, "masterIdentifier"), *list_at(resource, "identifier")]:
        value = text_at(item, "value")
        if value is not None:
            found += [value, f"{text_at(item, 'system') or ''}|{value}"]
    return found


def _patients(bundle: JsonValue, resource: JsonValue) -> list[str]:
    found: list[str] = []
    reference = text_at(resource, "subject", "reference")
    if reference is not None:
        found += [reference, reference.removeprefix("Patient/")]
    for entry in list_at(bundle, "entry"):
        if text_at(entry, "resource", "resourceType") == "Patient":
            found += _identifiers(look_up(entry, "resource"))
    return found


def _check_attachment(place: str, attachment: JsonValue) -> None:
    content_type = text_at(attachment, "contentType")
    if not content_type:
        raise _missing(f"{place}.contentType")
    kind, slash, subtype = content_type.partition("/")
    if not (kind and slash and subtype):
        raise _wrong(f"{place}.contentType", "a MIME type")
    has_data = look_up(attachment, "data") is not None
    has_url = look_up(attachment, "url") is not None
    if has_data == has_url:
        raise fhir_refusal(400, "invariant", "Exactly one of data and url is required", place)
    if look_up(attachment, "data") == "":
        raise fhir_refusal(400, "required", "The file is empty", f"{place}.data")


def _missing(expression: str) -> RefusedError:
    return fhir_refusal(400, "required", "Missing required field", expression)


def _wrong(expression: str, expected: str) -> RefusedError:
    return fhir_refusal(400, "value", f"Expected {expected}", expression)
