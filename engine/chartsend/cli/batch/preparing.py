"""What `plan` and `run` have in common: the plan is made, and what a person should hear of it is said.

The one rule: it may take half an hour, so it is never silent, and it can be stopped at any moment.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from ...batch.row import State
from ..progress import say
from ..show import encodable
from ..words import counted
from .counting import Counting
from .plan_text import others_of
from .rejects import write_rejected

if TYPE_CHECKING:
    from pathlib import Path

    from ...batch.batch import Batch
    from ...batch.facts import BatchPlan
    from ...batch.status import BatchStatus
    from ..progress import Bar
    from .options import Given

PLAIN_EVERY_S: Final = 10.0
FEW: Final = 5


class Prepared(NamedTuple):
    """A plan that was made.

    Attributes:
        plan: The plan.
        rejected: The file that says which rows were rejected and why; None when none was.
        first_rejected: The first few of them: row, error code, text; without those that an earlier
            batch has sent.
        status: How far the batch is.
        news: What a person should hear.
    """

    plan: BatchPlan
    rejected: Path | None
    first_rejected: tuple[tuple[int, str, str], ...]
    status: BatchStatus
    news: tuple[str, ...]


class Preparing:
    """Makes a plan.

    Args:
        given: Which rows are looked at again.
        bar: The live display, or None.
    """

    def __init__(self, given: Given, bar: Bar | None) -> None:
        self._given = given
        self._bar = bar
        self._rows = 0
        self._began_s = self._said_s = time.monotonic()

    async def plan(self, batch: Batch) -> Prepared:
        """Make the plan, or find the one that was made; write down what was rejected.

        Raises:
            TransferError: As `Batch.plan`.
        """
        again = (
            frozenset({State.FAILED, State.REJECTED}) if self._given.retry_failed else frozenset[State]()
        )
        plan = await batch.plan(again=again, on_progress=self._note)
        if self._given.send_again and plan.already_sent:
            # They were rejected by a plan that was made without --send-again.
            plan = await batch.plan(again=frozenset({State.REJECTED}), on_progress=self._note)
        async with Counting(batch.directory) as counting:
            rejected = await write_rejected(counting.reader, batch.directory, counting.lane)
            first = await counting.first_rejected(min(FEW, others_of(plan)))
            status = await counting.status(is_running=False)
        news = tuple(dict.fromkeys(batch.news))
        for line in news:
            say(line)
        return Prepared(plan, rejected, first, status, news)

    async def tick(self) -> None:
        """Show how far it is; called a few times a second while it plans."""
        now_s = time.monotonic()
        if self._bar is not None:
            self._bar.show(self._line(now_s))
        elif now_s - self._said_s >= PLAIN_EVERY_S:
            self._said_s = now_s
            say(self._line(now_s))

    def _note(self, rows: int) -> None:
        self._rows = rows

    def _line(self, now_s: float) -> str:
        speed = self._rows / max(now_s - self._began_s, 0.001)
        return f"planning: {counted(self._rows, 'row')} gone over, {speed:,.0f} a second"


def plan_fields(prepared: Prepared, *, is_trial: bool, made_up_rows: int = 0) -> dict[str, Any]:
    """A plan as programs get it.

    Args:
        prepared: The plan.
        is_trial: Whether the file with the rejected rows will be gone.
        made_up_rows: Rows that a real run would reject, since a trial made up what they lack.
    """
    plan = prepared.plan
    fields: dict[str, Any] = msgspec.to_builtins(plan, str_keys=True)
    file = None if is_trial or prepared.rejected is None else encodable(str(prepared.rejected))
    return {
        **fields,
        "duplicates": plan.duplicates,
        "already_sent": plan.already_sent,
        "made_up_rows": made_up_rows,
        "rejected_file": file,
        "so_far": msgspec.to_builtins(prepared.status.rows),
        "news": prepared.news,
    }
