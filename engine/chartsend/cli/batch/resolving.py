"""What one call of `batch resolve` does, from its options to its exit code.

The one rule: a list is read without a lock, a decision is made with it; and what a killed run left is
listed before anybody decides about all rows.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Literal, NamedTuple

import anyio
import msgspec

from ...batch.listing import list_rows
from ...batch.naming import sender_of
from ...batch.resolve import Resolver
from ...batch.row import State
from ...batch.sqlite import SqliteLedger, SqliteReader
from ...batch.status import running_pid
from ...errors import ConfigError
from ..exits import ACCEPTED, IN_DOUBT
from ..progress import say
from ..show import printable
from ..words import counted, numbers, verb
from .writing import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...batch.listing import Listed
    from ...batch.resolve import Resolved
    from ..asked import Asked
    from .looking import Place

Action = Literal["sent", "resend", "verify"]


class Unseen(NamedTuple):
    """Why nothing was decided about all rows.

    Attributes:
        rows: How many a run was killed with, and that are in doubt since this moment.
    """

    rows: int

    @property
    def notice(self) -> str:
        """What to do now."""
        rows = f"{counted(self.rows, 'row')} {verb(self.rows, 'was', 'were')}"
        return (
            f"A run was killed while {rows} under way,"
            " and maybe nobody has looked since: nothing was decided. All rows in doubt are listed; give"
            " the same command again to decide about them, or name some with --row."
        )


class Resolving:
    """One call of `batch resolve`."""

    def __init__(self, asked: Asked, place: Place) -> None:
        self._asked = asked
        self._place = place

    def show(self, *, as_json: bool) -> int:
        """List the rows in doubt; give the exit code.

        Raises:
            LedgerError: There is no ledger, or it cannot be read.
        """
        place, count = self._place, 0
        is_running = running_pid(place.ledger) is not None
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(contextlib.closing(SqliteReader.open(place.ledger)))
            names = stack.enter_context(place.names(reader))
            out = stack.enter_context(Writer())
            for row in list_rows(reader, names, "in_doubt", is_running=is_running):
                count += 1
                if as_json:
                    out.write(msgspec.json.encode(row).decode())
                else:
                    for line in lines_of(row):
                        out.write(line)
        if not count:
            say("No row is in doubt.")
        return IN_DOUBT if count else ACCEPTED

    def decide(self, action: Action, rows: Sequence[int] | None, *, as_json: bool) -> int:
        """Decide; give the exit code.

        Raises:
            ConfigError: A row is not in doubt, or a setting is wrong; nothing was decided.
            LedgerLockedError: A run goes on.
            LedgerError: The ledger cannot be used.
            TransferError: The credentials were refused.
        """
        decided = anyio.run(self._decide, action, rows)
        if isinstance(decided, Unseen):
            say(decided.notice)
            return self.show(as_json=as_json)
        resolved, left = decided
        if as_json:
            with Writer() as out:
                out.write(msgspec.json.encode(resolved).decode())
        for line in _summary(resolved):
            say(line)
        return IN_DOUBT if left else ACCEPTED

    async def _decide(self, action: Action, rows: Sequence[int] | None) -> tuple[Resolved, int] | Unseen:
        place = self._place
        async with contextlib.AsyncExitStack() as stack:
            ledger = await SqliteLedger.open(place.ledger, create=False)
            stack.push_async_callback(ledger.aclose)
            reader = stack.enter_context(contextlib.closing(SqliteReader.open(place.ledger)))
            resolver = Resolver(ledger, reader, rows)
            cut_off = (await resolver.recover()).in_doubt
            if cut_off and rows is None and action != "verify":
                # If it was killed after somebody listed, these were not on that list.
                return Unseen(cut_off)
            if action == "sent":
                resolved = await resolver.mark_sent()
            elif action == "resend":
                resolved = await resolver.send_again()
            else:
                resolved = await self._ask(resolver, ledger, reader)
            return resolved, reader.counts().get(State.IN_DOUBT, 0)

    async def _ask(self, resolver: Resolver, ledger: SqliteLedger, reader: SqliteReader) -> Resolved:
        from ...batch.asking import Asker  # noqa: PLC0415
        from ...engine import Engine  # noqa: PLC0415

        settings = self._asked.load().settings
        if settings.environment is None:
            raise ConfigError(
                "--verify asks the destination, so it needs the profile that the batch was run with:"
                " chartsend --profile NAME batch resolve ..."
            )
        sender = sender_of(reader.facts())
        with self._place.open_manifest() as manifest:
            async with Engine(settings) as engine:
                asker = Asker(
                    engine,
                    settings,
                    manifest,
                    ledger,
                    to=None if sender is None else sender.to,
                )
                return await resolver.ask(asker)


def lines_of(row: Listed) -> Iterator[str]:
    """What is needed to look a row up at Redox."""
    parts = [f"row {row.row}", f"in doubt{_since(row)}"]
    if row.error is not None:
        parts.append(f"{printable(row.error)} [{row.error_code or 'none'}]")
    elif row.is_purged:
        parts.append("what its receipt said was purged")
    yield "  ".join(parts)
    facts = (
        ("document", row.document_id),
        ("file", row.source),
        ("destination", row.to),
        ("sent as", None if row.api is None else f"{row.api} {row.model}, {row.method}"),
        ("reference", row.reference_url),
        ("logs", " ".join(row.log_ids)),
        ("trace", row.trace_id),
        ("sent again", counted(row.maybe_duplicate, "time") if row.maybe_duplicate else None),
    )
    for name, value in facts:
        if value:
            yield f"  {name:<12}{printable(value)}"


def _since(row: Listed) -> str:
    """When it was sent, where the ledger knows it; else, when it was found to be in doubt."""
    if row.sent_at is not None:
        return f", sent at {_moment(row.sent_at)}"
    return "" if row.settled_at is None else f", found at {_moment(row.settled_at)}"


def _moment(unix_s: float) -> str:
    return dt.datetime.fromtimestamp(unix_s, dt.UTC).isoformat(timespec="seconds")


def _summary(resolved: Resolved) -> Iterator[str]:
    if resolved.sent:
        yield f"{counted(resolved.sent, 'row')} {verb(resolved.sent, 'is', 'are')} done."
    if resolved.queued:
        queued = resolved.queued
        yield (
            f"{counted(queued, 'row')} {verb(queued, 'is', 'are')} queued and listed as"
            f" {verb(queued, 'a possible duplicate', 'possible duplicates')}: `batch run` sends"
            f" {verb(queued, 'it', 'them')}."
        )
    for why, count in resolved.left.items():
        yield f"{counted(count, 'row')} {verb(count, 'stays', 'stay')} in doubt: {why}."
    if resolved.left_rows:
        left = sum(resolved.left.values())
        some = numbers(resolved.left_rows, shown=20, total=left)
        yield f"{verb(left, 'It is', 'They are')} {some}."
    if not resolved.sent and not resolved.queued and not resolved.left:
        yield "No row is in doubt."
