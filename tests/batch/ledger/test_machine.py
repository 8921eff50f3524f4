"""Random steps by two owners, crashes and reopenings in between: the ledger does what the model does."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from ledger_made import identity_of
from ledger_model import Model, ModelRow, Refused

from chartsend.batch.row import CLAIMABLE, Planned, RowReceipt, State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.errors import TransferError


class Whose(NamedTuple):
    """Of which row a step is asked, and by whom: mostly by its owner."""

    is_owned: bool
    nth: int
    row: int
    owner: str


class Draws(NamedTuple):
    """What a step says."""

    at_ms: int
    file: bytes | None
    message: bytes
    status: str


OFTEN = st.sampled_from([True] * 9 + [False])
ROWS = st.integers(1, 9)
OWNERS = st.sampled_from(["owner-1", "owner-2"])
TIMES = st.integers(1, 50)
STEPS = [
    "uploading",
    "uploaded",
    "referencing",
    "referencing",
    "settle",
    "settle",
    "retry_at",
    "release",
]
WHOSE = st.builds(Whose, OFTEN, st.integers(0, 9), ROWS, OWNERS)
DRAWS = st.builds(
    Draws,
    TIMES,
    st.sampled_from([None, b"f" * 32, b"f" * 32, b"g" * 32]),
    st.sampled_from([b"x" * 32, b"x" * 32, b"y" * 32]),
    st.sampled_from(["accepted", "failed", "in_doubt", "in_doubt"]),
)


@st.composite
def plans(draw) -> Planned:
    row = draw(ROWS)
    is_bad = draw(st.integers(0, 4)) == 0
    return Planned(
        row=row,
        offset=draw(st.integers(0, 2**40)),
        identity=bytes(16) if is_bad else identity_of(draw(st.integers(1, 12))),
        content=bytes([draw(st.integers(0, 1))]) * 8,
        size_bytes=draw(st.integers(0, 2**35)),
        mtime_ns=draw(st.integers(-1, 2**62)),
        route=-1 if is_bad else draw(st.integers(0, 9)),
        error_code="row_rejected" if is_bad else None,
        error="why" if is_bad else None,
    )


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="chartsend-machine-"))
        self.directory = self.folder / "0"
        self.lives = 0
        self.model = Model()
        self.monkeypatch = pytest.MonkeyPatch()
        self.monkeypatch.setenv("XDG_STATE_HOME", str(self.folder / "state"))
        self.ledger = self._open(create=True)
        self.reader = SqliteReader.open(self.directory)

    def _open(self, *, create: bool) -> SqliteLedger:
        return self.runner.run(SqliteLedger.open(self.directory, create=create))

    def _both(self, expected, step):
        """Make a step in both; they give the same, or refuse alike."""
        try:
            wanted = expected()
        except Refused as refused:
            wanted = str(refused)
        try:
            got = self.runner.run(step)
        except TransferError as error:
            got = error.code
        assert got == wanted

    @initialize(rows=st.lists(plans(), min_size=4, max_size=9, unique_by=lambda one: one.row))
    def begin(self, rows) -> None:
        self.plan(rows, "1")
        self.reject_duplicates()

    @rule(
        rows=st.lists(plans(), max_size=3, unique_by=lambda one: one.row),
        fact=st.sampled_from(["1", "2", None]),
    )
    def plan(self, rows, fact) -> None:
        facts = {"position": fact}
        self._both(lambda: self.model.plan(rows, facts), self.ledger.plan(rows, facts))

    @rule()
    def reject_duplicates(self) -> None:
        self._both(self.model.reject_duplicates, self.ledger.reject_duplicates())

    @precondition(lambda self: self._in({State.FAILED, State.REJECTED}))
    @rule(states=st.sampled_from([{State.FAILED}, {State.REJECTED}, {State.FAILED, State.REJECTED}]))
    def plan_again(self, states) -> None:
        chosen = frozenset(states)
        self._both(lambda: self.model.plan_again(chosen), self.ledger.plan_again(chosen))

    @precondition(lambda self: any(row.owner is None for row in self._in(CLAIMABLE)))
    @rule(owner=OWNERS, limit=st.integers(1, 4), now=TIMES)
    def claim(self, owner, limit, now) -> None:
        self._both(lambda: self.model.claim(owner, limit, now), self.ledger.claim(owner, limit, now))
        self._both(self.model.next_try_ms, self.ledger.next_try_ms())

    @precondition(lambda self: any(row.owner for row in self.model.rows.values()))
    @rule(owner=OWNERS, now=TIMES)
    def take_over(self, owner, now) -> None:
        self._both(lambda: self.model.take_over(owner, now), self.ledger.take_over(owner, now))
        # In which order the tables gave the rows is not promised.
        said = [one for _, one in self.reader.receipts()]
        assert sorted(map(repr, said)) == sorted(map(repr, self.model.receipts))
        self.model.receipts = said

    # Rules are drawn evenly: what happens to a claimed row is to happen most often.
    @rule(step=st.sampled_from(STEPS), whose=WHOSE, draws=DRAWS)
    def go_on(self, step, whose, draws) -> None:
        self._step(step, whose, draws)

    @rule(step=st.sampled_from(STEPS), whose=WHOSE, draws=DRAWS)
    def go_on_still(self, step, whose, draws) -> None:
        self._step(step, whose, draws)

    @rule(whose=WHOSE, draws=DRAWS)
    def send_whole(self, whose, draws) -> None:
        for step in ("uploading", "uploaded", "referencing", "settle"):
            self._step(step, whose, draws)

    def _step(self, step: str, whose: Whose, draws: Draws) -> None:
        owned = [(number, row.owner) for number, row in self.model.rows.items() if row.owner]
        row, owner = (
            owned[whose.nth % len(owned)] if owned and whose.is_owned else (whose.row, whose.owner)
        )
        at, file, message = draws.at_ms, draws.file, draws.message
        match step:
            case "uploading":
                expected = partial(self.model.uploading, row, owner, at)
                made = self.ledger.uploading(row, owner, attempts=at)
            case "uploaded":
                expected = partial(self.model.uploaded, row, owner, "https://x", file, at)
                made = self.ledger.uploaded(
                    row, owner, reference_url="https://x", source_id="src", sha256=file, now_ms=at
                )
            case "referencing":
                embeds = bool(at % 2)
                expected = partial(
                    self.model.referencing, row, owner, at, file, message, at, embeds=embeds
                )
                made = self.ledger.referencing(
                    row,
                    owner,
                    attempts=at,
                    sha256=file,
                    message_hash=message,
                    message_ms=at,
                    embeds=embeds,
                )
            case "settle":
                receipt = RowReceipt(
                    row=row, status=draws.status, at_ms=at, route=0, orphans=at % 3, attempts=3
                )
                expected = partial(self.model.settle, receipt, owner)
                made = self.ledger.settle(receipt, owner)
            case "retry_at":
                expected = partial(self.model.retry_at, row, owner, at, at)
                made = self.ledger.retry_at(row, owner, next_try_ms=at, attempts=at, error_code="stall")
            case _:
                expected = partial(self.model.release, row, owner, at)
                made = self.ledger.release(row, owner, attempts=at)
        self._both(expected, made)

    @precondition(lambda self: self._in({State.IN_DOUBT, State.FAILED}))
    @rule(nth=st.integers(0, 9), owner=st.one_of(st.none(), OWNERS), now=TIMES)
    def send_again(self, nth, owner, now) -> None:
        row = self._doubtful(nth)
        self._both(
            lambda: self.model.send_again(row, owner, now),
            self.ledger.send_again(row, owner, now_ms=now),
        )

    @precondition(lambda self: self._in({State.IN_DOUBT, State.FAILED}))
    @rule(nth=st.integers(0, 9), decided_by=st.sampled_from(["person", "query"]), now=TIMES)
    def sent(self, nth, decided_by, now) -> None:
        row = self._doubtful(nth)
        self._both(
            lambda: self.model.sent(row, decided_by, now),
            self.ledger.sent(row, decided_by=decided_by, now_ms=now),
        )

    @precondition(lambda self: any(self.model.receipts))
    @rule(before=TIMES)
    def purge(self, before) -> None:
        self._both(lambda: self.model.purge(before), self.ledger.purge(before))

    def _in(self, states) -> list[ModelRow]:
        return [row for row in self.model.rows.values() if row.state in states]

    def _doubtful(self, nth: int) -> int:
        """A row in doubt, or one that failed, or one that is not there."""
        states = {State.IN_DOUBT, State.FAILED}
        rows = [number for number, row in self.model.rows.items() if row.state in states]
        return [*rows, 99][nth % (len(rows) + 1)]

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.ledger.aclose())
        self.ledger = self._open(create=False)

    @precondition(lambda self: self.lives < 5)
    @rule(keeps_index=st.booleans())
    def crash(self, keeps_index) -> None:
        """Go on from the files as they lie there, as after a kill."""
        self.lives += 1
        before, self.directory = self.directory, self.folder / str(self.lives)
        shutil.copytree(before, self.directory)
        if not keeps_index:
            (self.directory / "ledger.db-shm").unlink(missing_ok=True)
        self.reader.close()
        self.runner.run(self.ledger.aclose())
        self.ledger = self._open(create=False)
        self.reader = SqliteReader.open(self.directory)

    @invariant()
    def agree(self) -> None:
        reader, model = self.reader, self.model
        rows = {number: row.claimed() for number, row in sorted(model.rows.items())}
        assert {one.row: one for one in reader.rows()} == rows
        assert [one for _, one in reader.receipts()] == model.receipts
        assert reader.facts() == model.facts
        counts = dict.fromkeys(State, 0)
        for row in rows.values():
            counts[row.state] += 1
        assert reader.counts() == counts
        totals = reader.totals()
        assert (totals["orphans"], totals["maybe_duplicates"]) == (
            model.orphans,
            model.maybe_duplicates,
        )
        assert reader.verify() == []

    def teardown(self) -> None:
        self.reader.close()
        self.runner.run(self.ledger.aclose())
        self.runner.close()
        self.monkeypatch.undo()
        shutil.rmtree(self.folder)


LedgerMachine.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestLedgerMachine = LedgerMachine.TestCase
