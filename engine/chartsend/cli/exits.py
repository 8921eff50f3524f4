"""The exit codes, and the one table that gives every outcome its code.

The one rule: a script can decide from the code alone what to do next, so a code never means two
things: run again later (5), mend and run again (6), ask a person (1, 3), do not run again (2, 7).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..errors import (
    AuthRejectedError,
    ClockSkewError,
    ConfigError,
    ForbiddenError,
    LedgerError,
    OutcomeUnknownError,
    TlsError,
    TransferError,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..batch.status import Rows
    from ..document import Receipt

ACCEPTED: Final = 0
SOME_FAILED: Final = 1
USAGE: Final = 2
IN_DOUBT: Final = 3
NO_SOURCE: Final = 4
TEMPORARY: Final = 5
PENDING: Final = 6
"""Rows of a batch wait, or its ledger cannot be used; by `batch` only."""
FATAL: Final = 7
INTERRUPTED: Final = 130
"""128 + SIGINT, as shells count."""
TERMINATED: Final = 143
"""128 + SIGTERM."""

MEANINGS: Final = {
    ACCEPTED: "every document was accepted",
    SOME_FAILED: "some documents failed or were rejected, or a receipt could not be written",
    USAGE: "wrong usage, or a setting is missing or wrong",
    IN_DOUBT: "none failed, some may or may not be in the chart",
    NO_SOURCE: "nothing was found to send",
    TEMPORARY: "nothing was accepted, and every reason is temporary: run it again later",
    PENDING: "a batch stopped with rows pending: mend the cause and run it again",
    FATAL: "refused for all documents alike: credentials, access (403), certificate or clock",
    INTERRUPTED: "stopped by Ctrl-C",
    TERMINATED: "stopped by SIGTERM",
}
PRECEDENCE: Final = (INTERRUPTED, TERMINATED, FATAL, PENDING, USAGE, SOME_FAILED, IN_DOUBT)
"""Several apply: the first of these that does."""

_BY_CLASS: Final[tuple[tuple[type[TransferError], int], ...]] = (
    (ConfigError, USAGE),
    (AuthRejectedError, FATAL),
    (ClockSkewError, FATAL),
    (TlsError, FATAL),
    (ForbiddenError, FATAL),
    (LedgerError, PENDING),
    (OutcomeUnknownError, IN_DOUBT),
)


def _tree(kind: type[TransferError]) -> Iterator[type[TransferError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _tree(child)


_BY_CODE: Final = {kind.code: kind for kind in _tree(TransferError)}


def of_code(code: str, message: str = "") -> int:
    """The exit code of one document that failed with this error code.

    Args:
        code: As in a receipt; one that is not known counts as a plain failure.
        message: The error's text: a 403 that is a firewall's page concerns one document only.
    """
    kind = _BY_CODE.get(code, TransferError)
    if issubclass(kind, ForbiddenError) and "firewall" in message:
        return SOME_FAILED
    for each, exit_code in _BY_CLASS:
        if issubclass(kind, each):
            return exit_code
    return TEMPORARY if kind.default_verdict is Verdict.RETRY else SOME_FAILED


def of_error(error: TransferError) -> int:
    """The exit code of a command that one error ended."""
    if error.verdict is Verdict.IN_DOUBT:
        return IN_DOUBT
    if error.verdict is Verdict.RETRY:
        return TEMPORARY
    code = of_code(error.code, error.message)
    return SOME_FAILED if code == TEMPORARY else code  # this one was given up


@dataclass(slots=True)
class Outcome:
    """Counts that decide a run's exit code.

    Attributes:
        accepted: Documents that Redox took.
        in_doubt: Documents that may have been taken.
        planned: Documents that a dry run would send.
        skipped: Documents left out on purpose, because an earlier run sent them.
        unwritten: Receipts that stdout did not take; what they said is lost to a script.
        stopped: Whether the run ended before it had tried every document.
        signal: The exit code of the signal that stopped the run, or None.
        failures: Documents that were not taken, by the exit code that each alone would give.
    """

    accepted: int = 0
    in_doubt: int = 0
    planned: int = 0
    skipped: int = 0
    unwritten: int = 0
    stopped: bool = False
    signal: int | None = None
    failures: Counter[int] = field(default_factory=Counter[int])

    @property
    def failed(self) -> int:
        """Documents that were not taken."""
        return self.failures.total()

    @property
    def total(self) -> int:
        """Documents with a receipt."""
        return self.accepted + self.in_doubt + self.failed

    def add(self, receipt: Receipt) -> None:
        """Count one receipt."""
        if receipt.status == "accepted":
            self.accepted += 1
        elif receipt.status == "in_doubt":
            self.in_doubt += 1
        else:
            error = receipt.error
            self.failures[of_code(error.code, error.message) if error else SOME_FAILED] += 1

    def _codes(self) -> set[int]:
        """The codes that apply, before some of them take others' place."""
        codes = set(self.failures)
        if self.signal is not None:
            codes.add(self.signal)
        if self.in_doubt:
            codes.add(IN_DOUBT)
        if self.unwritten:
            codes.add(SOME_FAILED)
        return codes

    def exit_code(self) -> int:
        """The code of the whole run, by the table and its precedence."""
        codes = self._codes()
        only_temporary = codes == {TEMPORARY} and not self.accepted
        if TEMPORARY in codes and not only_temporary:
            codes.add(SOME_FAILED)
        if self.stopped and not codes:
            codes.add(SOME_FAILED)
        for code in PRECEDENCE:
            if code in codes:
                return code
        if only_temporary:
            return TEMPORARY
        return ACCEPTED if self.total or self.planned or self.skipped else NO_SOURCE


def of_batch(
    rows: Rows,
    *,
    signal: int | None = None,
    fatal: TransferError | None = None,
    unwritten: bool = False,
) -> int:
    """The code of a run of a batch that has ended, by the table and its precedence.

    Args:
        rows: As the ledger has them at the end.
        signal: The exit code of the signal that stopped the run, or None.
        fatal: What every further row would have met too, or None.
        unwritten: Whether stdout lost lines that a script would have read.
    """
    codes = {signal, None if fatal is None else of_error(fatal)} - {None}
    if rows.pending:
        codes.add(PENDING)
    if rows.failed or rows.rejected or unwritten:
        codes.add(SOME_FAILED)
    if rows.in_doubt:
        codes.add(IN_DOUBT)
    for code in PRECEDENCE:
        if code in codes:
            return code
    return ACCEPTED if rows.total else NO_SOURCE


def stops_the_run(code: str) -> bool:
    """Whether every other document would be refused for the same reason."""
    kind = _BY_CODE.get(code, TransferError)
    return issubclass(kind, AuthRejectedError | ClockSkewError | ConfigError | TlsError)
