"""What a whole run came to: counts, sizes, times, and what a person has to do next.

The one rule: bounded whatever the number of documents, and nothing in it that names a file or a
patient, because it goes to stderr: documents go by their ids.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..settings.quantity import show_seconds, show_size
from .exits import Outcome
from .words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..document import Receipt
    from ..engine import Statistics

FIRST_FEW: Final = 5
_STEP: Final = 1.02
"""Times are counted in classes 2 % wide: about 1,200 of them from a millisecond to a year."""
_WORDS: Final = {
    "links": ("link", "links"),
    "dot_files": ("name that begins with a dot", "names that begin with a dot"),
    "special": ("pipe, socket or device", "pipes, sockets or devices"),
    "sidecars_alone": ("sidecar of a file that is left out", "sidecars of files that are left out"),
    "own": ("file of chartsend's own", "files of chartsend's own"),
    "own_folders": ("folder of chartsend's own", "folders of chartsend's own"),
    "repeated": ("file named twice", "files named twice"),
    "unreadable": ("folder that cannot be read", "folders that cannot be read"),
}


@dataclass(slots=True)
class Times:
    """Durations, for their percentiles within 2 %."""

    classes: Counter[int] = field(default_factory=Counter[int])
    longest_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.longest_s = max(self.longest_s, seconds)
        self.classes[math.ceil(math.log(max(seconds, 0.001), _STEP))] += 1

    def percentile(self, percent: float) -> float:
        """Seconds within which so many percent lie; 0 when nothing was counted."""
        rank = math.ceil(self.classes.total() * percent / 100)
        for each in sorted(self.classes):
            rank -= self.classes[each]
            if rank <= 0:
                return min(_STEP**each, self.longest_s)
        return 0.0


@dataclass(slots=True)
class FewIds:
    """The first few ids, and how many there were."""

    shown: list[str] = field(default_factory=list[str])
    count: int = 0

    def add(self, ident: str) -> None:
        """Count one, and keep it when it is among the first."""
        self.count += 1
        if len(self.shown) < FIRST_FEW:
            self.shown.append(ident)

    def __str__(self) -> str:
        more = self.count - len(self.shown)
        return ", ".join(self.shown) + (f" and {more} more" if more else "")


@dataclass(slots=True)
class Summary:
    """Everything that is counted while a run goes on.

    Attributes:
        outcome: Decides the exit code.
        sent_bytes: Raw bytes of accepted documents.
        times: Seconds of accepted documents.
        log_ids: What to look for in Redox's dashboard: log ids, or trace ids where an answer
            gives no others (FHIR).
        in_doubt: Ids of documents in doubt.
        held_back: Ids of documents in doubt in the earlier run's receipts.
        sidecars: Descriptions that were used.
        reasons: Error codes of the failures.
        planned_bytes: What a dry run would send, in bytes and in requests.
        planned_requests: See there.
    """

    outcome: Outcome = field(default_factory=Outcome)
    sent_bytes: int = 0
    times: Times = field(default_factory=Times)
    log_ids: FewIds = field(default_factory=FewIds)
    in_doubt: FewIds = field(default_factory=FewIds)
    held_back: FewIds = field(default_factory=FewIds)
    sidecars: int = 0
    reasons: Counter[str] = field(default_factory=Counter[str])
    planned_bytes: int = 0
    planned_requests: int = 0

    def add(self, receipt: Receipt) -> None:
        """Count one receipt."""
        self.outcome.add(receipt)
        if receipt.status == "accepted":
            self.sent_bytes += receipt.bytes or 0
            self.times.add(receipt.seconds)
            trace = (receipt.trace_id,) if receipt.trace_id else ()
            for log_id in receipt.log_ids or trace:
                self.log_ids.add(log_id)
        elif receipt.status == "in_doubt":
            self.in_doubt.add(receipt.document_id)
        elif receipt.error is not None:
            self.reasons[receipt.error.code] += 1

    def lines(
        self, *, seconds: float, skipped: Counter[str], statistics: Statistics | None
    ) -> Iterator[str]:
        """The summary, line by line, for stderr."""
        outcome = self.outcome
        if outcome.planned:
            yield (
                f"{counted(outcome.planned, 'file', 'files')} would go"
                f" ({show_size(self.planned_bytes)}) in"
                f" {counted(self.planned_requests, 'request', 'requests')},"
                f" {outcome.failed} would fail. Nothing was sent."
            )
        else:
            yield (
                f"{counted(outcome.total, 'file', 'files')} in {show_seconds(seconds)}:"
                f" {outcome.accepted:,} accepted ({show_size(self.sent_bytes)}),"
                f" {outcome.failed:,} failed, {outcome.in_doubt:,} in doubt."
            )
        if outcome.accepted > 1:
            yield (
                f"Half of them took at most {show_seconds(self.times.percentile(50))} each,"
                f" 95 % at most {show_seconds(self.times.percentile(95))}."
            )
        if statistics is not None and statistics.requests:
            retried = f", {statistics.retries} of them retries" if statistics.retries else ""
            yield f"{counted(statistics.requests, 'request', 'requests')}{retried}."
        yield from self._left_out(skipped)
        yield from self._to_do()

    def _left_out(self, skipped: Counter[str]) -> Iterator[str]:
        if self.sidecars:
            yield f"{counted(self.sidecars, 'sidecar was', 'sidecars were')} used."
        left_out = left_out_words(skipped)
        if left_out:
            yield f"Left out: {left_out}."
        if self.outcome.skipped:
            yield f"Skipped, accepted before: {self.outcome.skipped}."

    def _to_do(self) -> Iterator[str]:
        if self.log_ids.count:
            yield (
                "Accepted by Redox is not yet filed by the receiver: look for these ids in the"
                f" logs of its dashboard: {self.log_ids}."
            )
        if self.reasons:
            reasons = ", ".join(f"{code} ({n})" for code, n in self.reasons.most_common())
            yield f"Failed: {reasons}. The receipts on stdout say which and why."
        if self.in_doubt.count:
            yield (
                "In doubt, perhaps in the chart: look for these document ids in the Redox logs"
                f" before you send them again: {self.in_doubt}."
            )
        if self.held_back.count:
            yield (
                "Held back, because they were in doubt before: once you have looked, remove their"
                f" lines from the receipts to send them again: {self.held_back}."
            )
        if self.outcome.unwritten:
            lost = counted(self.outcome.unwritten, "receipt", "receipts")
            yield f"{lost} could not be written; the lines above say of which documents."
        if self.outcome.stopped:
            yield "Stopped before the end: what has no receipt was not sent."


def left_out_words(skipped: Counter[str]) -> str:
    """What was left out, such as `1 link, 2 folders that cannot be read`; empty for nothing."""
    words = [counted(skipped[key], *names) for key, names in _WORDS.items() if skipped.get(key)]
    return ", ".join(words)
