"""What a run of a batch came to, in words, and what a person has to do next.

The one rule: bounded however many rows there are, and no name in it: it goes to stderr.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from ...settings.quantity import show_seconds, show_size
from ..progress import say
from ..words import counted, verb
from .plan_text import only_sent_already

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...batch.row import Recovered
    from ...batch.run import Runner, Settled
    from ...batch.status import BatchStatus, Rows
    from ...engine import Statistics
    from .hints import Hints


class Summary:
    """Everything that is counted while a run goes on.

    Args:
        hints: What to type next.

    Attributes:
        first_seq: Place of the last receipt from before the run; None while the ledger is not open.
        statistics: The engine's, after the run.
    """

    def __init__(self, hints: Hints) -> None:
        self._hints = hints
        self.first_seq: int | None = None
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

    def tell(self, status: BatchStatus, runner: Runner | None, *, is_trial: bool) -> None:
        """Say what it came to, and what to do next.

        Args:
            status: As the ledger has it at the end.
            runner: What ran; None when there was nothing to send.
            is_trial: Whether everything goes away.
        """
        say(self._total(status))
        if runner is not None:
            for line in self._this_run(runner):
                say(line)
        if is_trial:
            say("This was a trial: nothing left this machine, and its ledger is gone.")
            return
        rows, known = status.rows, status.already_sent
        for line in only_sent_already(rows.rejected, known, rows.failed):
            say(line)
        for line in self._to_do(rows, rows.rejected - known, runner):
            say(line)
        if rows.settled > known:  # then a command was named
            say(self._hints.legend)

    def _total(self, status: BatchStatus) -> str:
        rows, known = status.rows, status.already_sent
        seconds = show_seconds(time.monotonic() - self._began_s)
        return (
            f"{counted(rows.total, 'row')} after {seconds}: {rows.done:,} done,"
            f" {rows.failed:,} failed, {rows.in_doubt:,} in doubt, {rows.rejected - known:,} rejected,"
            + (f" {known:,} already sent," if known else "")
            + f" {rows.pending:,} pending."
        )

    def _this_run(self, runner: Runner) -> Iterator[str]:
        accepted = self._settled["accepted"]
        if self.statistics is not None:
            retried = f", {self.statistics.retries:,} of them again" if self.statistics.retries else ""
            yield (
                f"This run: {counted(accepted, 'row')} accepted ({show_size(self._sent_bytes)})"
                f" with {counted(self.statistics.requests, 'request')}{retried}."
            )
        if self._reasons:
            reasons = ", ".join(f"{code} ({n:,})" for code, n in self._reasons.most_common())
            yield f"Not accepted: {reasons}."
        if runner.changed_files:
            files = counted(runner.changed_files, "file")
            yield f"Changed after planning, and sent as it was then found: {files}."

    def _to_do(self, rows: Rows, rejected: int, runner: Runner | None) -> Iterator[str]:
        hints = self._hints
        if rows.pending:
            why = runner.reason if runner is not None else None
            yield f"Pending: {why or 'the reason stands above'}. The same command goes on."
        if rows.in_doubt:
            yield (
                f"In doubt, perhaps in the chart: {hints.command('resolve')} lists them, and notes what"
                " you found."
            )
        if rows.failed:
            yield f"Failed: {hints.command('list', '--state', 'failed')} says which and why."
        if rejected:
            listed = hints.command("list", "--state", "rejected")
            yield f"Rejected: {listed} says which and why. {_mending(is_folder=hints.is_folder)}"
        if rows.done:
            yield f"{hints.command('report')} has the figures."


def _mending(*, is_folder: bool) -> str:
    """How rejected rows are corrected so that they are sent after all."""
    if not is_folder:
        return (
            "Correct the rows and run it again; where only a file was mended, run it again with"
            " --retry-failed."
        )
    return (
        "Row N is line N of the folder's listing, beside the ledger. Where a file was mended in its"
        " place, run it again with --retry-failed. The listing is fixed once sending began: a file under"
        " a new name, or with another sidecar, needs a ledger of its own (--ledger DIR), where what was"
        " sent already is recognised."
    )


def taken_over(found: Recovered | None) -> Iterator[str]:
    """What a run found in the middle of something when it began."""
    if found is None or not (found.released or found.orphans or found.in_doubt):
        return
    parts: list[str] = []
    if found.released:
        parts.append(f"{counted(found.released, 'row')} {verb(found.released, 'begins', 'begin')} again")
    if found.orphans:
        made = verb(found.orphans, "is", "are")
        parts.append(f"{counted(found.orphans, 'upload')} {made} made again")
    if found.in_doubt:
        parts.append(
            f"{counted(found.in_doubt, 'message')} {verb(found.in_doubt, 'is', 'are')} in doubt"
        )
    yield f"Taken over from a run that was cut off: {', '.join(parts)}."
