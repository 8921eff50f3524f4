"""Where the time of all attempts goes: quota, connection, source, ledger, network, server.

The one rule: it is read off clocks that stop by themselves, a few per attempt and two per chunk, so
that measuring costs nothing that could be measured.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..histogram import Histogram
from ..ports import Operation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .body import StreamingBody


@dataclass(slots=True)
class Meter:
    """What all attempts of one engine took, in seconds, and how they were answered.

    An attempt's time is cut at five points: asked, admitted by the quota, first byte written, last
    byte flushed, ended. Attempts run side by side, so the sums grow faster than the clock.

    Attributes:
        statuses: How many requests got each status; 0 for those without a complete answer.
        quota_s: Waiting for the request quota.
        connection_s: From there to the first byte: a free connection, name, address, TLS.
        sending_s: From the first byte until the last one had left this process; `source_s` and
            `journal_s` are parts of it.
        source_s: Of that, waiting for the bytes of the source.
        journal_s: Of that, waiting for the journal, before the last chunk.
        server_s: From there to the end of the answer.
        server_times: Each of those times of uploads and messages that were answered whole.
    """

    statuses: Counter[int] = field(default_factory=Counter[int])
    quota_s: float = 0.0
    connection_s: float = 0.0
    sending_s: float = 0.0
    source_s: float = 0.0
    journal_s: float = 0.0
    server_s: float = 0.0
    server_times: Histogram = field(default_factory=Histogram)

    def copy(self) -> Meter:
        """What it shows at this moment."""
        return replace(self, statuses=self.statuses.copy(), server_times=self.server_times.copy())

    def add(self, other: Meter) -> None:
        """Count what another process did as well."""
        self.statuses += other.statuses
        self.quota_s += other.quota_s
        self.connection_s += other.connection_s
        self.sending_s += other.sending_s
        self.source_s += other.source_s
        self.journal_s += other.journal_s
        self.server_s += other.server_s
        self.server_times.merge(other.server_times.counts)

    def ended(
        self,
        operation: Operation,
        *,
        status: int,
        body: StreamingBody,
        admitted_s: float,
        ended_s: float,
    ) -> None:
        """Note one attempt that has ended, however it ended.

        Args:
            operation: What it was; the times of tokens and searches are no document's.
            status: Of its complete answer, or 0.
            body: Knows when its first and last bytes left.
            admitted_s: When it might leave, on the clock of `time.perf_counter`.
            ended_s: When it ended.
        """
        self.statuses[status] += 1
        began_s = ended_s if body.began_s is None else body.began_s
        flushed_s = ended_s if body.flushed_s is None else body.flushed_s
        self.connection_s += began_s - admitted_s
        self.sending_s += flushed_s - began_s
        self.source_s += body.source_s
        self.journal_s += body.gate_s
        self.server_s += ended_s - flushed_s
        is_documents = operation is Operation.UPLOAD or operation is Operation.MESSAGE
        if is_documents and status and body.flushed_s is not None:
            self.server_times.add(1000 * (ended_s - flushed_s))


@dataclass(frozen=True, slots=True)
class Statistics:
    """What an engine did and does, at one moment.

    Attributes:
        requests: HTTP requests for documents: uploads and messages.
        tokens: Token requests.
        retries: Attempts beyond the first of an operation.
        sends_in_flight: Sends that hold a slot.
        buffer_bytes_in_use: The most that they hold in buffers.
        parked_calls: Blocking calls that run now, those included whose callers have gone.
        queries: Searches for documents.
        meter: How requests were answered, and where their time went.
        waiting_for: What is down and waited for at this moment, for people; always empty with
            priority `realtime`, which does not wait.
    """

    requests: int
    tokens: int
    retries: int
    sends_in_flight: int
    buffer_bytes_in_use: int
    parked_calls: int
    queries: int = 0
    meter: Meter = field(default_factory=Meter)
    waiting_for: tuple[str, ...] = ()

    def with_others(self, others: Iterable[Statistics]) -> Statistics:
        """What all processes of an engine did. Slots and buffers are this one's: they are shared."""
        both, meter = [self, *others], Meter()
        for each in both:
            meter.add(each.meter)
        return replace(
            self,
            requests=sum(each.requests for each in both),
            tokens=sum(each.tokens for each in both),
            retries=sum(each.retries for each in both),
            parked_calls=sum(each.parked_calls for each in both),
            queries=sum(each.queries for each in both),
            meter=meter,
            waiting_for=tuple(sorted({name for each in both for name in each.waiting_for})),
        )

    @property
    def throttled(self) -> int:
        """Requests that were answered 429: too many in the quota's window."""
        return self.meter.statuses[429]
