"""The log of what was committed. An event is on the disk before anyone hears of what it describes.

One thread writes. All events that wait while it syncs go out with the next sync together, so the
cost of a sync is shared by as many requests as are in flight.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_BATCH_EVENTS: Final = 1024
_PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What one committed request did. Fields that its kind does not use are None.

    Attributes:
        kind: `blob` is an upload, `message` a document, `token` an issued access token.
        api: `fhir` or `data-model`.
        method: `upload` when the file was sent before, `embed` when it came inside the message.
        model: `document-reference`, `diagnostic-report`, `observation`, `notes`, `media`, `results`.
        event_type: The Data Model event type, or the last part of a FHIR `eventUri`.
        destination: The destination's slug (the first one's, when a message has several).
        document_id: The identity that the sender gave the document.
        reference: The URL of the upload.
        size_bytes: Length of the file as its receiver gets it, decoded; `bytes` on the wire.
        sha256: Of the same bytes, in hex.
        log_id: The id of the message's log (the first one, when there are several destinations).
    """

    kind: Literal["blob", "message", "token"]
    api: str | None = None
    method: str | None = None
    model: str | None = None
    event_type: str | None = None
    destination: str | None = None
    document_id: str | None = None
    reference: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    log_id: str | None = None

    def line(self, sequence: int, at: str) -> bytes:
        """Give the event as it stands in the log, with its newline."""
        return orjson.dumps(
            {
                "seq": sequence,
                "at": at,
                "kind": self.kind,
                "api": self.api,
                "method": self.method,
                "model": self.model,
                "event_type": self.event_type,
                "destination": self.destination,
                "document_id": self.document_id,
                "reference": self.reference,
                "bytes": self.size_bytes,
                "sha256": self.sha256,
                "log_id": self.log_id,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )


def now_text() -> str:
    """Give the time as Redox writes it: ISO 8601, UTC, milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


_Waiting = tuple[bytes, "asyncio.Future[None]"]


class EventLog:
    """An append-only file of events with a thread of its own that writes and syncs it.

    Must be made inside a running event loop; `append` belongs to that loop.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self._written_bytes = 0  # belongs to the thread
        self._sequence = 0
        self._end_offset = 0
        self._offsets: list[int] = [0]  # where the event after seq n begins
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write_for_ever, name="events", daemon=True)
        self._thread.start()

    async def append(self, event: Event) -> int:
        """Write an event and return its sequence number when it is on the disk.

        Cancelled while waiting, the event is written all the same.

        Raises:
            OSError: The disk did not take it.
        """
        self._sequence += 1
        sequence = self._sequence
        done: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((event.line(sequence, now_text()), done))
        await done
        return sequence

    def read(self, after: int) -> Iterator[bytes]:
        """Give the lines of all durable events with a sequence number above `after`, in pieces."""
        offset = self._offsets[min(max(after, 0), len(self._offsets) - 1)]
        remaining = self._offsets[-1] - offset
        with self._path.open("rb", buffering=0) as file:
            file.seek(offset)
            while remaining > 0 and (piece := file.read(min(remaining, _PIECE_BYTES))):
                remaining -= len(piece)
                yield piece

    def close(self) -> None:
        """Write what waits and stop. The thread is given two seconds."""
        self._waiting.put(None)
        self._thread.join(2.0)

    def _write_for_ever(self) -> None:
        is_open = True
        while is_open:
            batch: list[_Waiting] = []
            first = self._waiting.get()
            while first is not None:
                batch.append(first)
                if len(batch) >= _BATCH_EVENTS or self._waiting.empty():
                    break
                first = self._waiting.get()
            is_open = first is not None
            if batch:
                self._write(batch)
        os.close(self._fd)

    def _write(self, batch: list[_Waiting]) -> None:
        error: OSError | None = None
        try:
            view = memoryview(b"".join(line for line, _ in batch))
            while view:
                view = view[os.write(self._fd, view) :]
            os.fdatasync(self._fd)
            self._written_bytes += sum(len(line) for line, _ in batch)
        except OSError as exc:
            error = exc
            os.ftruncate(self._fd, self._written_bytes)  # never half a line
        try:
            self._loop.call_soon_threadsafe(self._settle, batch, error)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more

    def _settle(self, batch: list[_Waiting], error: OSError | None) -> None:
        for line, done in batch:
            self._end_offset += len(line) if error is None else 0
            self._offsets.append(self._end_offset)
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
