"""What the harness tells a sender process, and what that process answers: one JSON line each.

The one rule: a Sample is of work that was done, from the line `go` to the last answer; what was
prepared before is in no figure.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Route = Literal["embed", "raw", "multipart", "notes", "embed_notes"]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one sender process is to do.

    Attributes:
        route: What bytes go where: `embed` base64 in a FHIR message, `raw` to FHIR Binary and a
            message, `multipart` to /upload and a Data Model message, `notes` text in a Notes message,
            `embed_notes` base64 in a Notes message.
        api_url: Address of the sink, `http(s)://127.0.0.1:port`.
        ca_file: The sink's authority, PEM; TLS when set.
        files: Absolute paths, sent in this order, again and again.
        count: How many documents to send.
        concurrency: How many at once.
        hashes: Take SHA-256 of the raw bytes while sending.
        workers: Event loops (chartsend only).
        buffer_bytes: `Settings.buffer_bytes` of chartsend; None for its default.
        ledger: A directory for a durable ledger (chartsend only); None for none.
        loop: Event loop of those senders that have one.
        duration_s: For stalled servers: be cancelled instead of finishing, when the harness says so, or
            after so long.
        options: With the value `1`: `cold` drops the files' pages before the run, `stalls` measures how
            long an event loop stood still, `prepared` has `aiohttp_bytes` make its bodies before the
            run. `chunk` is the size of a floor's buffer in bytes.
    """

    route: Route
    api_url: str
    ca_file: str | None = None
    files: tuple[str, ...]
    count: int
    concurrency: int = 8
    hashes: bool = False
    workers: int = 1
    buffer_bytes: int | None = None
    ledger: str | None = None
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    duration_s: float | None = None
    options: dict[str, str] = msgspec.field(default_factory=dict[str, str])


class Sample(msgspec.Struct, kw_only=True):
    """What one run took.

    Attributes:
        seconds: Wall time from `go` to the end.
        cpu_s: User and system time of the process and its children in that time.
        documents: How many were sent; 0 when the run was cancelled on purpose.
        raw_bytes: Bytes of those files, before any encoding.
        idle_rss_bytes: Resident bytes of the process and its children just before `go`.
        peak_rss_bytes: The most since `go`, theirs together (the sum of each one's most).
        stalls_ms: When asked for: p50, p99, p99.9 and the longest time that the loop stood still.
        notes: Further figures; `sink_busy` is the share of one core that the busiest process of the
            sink used meanwhile.
    """

    seconds: float
    cpu_s: float
    documents: int
    raw_bytes: int
    idle_rss_bytes: int
    peak_rss_bytes: int
    stalls_ms: list[float] = msgspec.field(default_factory=list[float])
    notes: dict[str, float] = msgspec.field(default_factory=dict[str, float])

    @property
    def mb_per_s(self) -> float:
        """Raw megabytes (10^6) per second."""
        return self.raw_bytes / self.seconds / 1e6

    @property
    def cpu_s_per_gb(self) -> float:
        """CPU seconds per raw gigabyte (10^9)."""
        return self.cpu_s / (self.raw_bytes / 1e9)

    @property
    def documents_per_s(self) -> float:
        """Documents per second."""
        return self.documents / self.seconds

    @property
    def rss_above_idle_bytes(self) -> int:
        """The most resident bytes, less those at rest."""
        return self.peak_rss_bytes - self.idle_rss_bytes
