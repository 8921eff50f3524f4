"""What one call of `batch plan` does, from its options to its exit code.

The one rule: the plan is the answer, so it goes to stdout; everything on the way goes to stderr.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import anyio
import msgspec

from ...batch.batch import Batch
from ...errors import ConfigError
from ..exits import ACCEPTED, NO_SOURCE, SOME_FAILED
from ..progress import make_bar, say
from .opening import ready
from .plan_text import advice, figures, made_up_line, only_sent_already, rejected_lines, rendered
from .preparing import Preparing, plan_fields
from .trial import Lacking, lacking
from .watch import Watch, leave_if_stuck
from .writing import Writer

if TYPE_CHECKING:
    from ..asked import Asked
    from .opening import Ready
    from .options import Given
    from .preparing import Prepared


class Planning:
    """One call of `batch plan`."""

    def __init__(self, asked: Asked, given: Given) -> None:
        self._asked = asked
        self._given = given
        self._prepared: Prepared | None = None
        self._lacking = Lacking()

    def run(self) -> int:
        """Do it, and give the exit code.

        Raises:
            TransferError: No plan could be made.
        """
        if sys.stdout is None:
            raise ConfigError("stdout is closed; the plan needs it, if only to be thrown away")
        with ready(self._asked, self._given) as prepared_for:
            code = self._planned(prepared_for)
        leave_if_stuck(code)
        return code

    def _planned(self, given: Ready) -> int:
        if given.is_trial:
            self._lacking = lacking(given, self._given)
        bar = make_bar()
        preparing = Preparing(self._given, bar)

        async def work() -> None:
            async with Batch.open(
                given.manifest, given.settings, given.options, ledger=given.ledger, form=self._given.form
            ) as batch:
                self._prepared = await preparing.plan(batch)

        watch = Watch(preparing.tick)
        with bar or contextlib.nullcontext():
            anyio.run(watch.run, work)
        if self._prepared is None:
            say("Planning was stopped; the same command goes on where it was. Nothing was sent.")
            return watch.signal or SOME_FAILED
        self._show(self._prepared, given)
        return watch.signal or _code(self._prepared)

    def _show(self, prepared: Prepared, given: Ready) -> None:
        plan = prepared.plan
        with Writer() as out:
            if self._given.as_json:
                fields = plan_fields(prepared, is_trial=given.is_trial, made_up_rows=self._lacking.rows)
                out.write(msgspec.json.encode(fields).decode())
                return
            where = "" if prepared.rejected is None or given.is_trial else f"see {prepared.rejected}"
            shown = figures(plan, prepared.status.rows, where=where, lacking=self._lacking)
            out.write(rendered(shown), end="")
            for line in made_up_line(self._lacking):
                out.write(line)
            for line in rejected_lines(plan, prepared.first_rejected, is_trial=given.is_trial):
                out.write(line)
            for line in only_sent_already(sum(plan.rejected.values()), plan.already_sent):
                out.write(line)
            for line in advice(plan, given.settings, to=given.options.to):
                out.write(line)
            if not prepared.status.rows.done:
                out.write("Nothing was sent.")


def _code(prepared: Prepared) -> int:
    if not prepared.plan.rows:
        say("Nothing to do: the manifest has no rows.")
        return NO_SOURCE
    return SOME_FAILED if prepared.plan.rejected else ACCEPTED
