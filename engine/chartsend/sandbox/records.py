"""What was received, for finding it again: uploads by their URL, messages by document and log id."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path
    from urllib.parse import SplitResult

    from .accounts import Destination, Source
    from .store import StoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that was sent to be referenced by a later message."""

    id: str
    url: str
    at: str
    api: str
    source: Source
    content_type: str
    filename: str | None
    file: StoredFile


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message on its way to one destination: one log, with its first attempt."""

    destination: Destination
    log_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    attempt_id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that was accepted.

    Attributes:
        resource_id: The id that a FHIR destination gave the resource.
        status: `FAILED` when the file it refers to cannot be delivered (Redox, log status).
        patients: References to the patient and the patient's identifiers, for searches.
        payload: Where the message stands in the file of payloads: offset and length.
    """

    seq: int
    at: str
    api: str
    model: str
    event_type: str
    flag: str
    source: Source
    deliveries: tuple[Delivery, ...]
    document_id: str | None
    identifiers: tuple[str, ...] = ()
    patients: tuple[str, ...] = ()
    resource_id: str = ""
    trace_id: str = ""
    method: Literal["upload", "embed"] | None = None
    content_type: str | None = None
    file: StoredFile | None = None
    upload: Upload | None = None
    status: Literal["SUCCEEDED", "FAILED"] = "SUCCEEDED"
    payload: tuple[int, int]


class Records:
    """All uploads and messages of one sandbox."""

    def __init__(self, payloads: Path) -> None:
        self._fd = os.open(payloads, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._payload_end = 0
        self._numbers = count(14_652_614)  # the number in the one recorded URL
        self.uploads: dict[str, Upload] = {}  # by the path of their URL
        self.referenced: set[str] = set()
        self.messages: list[Message] = []
        self._by_log_id: dict[str, Message] = {}
        self._by_search_value: dict[str, list[Message]] = {}

    def new_upload_path(self, api: str) -> str:
        """Make the path of an upload's URL, in the shape that the API's uploads have."""
        return f"/upload/{uuid.uuid4()}" if api == "fhir" else f"/{next(self._numbers)}"

    def add_upload(self, path: str, upload: Upload) -> None:
        """Remember an upload."""
        self.uploads[path] = upload

    def upload_with_id(self, identity: str) -> Upload | None:
        """Find an upload by the last part of its URL."""
        return self.uploads.get(f"/upload/{identity}") or self.uploads.get(f"/{identity}")

    def find_upload(self, url: SplitResult) -> Upload | None:
        """Find the upload that a URL of the sandbox's own names."""
        return None if url.query or url.fragment else self.uploads.get(url.path)

    def add_message(self, message: Message) -> None:
        """Remember an accepted message."""
        self.messages.append(message)
        for delivery in message.deliveries:
            self._by_log_id[delivery.log_id] = message
        for value in {message.resource_id, *message.identifiers, *message.patients}:
            self._by_search_value.setdefault(value, []).append(message)
        if message.upload is not None:
            self.referenced.add(message.upload.id)

    def with_search_value(self, value: str) -> list[Message]:
        """Find messages by the id, an identifier or a patient of their document."""
        return self._by_search_value.get(value, [])

    def with_log_id(self, log_id: str) -> Message | None:
        """Find a message by one of its log ids."""
        return self._by_log_id.get(log_id)

    def write_payload(self, payload: bytes) -> tuple[int, int]:
        """Keep what a message said, without its long strings; give where it stands."""
        offset = self._payload_end
        self._payload_end += os.pwrite(self._fd, payload, offset)
        return offset, self._payload_end - offset

    def read_payload(self, message: Message) -> bytes:
        """Give what a message said."""
        offset, length = message.payload
        return os.pread(self._fd, length, offset)

    def close(self) -> None:
        """Close the file of payloads."""
        os.close(self._fd)
