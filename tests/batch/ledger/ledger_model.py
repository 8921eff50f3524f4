"""What a ledger must do, as simply as it can be said: a dictionary, and no disk.

It is written from the port's words and shares no code with an implementation. A step that must be
refused raises `Refused` with the name of the error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chartsend.batch.row import PENDING, Claimed, Planned, Recovered, RowReceipt, State


class Refused(Exception):  # noqa: N818  # not an error: the model says no
    pass


@dataclass
class ModelRow:
    plan: Planned
    state: State
    owner: str | None = None
    is_begun: bool = False
    due_ms: int = 0
    attempts: int = 0
    first_tried_ms: int = 0
    tries: int = 0
    reference_url: str | None = None
    source_id: str | None = None
    uploaded_ms: int | None = None
    sha256: bytes | None = None
    message_ms: int | None = None
    message_hash: bytes | None = None
    maybe_duplicate: int = 0
    orphans: int = 0

    @property
    def is_fresh(self) -> bool:
        return self.state is State.QUEUED and not self.is_begun

    def is_replaceable(self, new: Planned) -> bool:
        if self.state is State.REJECTED:
            return True
        is_idle = self.owner is None and not self.maybe_duplicate
        states = {State.QUEUED, State.FAILED}
        if new.content != self.plan.content:
            states |= {State.UPLOADED, State.RETRY_AT}
        return self.state in states and is_idle

    def forget_work(self) -> None:
        fresh = ModelRow(self.plan, self.state)
        self.__dict__.update(fresh.__dict__)

    def claimed(self) -> Claimed:
        names = set(Claimed.__struct_fields__)
        plan = {name: getattr(self.plan, name) for name in names & set(Planned.__struct_fields__)}
        work = {name: value for name, value in vars(self).items() if name in names}
        return Claimed(**(plan | work))


@dataclass
class Model:
    rows: dict[int, ModelRow] = field(default_factory=dict)
    receipts: list[RowReceipt | None] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    orphans: int = 0
    maybe_duplicates: int = 0

    # -- planning -------------------------------------------------------------------------------

    def plan(self, rows: list[Planned], facts: dict[str, str | None]) -> None:
        for new in rows:
            old = self.rows.get(new.row)
            if old and not old.is_replaceable(new) and old.plan.content != new.content:
                raise Refused("lost_row")
        for new in rows:
            old = self.rows.get(new.row)
            if old and not old.is_replaceable(new):
                old.plan = replace_offset(old.plan, new.offset)
            else:
                if old and old.reference_url is not None:
                    self.orphans += 1
                state = State.QUEUED if new.error_code is None else State.REJECTED
                self.rows[new.row] = ModelRow(new, state)
        self.facts |= {name: value for name, value in facts.items() if value is not None}
        for name in [name for name, value in facts.items() if value is None]:
            self.facts.pop(name, None)

    def reject_duplicates(self) -> int:
        count = 0
        for identity in {row.plan.identity for row in self.rows.values()} - {bytes(16)}:
            same = [
                row
                for _, row in sorted(self.rows.items())
                if row.plan.identity == identity and row.state is not State.REJECTED
            ]
            worked_on = [row for row in same if not row.is_fresh]
            kept = (worked_on or same or [None])[0]
            for row in same:
                if row is not kept and row.is_fresh:
                    row.state = State.REJECTED
                    count += 1
        return count

    def plan_again(self, states: frozenset[State]) -> int:
        gone = [
            number
            for number, row in self.rows.items()
            if row.state in states and not row.maybe_duplicate
        ]
        for number in gone:
            del self.rows[number]
        return len(gone)

    # -- claims ---------------------------------------------------------------------------------

    def claim(self, owner: str, limit: int, now_ms: int) -> list[Claimed]:
        free = [(number, row) for number, row in sorted(self.rows.items()) if row.owner is None]
        begun = [
            (row.due_ms, number)
            for number, row in free
            if (row.state in {State.QUEUED, State.UPLOADED} and row.is_begun)
            or (row.state is State.RETRY_AT and row.due_ms <= now_ms)
        ]
        fresh = [number for number, row in free if row.is_fresh]
        numbers = ([number for _, number in sorted(begun)] + fresh)[:limit]
        for number in numbers:
            row = self.rows[number]
            row.owner, row.is_begun, row.due_ms = owner, True, 0
            row.first_tried_ms = row.first_tried_ms or now_ms
            row.state = State.QUEUED if row.reference_url is None else State.UPLOADED
        return [self.rows[number].claimed() for number in numbers]

    def next_try_ms(self) -> int | None:
        return min(
            (row.due_ms for row in self.rows.values() if row.state is State.RETRY_AT), default=None
        )

    def take_over(self, owner: str, now_ms: int) -> Recovered:
        released = orphans = in_doubt = 0
        for number, row in sorted(self.rows.items()):
            if row.owner in {None, owner}:
                continue
            if row.state is State.REFERENCING:
                in_doubt += 1
                self._end(self.receipt_of(number, "in_doubt", now_ms))
            elif row.state is State.UPLOADING:
                orphans += 1
                self._orphan(row)
                self._rest(row)
            else:
                released += 1
                self._rest(row)
        return Recovered(released=released, orphans=orphans, in_doubt=in_doubt)

    # -- steps ----------------------------------------------------------------------------------

    def uploading(self, number: int, owner: str, attempts: int) -> None:
        row = self._owned(number, owner)
        if row.state is State.UPLOADING or row.reference_url is not None:
            self._orphan(row)
        row.state, row.attempts = State.UPLOADING, attempts
        row.reference_url = row.source_id = row.uploaded_ms = None

    def uploaded(self, number: int, owner: str, url: str, sha256: bytes | None, now_ms: int) -> None:
        row = self._owned(number, owner, {State.UPLOADING})
        self._same_file(row, sha256)
        row.state, row.reference_url, row.source_id = State.UPLOADED, url, "src"
        row.uploaded_ms, row.sha256 = now_ms, sha256 or row.sha256

    def referencing(
        self,
        number: int,
        owner: str,
        attempts: int,
        sha256: bytes | None,
        message: bytes,
        now_ms: int,
        *,
        embeds: bool = False,
    ) -> None:
        row = self._owned(number, owner)
        self._same_file(row, sha256)
        if row.maybe_duplicate and row.message_hash not in {None, message}:
            raise Refused("source_changed")
        if embeds and row.reference_url:
            self._orphan(row)
            row.reference_url = row.source_id = row.uploaded_ms = row.sha256 = None
        row.state, row.attempts, row.sha256 = State.REFERENCING, attempts, sha256 or row.sha256
        row.message_hash, row.message_ms = message, now_ms

    def settle(self, receipt: RowReceipt, owner: str) -> None:
        row = self._owned(receipt.row, owner)
        if receipt.status == "failed" and row.reference_url and not row.maybe_duplicate:
            self._orphan(row)
        self.orphans += receipt.orphans
        self._end(
            change(
                receipt,
                orphans=receipt.orphans + row.orphans,
                maybe_duplicate=max(receipt.maybe_duplicate, row.maybe_duplicate),
            )
        )

    def retry_at(self, number: int, owner: str, due_ms: int, attempts: int) -> None:
        row = self._owned(number, owner)
        if row.state is State.UPLOADING:
            self._orphan(row)
        row.state, row.owner, row.due_ms, row.attempts = State.RETRY_AT, None, due_ms, attempts
        row.tries += 1

    def release(self, number: int, owner: str, attempts: int) -> None:
        row = self._owned(number, owner)
        if row.state is State.UPLOADING:
            self._orphan(row)
        row.attempts = attempts
        self._rest(row)

    def send_again(self, number: int, owner: str | None, now_ms: int) -> Claimed | None:
        row = self.rows.get(number)
        is_doubtful = row and (
            row.state is State.IN_DOUBT or (row.state is State.FAILED and row.maybe_duplicate)
        )
        if not is_doubtful:
            raise Refused("lost_row")
        row.maybe_duplicate += 1
        self.maybe_duplicates += 1
        row.first_tried_ms = row.first_tried_ms or now_ms
        self._rest(row)
        row.owner = owner
        return None if owner is None else row.claimed()

    def sent(self, number: int, decided_by: str, now_ms: int) -> None:
        row = self.rows.get(number)
        if row is None or row.state is not State.IN_DOUBT:
            raise Refused("lost_row")
        self._end(change(self.receipt_of(number, "accepted", now_ms), decided_by=decided_by))

    def purge(self, before_ms: int) -> int:
        count = 0
        undecided = PENDING | {State.IN_DOUBT}
        kept = {number for number, row in self.rows.items() if row.state in undecided}
        for place, receipt in enumerate(self.receipts):
            if receipt is not None and receipt.at_ms < before_ms and receipt.row not in kept:
                self.receipts[place] = None
                count += 1
        return count

    # -- inside ---------------------------------------------------------------------------------

    def _owned(self, number: int, owner: str, states: set[State] | None = None) -> ModelRow:
        row = self.rows.get(number)
        if row is None or row.owner != owner or row.state not in (states or PENDING):
            raise Refused("lost_row")
        return row

    def _same_file(self, row: ModelRow, sha256: bytes | None) -> None:
        if row.maybe_duplicate and sha256 and row.sha256 and sha256 != row.sha256:
            raise Refused("source_changed")

    def _orphan(self, row: ModelRow) -> None:
        row.orphans += 1
        self.orphans += 1

    def _rest(self, row: ModelRow) -> None:
        row.state = State.QUEUED if row.reference_url is None else State.UPLOADED
        row.owner, row.due_ms, row.is_begun = None, 0, True

    def _end(self, receipt: RowReceipt) -> None:
        row = self.rows[receipt.row]
        self.receipts.append(receipt)
        row.state = {"accepted": State.DONE, "failed": State.FAILED, "in_doubt": State.IN_DOUBT}[
            receipt.status
        ]
        row.owner, row.due_ms = None, 0
        row.orphans, row.attempts = receipt.orphans, receipt.attempts
        if row.state is State.DONE or (row.state is State.FAILED and not row.maybe_duplicate):
            row.forget_work()

    def receipt_of(self, number: int, status: str, now_ms: int) -> RowReceipt:
        row = self.rows[number]
        doubt = {
            "error_code": "outcome_unknown",
            "error": "the run ended before the answer to a whole message was known",
        }
        return RowReceipt(
            row=number,
            status=status,
            at_ms=now_ms,
            route=row.plan.route,
            size_bytes=row.plan.size_bytes,
            attempts=row.attempts,
            sha256=row.sha256,
            reference_url=row.reference_url,
            maybe_duplicate=row.maybe_duplicate,
            orphans=row.orphans,
            **(doubt if status == "in_doubt" else {}),
        )


def change(receipt: RowReceipt, **fields) -> RowReceipt:
    """A receipt with other fields."""
    return RowReceipt(
        **({name: getattr(receipt, name) for name in RowReceipt.__struct_fields__} | fields)
    )


def replace_offset(plan: Planned, offset: int) -> Planned:
    """A plan that stands elsewhere."""
    return Planned(
        **({name: getattr(plan, name) for name in Planned.__struct_fields__} | {"offset": offset})
    )
