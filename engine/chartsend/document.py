"""What is sent and what comes back: `Document` and its parts, and `Receipt`.

The one rule: one validated shape serves Python, sidecars and manifest rows alike. It is checked
when it is made (`shape.py`) and again for the model chosen (in `redox/`). This file is pure: a document
*describes* its source, `sources/` opens it.
"""

from __future__ import annotations

import datetime as dt  # noqa: TC003  # msgspec reads the annotations at run time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, TypedDict, Unpack

import msgspec

from .errors import InvalidDocumentError
from .shape import UNSAFE, FilePath, Moment, Shape, spelled_out, unexpected

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

Api = Literal["fhir", "data-model"]
Method = Literal["upload", "embed"]
Model = Literal["document-reference", "diagnostic-report", "notes", "media", "results"]
API_OF: Mapping[Model, Api] = {
    "document-reference": "fhir",
    "diagnostic-report": "fhir",
    "notes": "data-model",
    "media": "data-model",
    "results": "data-model",
}
"""Which API carries a model."""

Availability = Literal["Available", "Unavailable", "Obsolete", "Deleted", "Cancelled"]
Status = Literal["accepted", "failed", "in_doubt"]
Sex = Literal["Female", "Male", "Nonbinary", "Other", "Unknown"]


class Identifier(Shape, frozen=True, kw_only=True):
    """One identifier of a patient: `id` and what kind it is.

    Attributes:
        id: The value, such as `0000991234`.
        type: The kind as the site names it, such as `MR`.
        system: FHIR system URI; without it the destination's `identifier_systems` decides.
    """

    id: str
    type: str | None = None
    system: str | None = None


class Address(Shape, frozen=True, kw_only=True):
    """A postal address."""

    street: str | None = None
    city: str | None = None
    state: str | None = None
    zip: str | None = None
    county: str | None = None
    country: str | None = None


class Demographics(TypedDict, total=False):
    """What `Patient.identified` takes beside the identifier: the fields of `Patient`."""

    first_name: str | None
    last_name: str | None
    birth_date: dt.date | None
    sex: Sex | None
    phone: str | None
    email: str | None
    address: Address | None


class Patient(Shape, frozen=True, kw_only=True):
    """Whose chart it is: identifiers first, demographics as the receiver needs them."""

    identifiers: tuple[Identifier, ...] = ()
    first_name: str | None = None
    last_name: str | None = None
    birth_date: dt.date | None = None
    sex: Sex | None = None
    phone: str | None = None
    email: str | None = None
    address: Address | None = None

    @classmethod
    def identified(cls, id: str, type: str, **more: Unpack[Demographics]) -> Patient:  # noqa: A002
        """A patient known by one identifier, such as `Patient.identified("0000991234", "MR")`.

        Raises:
            InvalidDocumentError: As for every shape.
            TypeError: There is no such field; the nearest one is named.
        """
        try:
            return cls(identifiers=(Identifier(id=id, type=type),), **more)
        except TypeError as error:
            raise unexpected(cls, more, error) from None


class Provider(Shape, frozen=True, kw_only=True):
    """A clinician: responsible for a document, or the one who signed it."""

    id: str | None = None
    id_type: str | None = None
    first_name: str | None = None
    last_name: str | None = None


class Location(Shape, frozen=True, kw_only=True):
    """Where a visit takes place."""

    type: str | None = None
    facility: str | None = None
    department: str | None = None
    room: str | None = None
    bed: str | None = None


class Visit(Shape, frozen=True, kw_only=True, rename={"class_": "class"}):
    """The encounter that a document belongs to."""

    number: str | None = None
    account_number: str | None = None
    class_: str | None = None
    location: Location | None = None


