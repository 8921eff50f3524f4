"""What a ledger counts beside its rows: their names, how they come about, and how they are read again.

The one rule: a total is only ever added to, and nothing is added twice. What follows from a receipt is
added with that receipt, in one transaction; what a process used is added as the difference to what it
had added before, so a process that is killed leaves out its last second and repeats nothing.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..histogram import Histogram, bucket_of

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from ..engine import Statistics
    from .row import RowReceipt

BYTES: Final = "bytes"
"""Raw bytes of rows that were accepted."""
SEND_MS: Final = "send_ms."
"""And a bucket of a histogram: accepted rows by the time from their slot to the answer."""
ANSWER_MS: Final = "answer_ms."
"""And a bucket: uploads and messages by the server's own time."""
STATUS: Final = "status."
"""And an HTTP status: requests that got it; 0 for those without a complete answer."""
REQUESTS: Final = "requests"
TOKENS: Final = "tokens"
RETRIES: Final = "retries"
RUNS: Final = "runs"
"""Runs that began."""
ENDED: Final = "runs_ended"
"""Runs that added what they had used before they ended; the others were killed."""
EVERY_S: Final = 1.0
"""So much of what a process used is lost when it is killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Seconds, summed over all runs of a batch; those of sends are summed over the slots.

    Attributes:
        wall_s: That a run was going on.
        cpu_s: That its process worked on a core.
        capacity_s: Slots that there were, for as long as a run was going on.
        slot_s: Of those, slots that were busy with a row.
        quota_s: Of those, waiting for the request quota; so are the next ones parts of it.
        connection_s: Getting a connection.
        sending_s: Sending bodies; the next two are parts of it.
        source_s: Waiting for the bytes of the files.
        journal_s: Waiting for the ledger before a last chunk.
        server_s: From the last byte sent to the end of the answer.
    """

    wall_s: float = 0.0
    cpu_s: float = 0.0
    capacity_s: float = 0.0
    slot_s: float = 0.0
    quota_s: float = 0.0
    connection_s: float = 0.0
    sending_s: float = 0.0
    source_s: float = 0.0
    journal_s: float = 0.0
    server_s: float = 0.0

    @classmethod
    def of(cls, totals: Mapping[str, int]) -> Activity:
        """Read it from a ledger's totals."""
        return cls(**{name: totals.get(_in_ms(name), 0) / 1000 for name in cls.__slots__})


def _in_ms(name: str) -> str:
    """The total that holds an attribute of `Activity`: whole milliseconds."""
    return f"{name.removesuffix('_s')}_ms"


def of_receipt(receipt: RowReceipt) -> dict[str, int]:
    """What one receipt adds, in the transaction that appends it.

    A row is accepted once, so its bytes and its time are counted once, whatever was tried before.
    What a query or a person found to be accepted took no time that is known.
    """
    if receipt.status != "accepted":
        return {}
    added = {BYTES: receipt.size_bytes or 0}
    if receipt.decided_by == "answer":
        added[f"{SEND_MS}{bucket_of(receipt.milliseconds)}"] = 1
    return {name: count for name, count in added.items() if count}


class Spending:
    """What one run uses, as totals to add from time to time.

    Args:
        slots: Rows that can be under way at a time.
    """

    def __init__(self, slots: int) -> None:
        self._slots = slots
        self._began_s = self._changed_s = self._added_s = time.monotonic()
        self._cpu_began_s = time.process_time()
        self._added: dict[str, int] = {}
        self._busy = 0
        self._slot_s = 0.0

    @contextmanager
    def busy(self) -> Generator[None]:
        """A slot is busy with a row, for as long as the block runs."""
        self._note(1)
        try:
            yield
        finally:
            self._note(-1)

    def _note(self, change: int) -> None:
        now_s = time.monotonic()
        self._slot_s += self._busy * (now_s - self._changed_s)
        self._changed_s = now_s
        self._busy += change

    @property
    def is_due(self) -> bool:
        """Whether it is time to add what was used since the last time."""
        return time.monotonic() - self._added_s >= EVERY_S

    def since(self, statistics: Statistics, *, is_last: bool = False) -> dict[str, int]:
        """What was used since the last call (or since the run began), to be given to `Ledger.count`.

        Args:
            statistics: Of the run's engine, now.
            is_last: The run ends in an orderly way.
        """
        self._note(0)
        self._added_s = self._changed_s
        now = self._now(statistics)
        if is_last:
            now[ENDED] = 1
        before, self._added = self._added, now
        more = {name: count - before.get(name, 0) for name, count in now.items()}
        return {name: count for name, count in more.items() if count}

    def _now(self, statistics: Statistics) -> dict[str, int]:
        """Everything that this run has used so far."""
        wall_s = self._changed_s - self._began_s
        meter = statistics.meter
        seconds = Activity(
            wall_s=wall_s,
            cpu_s=time.process_time() - self._cpu_began_s,
            capacity_s=wall_s * self._slots,
            slot_s=self._slot_s,
            quota_s=meter.quota_s,
            connection_s=meter.connection_s,
            sending_s=meter.sending_s,
            source_s=meter.source_s,
            journal_s=meter.journal_s,
            server_s=meter.server_s,
        )
        return {
            RUNS: 1,
            REQUESTS: statistics.requests,
            TOKENS: statistics.tokens,
            RETRIES: statistics.retries,
            **{_in_ms(name): round(getattr(seconds, name) * 1000) for name in Activity.__slots__},
            **{f"{STATUS}{status}": count for status, count in meter.statuses.items()},
            **{f"{ANSWER_MS}{bucket}": count for bucket, count in meter.server_times.counts.items()},
        }


def histogram(totals: Mapping[str, int], prefix: str) -> Histogram:
    """The histogram that was kept under `SEND_MS` or `ANSWER_MS`."""
    return Histogram(numbered(totals, prefix))


def numbered(totals: Mapping[str, int], prefix: str) -> dict[int, int]:
    """The totals whose names are a prefix and a number, by that number, in order."""
    found = {
        int(name.removeprefix(prefix)): count
        for name, count in totals.items()
        if name.startswith(prefix)
    }
    return dict(sorted(found.items()))
