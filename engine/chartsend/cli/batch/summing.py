"""What a run of a batch came to, in words, and what a person has to do next.

The one rule: bounded however many rows there are, and no name in it: it goes to stderr.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from ...settings.quantity import show_seconds, show_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...batch.run import Runner, Settled
    from ...batch.status import Rows
    from ...engine import Statistics


class Summary:
    """Everything that is counted while a run goes on.

    Attributes:
        first_seq: Place of the last receipt from before the run.
        statistics: The engine's, after the run.
    """

    def __init__(self) -> None:
        self.first_seq = 0
        self.statistics: Statistics | None = None
        self._began_s = time.monotonic()
        self._settled: Counter[str] = Counter()
        self._sent_bytes = 0
        self._reasons: Counter[str] = Counter()
        # A bit for each row, so that a million rows cost 125 KB.
        self._heard = bytearray()

    def add(self, settled: Settled) -> None:
        """Count a row that ended."""
        receipt = settled.receipt
        at, bit = divmod(settled.row, 8)
        if at >= len(self._heard):
            self._heard.extend(bytes(at + 1 - len(self._heard)))
        self._heard[at] |= 1 << bit
        self._settled[receipt.status] += 1
        if receipt.status == "accepted":
            self._sent_bytes += receipt.bytes or 0
        elif receipt.error is not None:
            self._reasons[receipt.error.code] += 1

    def has_heard_of(self, row: int) -> bool:
        """Whether a row was added."""
        at, bit = divmod(row, 8)
        return at < len(self._heard) and bool(self._heard[at] >> bit & 1)

    def lines(self, rows: Rows, runner: Runner | None, *, is_trial: bool) -> Iterator[str]:
        """The summary, line by line.

        Args:
            rows: As the ledger has them at the end.
            runner: What ran; None when there was nothing to send.
            is_trial: Whether everything goes away.
        """
        seconds = show_seconds(time.monotonic() - self._began_s)
        yield (
            f"{_count(rows.total, 'row', 'rows')} after {seconds}: {rows.done:,} done,"
            f" {rows.failed:,} failed, {rows.in_doubt:,} in doubt, {rows.rejected:,} rejected,"
            f" {rows.pending:,} pending."
        )
        if runner is not None:
            yield from self._this_run(runner)
        if is_trial:
            yield "This was a trial: nothing left this machine, and its ledger is gone."
        else:
            yield from _to_do(rows, runner)

    def _this_run(self, runner: Runner) -> Iterator[str]:
        took_over = runner.recovered
        if took_over is not None and (took_over.released or took_over.orphans or took_over.in_doubt):
            yield (
                f"Taken over from a run that was cut off: {took_over.released:,} rows began again,"
                f" {took_over.orphans:,} uploads were made again, {took_over.in_doubt:,} messages are"
                " in doubt."
            )
        accepted = self._settled["accepted"]
        if self.statistics is not None:
            retried = f", {self.statistics.retries:,} of them again" if self.statistics.retries else ""
            yield (
                f"This run: {_count(accepted, 'row', 'rows')} accepted ({show_size(self._sent_bytes)})"
                f" with {_count(self.statistics.requests, 'request', 'requests')}{retried}."
            )
        if self._reasons:
            reasons = ", ".join(f"{code} ({n:,})" for code, n in self._reasons.most_common())
            yield f"Not accepted: {reasons}."
        if runner.changed_files:
            files = _count(runner.changed_files, "file", "files")
            yield f"Changed after planning, and sent as it was then found: {files}."


def _to_do(rows: Rows, runner: Runner | None) -> Iterator[str]:
    if rows.pending:
        why = runner.reason if runner is not None else None
        yield f"Pending: {why or 'the reason stands above'}. The same command goes on."
    if rows.in_doubt:
        yield (
            "In doubt, perhaps in the chart: `chartsend batch resolve MANIFEST` lists them, and notes"
            " what you found."
        )
    if rows.failed:
        yield "Failed: `chartsend batch list MANIFEST --state failed` says which and why."
    if rows.rejected:
        yield "Rejected: correct the rows, or their files, and run it again with --retry-failed."
    if rows.done:
        yield "`chartsend batch report MANIFEST` has the figures."


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