class Order(Shape, frozen=True, kw_only=True):
    """The order that a result answers.

    Attributes:
        id: The receiver's order id: makes Results `New`.
        application_id: The sender's id, for a result without an order: makes `NewUnsolicited`.
        code: Code of the result, such as `PDF_REPORT`.
        codeset: Where `code` comes from, such as `LOINC`.
        description: What the code means.
        status: Status of the order; `Resulted` is sent when it is absent.
    """

    id: str | None = None
    application_id: str | None = None
    code: str | None = None
    codeset: str | None = None
    description: str | None = None
    status: str | None = None


class Coding(Shape, frozen=True, kw_only=True):
    """One code for the document's type, such as LOINC 59284-0."""

    system: str | None = None
    code: str
    display: str | None = None


class Content:
    """Bytes that are not a file on disk. See `Buffer` and `Stream`."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Buffer(Content):
    """Bytes already in memory. They must not change until the send has ended."""

    data: bytes | bytearray | memoryview = field(repr=False)

    def __post_init__(self) -> None:
        _check_bytes(self.data)


@dataclass(frozen=True, slots=True)
class Stream(Content):
    """Bytes from an async iterator whose total size is known beforehand.

    Attributes:
        size_bytes: Exactly how many bytes the iterator will give; more or fewer is
            `SourceChangedError` and nothing is applied.
        open: A function that gives a fresh iterator for every attempt, or the iterator
            itself, which can be read once: then a failed attempt cannot be retried.
    """

    size_bytes: int
    open: Callable[[], AsyncIterator[bytes]] | AsyncIterator[bytes]

    def __post_init__(self) -> None:
        _check_size(self.size_bytes)
        if not callable(self.open) and not hasattr(self.open, "__anext__"):
            raise InvalidDocumentError("a stream is an async iterator, or a function that opens one")


def _check_bytes(given: object) -> None:
    if not isinstance(given, bytes | bytearray | memoryview):
        raise InvalidDocumentError(
            f"content is bytes, a bytearray or a memoryview, not {type(given).__name__}"
        )


def _check_size(given: object) -> None:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise InvalidDocumentError("a stream's size_bytes is a whole number, 0 or more")


class CommonFields(TypedDict, total=False):
    """What `Document.from_bytes` and `from_stream` take beside their source: fields of `Document`."""

    document_id: str | None
    type: str | None
    description: str | None
    content_type: str | None
    status: str | None
    availability: Availability | None
    replaces: str | None
    documented_at: Moment | None
    service_at: Moment | None
    type_codings: tuple[Coding, ...]
    patient: Patient | None
    provider: Provider | None
    authenticator: Provider | None
    visit: Visit | None
    order: Order | None


class DocumentFields(CommonFields, total=False):
    """What `Document.from_path` takes beside the path: there a title is not required."""

    title: str | None


class Document(Shape, frozen=True, kw_only=True):
    """A source and what must be said of it.

    Exactly one of `path` and `content` describes the source. Which other fields are needed
    depends on the model; `redox/` checks them all at once before anything is sent.

    Attributes:
        path: A file on disk.
        content: Bytes that are not on disk; Python only, never in JSON.
        document_id: The sender's unique id; without it one is derived (UUIDv5 of source id,
            destination and path).
        type: The kind of document as the receiver knows it, such as `Consent Form`.
        title: Shown to people and sent as the file name; default: the path's file name.
        content_type: MIME type; without it the first bytes and the name decide.
        status: In the model's own value set; see `docs/reference/document.md`.
        replaces: Id of the document that this one replaces.
        documented_at: When it was written. service_at: when the service took place.
        authenticator: Who signed it.
    """

    python_only: ClassVar[frozenset[str]] = frozenset({"content"})

    path: str | None = None
    content: Content | None = None
    document_id: str | None = None
    type: str | None = None
    title: str | None = None
    description: str | None = None
    content_type: str | None = None
    status: str | None = None
    availability: Availability | None = None
    replaces: str | None = None
    documented_at: Moment | None = None
    service_at: Moment | None = None
    type_codings: tuple[Coding, ...] = ()
    patient: Patient | None = None
    provider: Provider | None = None
    authenticator: Provider | None = None
    visit: Visit | None = None
    order: Order | None = None

    @classmethod
    def from_path(cls, path: str | FilePath, **fields: Unpack[DocumentFields]) -> Document:
        """A document whose bytes are a file; the file is not touched yet.

        Args:
            path: A text, or what has one, such as a `pathlib.Path`.
            **fields: As for `Document`.

        Raises:
            InvalidDocumentError: As for every shape.
            TypeError: `path` is no path (bytes are none), or there is no such field; the nearest
                one is named.
        """
        name = path if isinstance(path, str) else spelled_out(path)
        try:
            return cls(path=name, **fields)
        except TypeError as error:
            raise unexpected(cls, fields, error) from None

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, *, title: str, **fields: Unpack[CommonFields]
    ) -> Document:
        """A document whose bytes are in memory.

        Raises:
            InvalidDocumentError: As for every shape.
            TypeError: There is no such field; the nearest one is named.
        """
        try:
            return cls(content=Buffer(data), title=title, **fields)
        except TypeError as error:
            raise unexpected(cls, fields, error) from None

    @classmethod
    def from_stream(
        cls,
        open: Callable[[], AsyncIterator[bytes]] | AsyncIterator[bytes],  # noqa: A002
        *,
        size_bytes: int,
        title: str,
        **fields: Unpack[CommonFields],
    ) -> Document:
        """A document whose bytes come from an async iterator of known size; see `Stream`.

        Raises:
            InvalidDocumentError: As for every shape.
            TypeError: There is no such field; the nearest one is named.
        """
        try:
            return cls(content=Stream(size_bytes=size_bytes, open=open), title=title, **fields)
        except TypeError as error:
            raise unexpected(cls, fields, error) from None

    @property
    def name(self) -> str:
        """The title, or the path's last component, safe in headers and JSON.

        Control characters and bytes that are not UTF-8, which a file name may have, become `_`.
        It may identify a patient: never log it.
        """
        if self.title is not None:
            return self.title
        return UNSAFE.sub("_", (self.path or "").rstrip("/").rpartition("/")[2])

    @property
    def shown(self) -> str:
        """The path, or the title: how receipts name the source. It may identify a patient."""
        # A file name that is not UTF-8 cannot stand in JSON as it is.
        return (self.path or self.name).encode("utf-8", "replace").decode()


Line = bytes  # inside Receipt, `bytes` is a field


class ReceiptError(msgspec.Struct, frozen=True):
    """Why a send did not succeed: the error's code and its text, safe to log."""

    code: str
    message: str


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller gets for one document, in the order of the NDJSON line.

    Attributes:
        document_id: The document's identity at the receiver.
        source: Name of the source for the caller's own eyes; it may identify a patient.
        bytes: Raw size of the source; None when it could not be opened.
        sha256: Hex digest of the raw bytes that were sent; None when none were.
        status: `accepted` by Redox (not yet filed by the receiver), `failed`, or `in_doubt`.
        reference_url: Where the uploaded file lies; None when it was embedded.
        log_ids: Redox's log ids, one per destination: what to look for in its dashboard.
        trace_id: Redox's trace id, if it gave one.
        resource_url: The FHIR resource that was made, if the answer named one.
        attempts: HTTP requests made for this document, tokens not counted.
        seconds: From the call to the outcome, waiting included.
        error: None when accepted.
    """

    document_id: str
    source: str
    bytes: int | None
    sha256: str | None
    api: Api
    method: Method | None
    model: Model
    status: Status
    reference_url: str | None = None
    log_ids: tuple[str, ...] = ()
    trace_id: str | None = None
    resource_url: str | None = None
    attempts: int = 0
    seconds: float = 0.0
    error: ReceiptError | None = None

    def __repr__(self) -> str:
        """Without the source's name, which may identify a patient."""
        code = "" if self.error is None else f", error={self.error.code}"
        return f"<Receipt {self.document_id} {self.status}{code}>"

    def to_json(self) -> Line:
        """The receipt as one line of JSON, without a line end."""
        return msgspec.json.encode(self)
