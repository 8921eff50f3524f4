"""What every ledger must do, whatever it is made of.

A test class of an implementation inherits from these and gives the fixture `store`: an object with
`await open(name="a")`, which gives a `Ledger`, and `read(name="a")`, which gives a `LedgerReader`. The
same name opened again, after the first was closed, is the same ledger.
"""

from __future__ import annotations

import anyio
import pytest
from ledger_made import (
    NO_IDENTITY,
    THEM,
    URL,
    US,
    bring_to,
    claim_row,
    identity_of,
    plan_rows,
    planned,
    receipt,
    refer,
    rejected,
    upload,
)

from chartsend.batch.row import Known, Recovered, RowReceipt, State
from chartsend.errors import LedgerError, LostRowError, SourceChangedError, Verdict

OWNED = [State.QUEUED, State.UPLOADING, State.UPLOADED, State.REFERENCING]
SETTLED = [State.DONE, State.FAILED, State.IN_DOUBT]


def state_of(reader, row: int) -> State:
    (one,) = [one for one in reader.rows(after=row - 1) if one.row == row]
    return one.state


def counted(reader) -> dict[State, int]:
    return {state: count for state, count in reader.counts().items() if count}


async def owned_in(ledger, state: State) -> None:
    """Row 1, ours, in a state."""
    await plan_rows(ledger, 1)
    if state is State.QUEUED:
        await claim_row(ledger, 1)
    else:
        await bring_to(ledger, 1, state)


class PlanningContract:
    async def test_a_planned_row_is_known_and_can_be_claimed(self, store):
        ledger = await store.open()
        await ledger.plan([planned(7), planned(9)], {})
        assert await ledger.known(1, 8) == {7: Known(State.QUEUED, planned(7).content, 2100)}
        (first, second) = await ledger.claim(US, 10, 1000)
        assert (first.row, second.row) == (7, 9)
        for name in ("offset", "identity", "content", "size_bytes", "mtime_ns", "route"):
            assert getattr(first, name) == getattr(planned(7), name)
        assert first.state is State.QUEUED
        assert first.first_tried_ms == 1000

    async def test_a_rejected_row_has_a_reason_and_is_never_claimed(self, store):
        ledger = await store.open()
        await ledger.plan([rejected(1), planned(2), rejected(3, error_code="path_escape")], {})
        assert [one.row for one in await ledger.claim(US, 10, 0)] == [2]
        reader = store.read()
        assert list(reader.rejects()) == [
            (1, "row_rejected", "row 1: the field `type` is missing"),
            (3, "path_escape", "row 3: the field `type` is missing"),
        ]
        assert [row for row, _, _ in reader.rejects(after=1)] == [3]
        assert reader.rejects_by_code() == {"row_rejected": 1, "path_escape": 1}
        assert counted(reader) == {State.QUEUED: 1, State.REJECTED: 2}

    async def test_facts_come_with_the_rows_and_none_removes_one(self, store):
        ledger = await store.open()
        await ledger.plan([planned(1)], {"position": "300", "to": "memorial-ehr"})
        await ledger.note({"position": None, "ramp": "on"})
        assert store.read().facts() == {"to": "memorial-ehr", "ramp": "on"}

    async def test_planning_again_changes_what_was_never_sent(self, store):
        ledger = await store.open()
        await ledger.plan([planned(1), rejected(2), planned(3)], {})
        await ledger.plan(
            [rejected(1), planned(2, content=b"fresh..."), planned(3, offset=5, size_bytes=6)], {}
        )
        reader = store.read()
        assert [(one.row, one.state) for one in reader.rows()] == [
            (1, State.REJECTED),
            (2, State.QUEUED),
            (3, State.QUEUED),
        ]
        assert [row for row, _, _ in reader.rejects()] == [1]
        assert [one.row for one in await ledger.claim(US, 10, 0)] == [2, 3]

    @pytest.mark.parametrize("state", [*OWNED[1:], State.DONE, State.IN_DOUBT])
    async def test_a_row_that_was_sent_keeps_its_content_and_may_move(self, store, state):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, state)
        await ledger.plan([planned(1, offset=77)], {"position": "1"})
        assert (await ledger.known(1, 1))[1] == Known(state, planned(1).content, 77)
        with pytest.raises(LostRowError, match="row 1"):
            await ledger.plan([planned(1, content=b"another."), planned(2)], {"position": "2"})
        assert await ledger.known(2, 2) == {}
        assert store.read().facts() == {"position": "1"}

    @pytest.mark.parametrize("state", [State.RETRY_AT, State.UPLOADED])
    async def test_a_row_that_was_provably_not_applied_can_be_corrected(self, store, state):
        ledger = await store.open()
        await plan_rows(ledger, 2)
        await claim_row(ledger, 1)
        await upload(ledger, 1)
        if state is State.RETRY_AT:
            await ledger.retry_at(1, US, next_try_ms=9000, attempts=1, error_code="stall_timeout")
        else:
            await ledger.release(1, US, attempts=1)
        await ledger.plan([planned(1, offset=5)], {})
        assert (await ledger.known(1, 1))[1].state is state
        assert store.read().totals()["orphans"] == 0

        await ledger.plan([planned(1, content=b"mended..")], {})

        assert (await ledger.known(1, 1))[1].state is State.QUEUED
        assert store.read().totals()["orphans"] == 1
        first, second = await ledger.claim(THEM, 5, 0)
        assert (first.row, first.content, second.row) == (1, b"mended..", 2)
        assert (first.reference_url, first.attempts, first.tries) == (None, 0, 0)
        assert store.read().verify() == []

    async def test_a_possible_duplicate_that_waits_keeps_its_content(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.IN_DOUBT)
        await ledger.send_again(1, None, now_ms=1)
        with pytest.raises(LostRowError):
            await ledger.plan([planned(1, content=b"another.")], {})

    async def test_a_claimed_row_keeps_its_content(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await claim_row(ledger, 1)
        with pytest.raises(LostRowError):
            await ledger.plan([planned(1, content=b"another.")], {})

    async def test_a_failed_row_can_be_planned_again(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 2)
        await bring_to(ledger, 1, State.FAILED)
        await ledger.plan([planned(1, content=b"mended..")], {})
        assert (await claim_row(ledger, 1)).content == b"mended.."
        assert [status.status for _, status in store.read().receipts()] == ["failed"]

    async def test_unplanned_rows_are_gone_until_they_are_planned(self, store):
        ledger = await store.open()
        await ledger.plan([planned(1), planned(2), rejected(3)], {})
        await bring_to(ledger, 1, State.FAILED)
        await bring_to(ledger, 2, State.DONE)
        assert await ledger.plan_again(frozenset({State.REJECTED})) == 1
        assert await ledger.plan_again(frozenset({State.FAILED, State.REJECTED})) == 1
        assert list(await ledger.known(1, 3)) == [2]
        assert counted(store.read()) == {State.DONE: 1}
        await ledger.plan([planned(1), planned(3)], {})
        assert [one.row for one in await ledger.claim(US, 10, 0)] == [1, 3]
        assert store.read().verify() == []

    async def test_only_failed_and_rejected_rows_can_be_unplanned(self, store):
        ledger = await store.open()
        with pytest.raises(ValueError, match="failed and rejected"):
            await ledger.plan_again(frozenset({State.DONE}))

    async def test_a_row_planned_twice_at_once_is_a_mistake(self, store):
        ledger = await store.open()
        with pytest.raises(ValueError, match="twice"):
            await ledger.plan([planned(1), planned(1)], {})

    async def test_the_first_of_rows_with_one_identity_is_kept(self, store):
        ledger = await store.open()
        await ledger.plan([planned(row, identity=identity_of(row % 3)) for row in range(1, 8)], {})
        # Rows 3 and 6 have the identity of zeros, which says nothing.
        assert await ledger.reject_duplicates() == 3
        assert await ledger.reject_duplicates() == 0
        assert [one.row for one in await ledger.claim(US, 10, 0)] == [1, 2, 3, 6]
        assert [row for row, code, _ in store.read().rejects() if code == "duplicate_id"] == [4, 5, 7]

    async def test_a_later_row_that_was_sent_makes_an_earlier_one_its_duplicate(self, store):
        ledger = await store.open()
        await ledger.plan([rejected(1), planned(2)], {})
        await ledger.reject_duplicates()
        await bring_to(ledger, 2, State.DONE)
        await ledger.plan([planned(1, identity=identity_of(2))], {})
        assert await ledger.reject_duplicates() == 1
        assert await ledger.claim(US, 10, 0) == []

    async def test_duplicates_among_rows_that_came_later_are_found(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 3)
        await ledger.plan([planned(4, identity=identity_of(2)), planned(5)], {})
        assert await ledger.reject_duplicates() == 1
        assert [one.row for one in await ledger.claim(US, 10, 0)] == [1, 2, 3, 5]

    @pytest.mark.parametrize("state", [*OWNED, State.RETRY_AT, *SETTLED])
    async def test_what_an_earlier_ledger_may_have_sent_is_not_sent_again(self, store, state):
        earlier = await store.open("earlier")
        await plan_rows(earlier, 1)
        await bring_to(earlier, 1, state)
        ledger = await store.open()
        await ledger.plan([planned(1), planned(2), planned(3, identity=NO_IDENTITY)], {})
        await ledger.reject_duplicates()
        was_sent = state in {State.REFERENCING, State.DONE, State.IN_DOUBT}
        assert await ledger.reject_already_sent(store.where("earlier")) == int(was_sent)
        assert [one.row for one in await ledger.claim(US, 9, 0)] == ([2, 3] if was_sent else [1, 2, 3])
        assert store.read().rejects_by_code() == ({"already_sent": 1} if was_sent else {})

    @pytest.mark.parametrize("state", [State.QUEUED, State.RETRY_AT, State.UPLOADED])
    async def test_a_row_that_waits_for_another_try_is_rejected_when_another_ledger_sent_it(
        self, store, state
    ):
        earlier = await store.open("earlier")
        await plan_rows(earlier, 1)
        await bring_to(earlier, 1, State.DONE)
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, state)
        where = store.where("earlier")
        if state is not State.RETRY_AT:
            owned = 0 if state is State.QUEUED else await ledger.reject_already_sent(where)
            assert owned == 0, "somebody has it"
            if state is State.QUEUED:
                await claim_row(ledger, 1)
            await ledger.release(1, US, attempts=1)

        assert await ledger.reject_already_sent(where) == 1

        reader = store.read()
        assert counted(reader) == {State.REJECTED: 1}
        assert reader.totals()["orphans"] == int(state is State.UPLOADED)
        assert reader.verify() == []
        assert await ledger.claim(THEM, 9, 10**15) == []

    async def test_a_possible_duplicate_stays_listed_whatever_another_ledger_sent(self, store):
        earlier = await store.open("earlier")
        await plan_rows(earlier, 1)
        await bring_to(earlier, 1, State.DONE)
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.IN_DOUBT)
        await ledger.send_again(1, None, now_ms=1)
        assert await ledger.reject_already_sent(store.where("earlier")) == 0

    async def test_whether_another_ledger_may_have_sent_more_is_told_at_once(self, store):
        ledger, where = await store.open(), store.where("earlier")
        assert await ledger.sent_so_far(store.where()) is None
        earlier = await store.open("earlier")
        await plan_rows(earlier, 1)
        await claim_row(earlier, 1)
        before = await ledger.sent_so_far(where)
        assert before is not None
        assert await ledger.sent_so_far(where) == before
        await refer(earlier, 1)  # nothing but the intent: a receipt may never come
        after = await ledger.sent_so_far(where)
        assert after != before
        await earlier.settle(receipt(1), US)
        assert await ledger.sent_so_far(where) != after

    @pytest.mark.parametrize(
        ("state", "is_sent"),
        [(State.QUEUED, False), (State.UPLOADED, False), (State.IN_DOUBT, True), (State.DONE, True)],
    )
    async def test_one_document_is_asked_about_in_another_ledger(self, store, state, is_sent):
        ledger, where = await store.open(), store.where("earlier")
        earlier = await store.open("earlier")
        await plan_rows(earlier, 2)
        await bring_to(earlier, 1, state)
        assert await ledger.is_sent_by(where, planned(1).identity) is is_sent
        assert not await ledger.is_sent_by(where, planned(2).identity)
        assert not await earlier.is_sent_by(where, planned(1).identity), "it says nothing of itself"

    async def test_a_ledger_does_not_reject_what_it_sent_itself(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.DONE)
        await ledger.plan([planned(2)], {})
        assert await ledger.reject_already_sent(store.where()) == 0

    async def test_keyed_tells_lists_of_parts_apart(self, store):
        ledger = await store.open()
        lists = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc"), ()]
        hashes = {ledger.keyed(*parts, size_bytes=16) for parts in lists}
        assert len(hashes) == len(lists)
        assert all(len(one) == 16 for one in hashes)
        assert ledger.keyed(b"ab", b"c", size_bytes=16) in hashes
        assert store.read().keyed(b"ab", b"c", size_bytes=16) in hashes


class RunningContract:
    async def test_an_upload_and_its_message_leave_what_the_next_attempt_needs(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await claim_row(ledger, 1, now_ms=1000)
        await upload(ledger, 1)
        assert state_of(store.read(), 1) is State.UPLOADED
        await refer(ledger, 1)
        await ledger.retry_at(1, US, next_try_ms=5000, attempts=3, error_code="server_unavailable")
        assert await ledger.next_try_ms() == 5000
        assert await ledger.claim(US, 1, 4999) == []
        (claimed,) = await ledger.claim(THEM, 1, 5000)
        assert await ledger.next_try_ms() is None
        assert (claimed.state, claimed.tries, claimed.attempts) == (State.UPLOADED, 1, 3)
        assert (claimed.reference_url, claimed.source_id, claimed.uploaded_ms) == (URL, "src-1", 2000)
        assert (claimed.sha256, claimed.message_ms, claimed.message_hash) == (
            b"f" * 32,
            3000,
            b"h" * 32,
        )
        assert claimed.first_tried_ms == 1000

    @pytest.mark.parametrize("state", OWNED)
    @pytest.mark.parametrize("status", ["accepted", "failed", "in_doubt"])
    async def test_a_row_is_settled_from_every_state_its_owner_has(self, store, state, status):
        ledger = await store.open()
        await owned_in(ledger, state)
        await ledger.settle(receipt(1, status), US)
        reader = store.read()
        expected = {"accepted": State.DONE, "failed": State.FAILED, "in_doubt": State.IN_DOUBT}[status]
        assert counted(reader) == {expected: 1}
        orphans = int(status == "failed" and state is State.UPLOADED)  # nothing will refer to its file
        said = receipt(1, status, orphans=orphans)
        assert [one for _, one in reader.receipts()] == [said]
        assert [(one.row, last) for one, last in reader.settled()] == [(1, said)]
        assert reader.totals()["orphans"] == orphans
        with pytest.raises(LostRowError):
            await ledger.settle(receipt(1), US)
        assert await ledger.claim(US, 10, 10**15) == []
        assert reader.verify() == []

    @pytest.mark.parametrize("state", [*OWNED, State.RETRY_AT, *SETTLED])
    async def test_whoever_has_not_got_a_row_cannot_change_it(self, store, state):
        ledger = await store.open()
        await plan_rows(ledger, 2)
        if state is State.QUEUED:
            await claim_row(ledger, 1)
        else:
            await bring_to(ledger, 1, state)
        before = list(store.read().rows())
        for row, owner in ((1, THEM), (2, US), (3, US)):
            for step in (
                ledger.uploading(row, owner, attempts=1),
                ledger.uploaded(row, owner, reference_url=URL, source_id=None, sha256=None, now_ms=1),
                refer(ledger, row, owner),
                ledger.settle(receipt(row), owner),
                ledger.retry_at(row, owner, next_try_ms=1, attempts=1, error_code="x"),
                ledger.release(row, owner, attempts=1),
            ):
                with pytest.raises(LostRowError, match=f"row {row}"):
                    await step
        assert list(store.read().rows()) == before
        assert store.read().verify() == []

    async def test_uploaded_needs_an_upload(self, store):
        ledger = await store.open()
        await owned_in(ledger, State.REFERENCING)
        with pytest.raises(LostRowError):
            await ledger.uploaded(1, US, reference_url=URL, source_id=None, sha256=None, now_ms=1)

    @pytest.mark.parametrize(
        ("state", "orphans"),
        [(State.QUEUED, 0), (State.UPLOADING, 1), (State.UPLOADED, 1), (State.REFERENCING, 0)],
    )
    async def test_an_upload_that_is_not_used_is_an_orphan(self, store, state, orphans):
        ledger = await store.open()
        await owned_in(ledger, state)
        await ledger.uploading(1, US, attempts=2)
        (row,) = store.read().rows()
        assert (row.orphans, row.reference_url, row.attempts) == (orphans, None, 2)
        await ledger.settle(receipt(1, orphans=3), US)
        ((_, said),) = store.read().receipts()
        assert said.orphans == 3 + orphans
        assert store.read().totals()["orphans"] == 3 + orphans

    async def test_the_file_of_a_message_that_was_refused_is_an_orphan(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.UPLOADED)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, "failed"), US)
        assert store.read().totals()["orphans"] == 1

    async def test_the_upload_that_an_embedding_message_leaves_behind_is_an_orphan(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.UPLOADED)
        await refer(ledger, 1, embeds=True)
        (row,) = store.read().rows()
        assert (row.orphans, row.reference_url, row.uploaded_ms, row.sha256) == (1, None, None, None)
        await ledger.settle(receipt(1), US)
        assert store.read().totals()["orphans"] == 1

    async def test_the_file_of_a_row_that_may_be_in_the_chart_is_none(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.UPLOADED)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, status="in_doubt"), US)
        await ledger.send_again(1, US, now_ms=1)
        await ledger.settle(receipt(1, status="failed"), US)
        assert store.read().totals()["orphans"] == 0

    @pytest.mark.parametrize("state", OWNED)
    async def test_a_released_row_goes_on_where_it_was(self, store, state):
        ledger = await store.open()
        await plan_rows(ledger, 2)
        await (claim_row(ledger, 1) if state is State.QUEUED else bring_to(ledger, 1, state))
        await ledger.release(1, US, attempts=4)
        first, second = await ledger.claim(THEM, 5, 0)
        assert (first.row, second.row) == (1, 2)
        assert first.state is (State.UPLOADED if state is State.UPLOADED else State.QUEUED)
        assert (first.attempts, first.orphans) == (4, int(state is State.UPLOADING))

    async def test_claims_take_what_was_begun_first_and_then_go_by_number(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 9)
        for row in await ledger.claim(US, 5, 1000):
            if row.row == 4:
                await ledger.release(4, US, attempts=0)
            elif row.row != 5:
                due = {1: 3000, 2: 2000, 3: 9000}[row.row]
                await ledger.retry_at(row.row, US, next_try_ms=due, attempts=1, error_code="x")
        assert [one.row for one in await ledger.claim(THEM, 4, 3000)] == [4, 2, 1, 6]
        assert [one.row for one in await ledger.claim(THEM, 9, 3000)] == [7, 8, 9]
        assert [one.row for one in await ledger.claim(THEM, 9, 9000)] == [3]

    async def test_no_row_is_claimed_twice(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 40)
        claimed: list[int] = []

        async def take(owner: str) -> None:
            while rows := await ledger.claim(owner, 3, 0):
                claimed.extend(one.row for one in rows)

        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(take, f"owner-{number}")
        assert sorted(claimed) == list(range(1, 41))

    async def test_taking_over_follows_the_table(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 9)
        states = [*OWNED, State.RETRY_AT, *SETTLED]
        for row, state in enumerate(states, 1):
            if state is State.QUEUED:
                await claim_row(ledger, row, THEM)
            else:
                await bring_to(ledger, row, state, THEM)
        assert await ledger.take_over(US, 7777) == Recovered(released=2, orphans=1, in_doubt=1)
        assert await ledger.take_over(US, 8888) == Recovered()
        assert [one.state for one in store.read().rows()] == [
            State.QUEUED,
            State.QUEUED,
            State.UPLOADED,
            State.IN_DOUBT,
            State.RETRY_AT,
            *SETTLED,
            State.QUEUED,
        ]
        last = list(store.read().receipts())[-1][1]
        assert (last.row, last.status, last.at_ms) == (4, "in_doubt", 7777)
        assert last.error_code == "outcome_unknown"
        assert [one.row for one in await ledger.claim(US, 9, 0)] == [1, 2, 3, 9]
        assert store.read().verify() == []

    async def test_taking_over_leaves_our_own_rows_alone(self, store):
        ledger = await store.open()
        await owned_in(ledger, State.REFERENCING)
        assert await ledger.take_over(US, 1) == Recovered()
        await ledger.settle(receipt(1), US)

    async def test_a_row_in_doubt_is_sent_again_knowingly(self, store):
        ledger = await store.open()
        await owned_in(ledger, State.UPLOADED)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, "in_doubt"), US)
        again = await ledger.send_again(1, US, now_ms=5)
        assert (again.state, again.maybe_duplicate, again.reference_url) == (State.UPLOADED, 1, URL)
        assert (again.message_ms, again.message_hash) == (3000, b"h" * 32)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, "in_doubt"), US)
        assert await ledger.send_again(1, None, now_ms=6) is None
        claimed = await claim_row(ledger, 1, THEM)
        assert claimed.maybe_duplicate == 2
        await refer(ledger, 1, THEM)
        await ledger.settle(receipt(1), THEM)
        said = [one for _, one in store.read().receipts()]
        assert [(one.status, one.maybe_duplicate) for one in said] == [
            ("in_doubt", 0),
            ("in_doubt", 1),
            ("accepted", 2),
        ]
        assert store.read().totals()["maybe_duplicates"] == 2
        assert store.read().verify() == []

    @pytest.mark.parametrize("state", [*OWNED, State.RETRY_AT, State.DONE, State.FAILED])
    async def test_only_a_row_in_doubt_is_sent_again_or_found(self, store, state):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, state)
        with pytest.raises(LostRowError):
            await ledger.send_again(1, US, now_ms=5)
        with pytest.raises(LostRowError):
            await ledger.sent(1, decided_by="person", now_ms=5)

    @pytest.mark.parametrize(
        "change",
        [{"message_hash": b"i" * 32}, {"sha256": b"g" * 32}],
        ids=["the message", "the file"],
    )
    async def test_another_message_is_not_sent_in_the_place_of_one_in_doubt(self, store, change):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await claim_row(ledger, 1)
        await refer(ledger, 1, sha256=b"f" * 32)
        await ledger.settle(receipt(1, "in_doubt"), US)
        await ledger.send_again(1, US, now_ms=5)
        with pytest.raises(SourceChangedError, match="row 1") as caught:
            await refer(ledger, 1, **change)
        assert caught.value.verdict is Verdict.GIVE_UP
        assert state_of(store.read(), 1) is State.QUEUED
        await refer(ledger, 1, sha256=b"f" * 32)

    async def test_another_file_is_not_uploaded_in_the_place_of_one_in_doubt(self, store):
        ledger = await store.open()
        await owned_in(ledger, State.UPLOADED)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, "in_doubt"), US)
        await ledger.send_again(1, US, now_ms=5)
        with pytest.raises(SourceChangedError):
            await upload(ledger, 1, sha256=b"g" * 32)
        assert state_of(store.read(), 1) is State.UPLOADING
        await ledger.release(1, US, attempts=2)
        (again,) = await ledger.claim(US, 1, 0)
        assert again.sha256 == b"f" * 32

    async def test_a_changed_message_is_no_matter_before_one_was_in_doubt(self, store):
        ledger = await store.open()
        await owned_in(ledger, State.REFERENCING)
        await refer(ledger, 1, message_hash=b"i" * 32)

    @pytest.mark.parametrize("decided_by", ["person", "query"])
    async def test_a_row_in_doubt_can_be_found_at_the_receiver(self, store, decided_by):
        ledger = await store.open()
        await owned_in(ledger, State.UPLOADED)
        await refer(ledger, 1)
        await ledger.settle(receipt(1, "in_doubt"), US)
        await ledger.sent(1, decided_by=decided_by, now_ms=6)
        reader = store.read()
        assert counted(reader) == {State.DONE: 1}
        said = list(reader.receipts())[-1][1]
        assert said == RowReceipt(
            row=1,
            status="accepted",
            at_ms=6,
            route=1,
            size_bytes=1001,
            attempts=2,
            sha256=b"f" * 32,
            reference_url=URL,
            decided_by=decided_by,
        )

    async def test_a_row_that_failed_after_a_doubt_is_not_planned_anew(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1)
        await bring_to(ledger, 1, State.IN_DOUBT)
        await ledger.send_again(1, US, now_ms=5)
        await ledger.settle(receipt(1, "failed"), US)
        assert await ledger.plan_again(frozenset({State.FAILED})) == 0
        with pytest.raises(LostRowError):
            await ledger.plan([planned(1, content=b"another.")], {})
        assert (await ledger.send_again(1, US, now_ms=6)).maybe_duplicate == 2

    async def test_totals_add_up(self, store):
        ledger = await store.open()
        await ledger.count({"requests": 2, "status:503": 1})
        await ledger.count({"requests": 5})
        totals = store.read().totals()
        assert totals == {
            "requests": 7,
            "status:503": 1,
            "orphans": 0,
            "maybe_duplicates": 0,
            "receipts": 0,
        }
        with pytest.raises(ValueError, match="orphans"):
            await ledger.count({"orphans": 1})


class KeepingContract:
    async def test_everything_is_there_after_closing(self, store):
        ledger = await store.open()
        await ledger.plan([planned(row) for row in range(1, 6)] + [rejected(6)], {"to": "here"})
        await ledger.reject_duplicates()
        for row, state in enumerate((State.DONE, State.RETRY_AT, State.IN_DOUBT), 1):
            await bring_to(ledger, row, state)
        await ledger.count({"requests": 9})
        before = _all_of(store.read())
        await ledger.aclose()
        assert _all_of(store.read()) == before
        ledger = await store.open()
        assert _all_of(store.read()) == before
        assert [one.row for one in await ledger.claim(US, 9, 10_000)] == [2, 4, 5]
        assert store.read().verify() == []

    async def test_closed_it_takes_nothing_more_and_can_be_closed_again(self, store):
        ledger = await store.open()
        await ledger.aclose()
        await ledger.aclose()
        with pytest.raises(LedgerError, match="closed"):
            await ledger.note({"a": "b"})

    async def test_routes_are_counted_without_rejects(self, store):
        ledger = await store.open()
        await ledger.plan(
            [planned(1, route=2), planned(2, route=2), planned(3, route=0), rejected(4)], {}
        )
        assert store.read().by_route() == {0: (1, 1003), 2: (2, 2003)}

    async def test_rows_can_be_read_by_state_and_in_parts(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 1300)
        for row in await ledger.claim(US, 3, 0):
            await refer(ledger, row.row)
        await ledger.settle(receipt(1), US)
        await ledger.settle(receipt(2, "in_doubt"), US)
        reader = store.read()
        assert [one.row for one in reader.rows()] == list(range(1, 1301))
        assert [one.row for one in reader.rows(State.QUEUED, after=1290)] == list(range(1291, 1301))
        for state, row in ((State.DONE, 1), (State.IN_DOUBT, 2), (State.REFERENCING, 3)):
            assert [one.row for one in reader.rows(state)] == [row]
            assert [one.row for one, _ in reader.settled(state)] == [row]
        assert list(reader.rows(State.FAILED)) == []

    async def test_the_slowest_receipts_come_first(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 4)
        for row in await ledger.claim(US, 4, 0):
            await ledger.settle(receipt(row.row, milliseconds=[5, 900, 20, 900][row.row - 1]), US)
        assert [one.row for one in store.read().slowest(3)] == [2, 4, 3]

    async def test_purged_receipts_say_nothing_and_still_prove_the_chain(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 4)
        for row in await ledger.claim(US, 4, 0):
            await ledger.settle(receipt(row.row, at_ms=row.row * 10), US)
        assert await ledger.purge(30) == 2
        assert await ledger.purge(30) == 0
        reader = store.read()
        assert [(seq, said and said.row) for seq, said in reader.receipts()] == [
            (1, None),
            (2, None),
            (3, 3),
            (4, 4),
        ]
        assert [(one.row, said and said.row) for one, said in reader.settled()] == [
            (1, None),
            (2, None),
            (3, 3),
            (4, 4),
        ]
        assert [one.row for one in reader.slowest(9)] == [4, 3]
        assert counted(reader) == {State.DONE: 4}
        assert reader.verify() == []
        await ledger.aclose()
        ledger = await store.open()
        assert await ledger.purge(10**15) == 2
        assert store.read().verify() == []

    async def test_receipts_of_rows_that_somebody_must_decide_about_are_not_purged(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 3)
        for row in (1, 2, 3):
            await bring_to(ledger, row, State.IN_DOUBT)
        await ledger.send_again(2, None, now_ms=1)
        await ledger.sent(3, decided_by="person", now_ms=1)
        assert await ledger.purge(10**15) == 2
        reader = store.read()
        assert [(seq, said and said.row) for seq, said in reader.receipts()] == [
            (1, 1),
            (2, 2),
            (3, None),
            (4, None),
        ]
        assert reader.verify() == []

    async def test_the_head_of_the_chain_moves_with_every_receipt(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 2)
        reader = store.read()
        assert reader.head() == (0, bytes(32))
        for row in await ledger.claim(US, 2, 0):
            await ledger.settle(receipt(row.row), US)
            seq, link = reader.head()
            assert seq == row.row
            assert reader.link(seq) == link
        assert reader.link(0) == bytes(32)
        assert reader.link(3) is None
        assert reader.link(1) != reader.link(2)

    async def test_steps_of_many_tasks_are_all_kept(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 200)

        async def work() -> None:
            while rows := await ledger.claim(US, 1, 0):
                (row,) = rows
                await upload(ledger, row.row)
                await refer(ledger, row.row)
                await ledger.settle(receipt(row.row), US)
                await ledger.count({"requests": 2})

        async with anyio.create_task_group() as tasks:
            for _ in range(32):
                tasks.start_soon(work)
        reader = store.read()
        assert counted(reader) == {State.DONE: 200}
        assert (reader.totals()["requests"], reader.totals()["receipts"]) == (400, 200)
        assert sorted(said.row for _, said in reader.receipts()) == list(range(1, 201))
        assert reader.verify() == []

    async def test_a_refused_step_does_not_harm_those_beside_it(self, store):
        ledger = await store.open()
        await plan_rows(ledger, 20)
        rows = await ledger.claim(US, 20, 0)
        refused: list[int] = []

        async def settle(row: int) -> None:
            try:
                await ledger.settle(receipt(row), US if row % 2 else THEM)
            except LostRowError:
                refused.append(row)

        async with anyio.create_task_group() as tasks:
            for row in rows:
                tasks.start_soon(settle, row.row)
        assert sorted(refused) == list(range(2, 21, 2))
        assert counted(store.read()) == {State.QUEUED: 10, State.DONE: 10}
        assert store.read().verify() == []


class LedgerContract(PlanningContract, RunningContract, KeepingContract):
    """All of it."""


def _all_of(reader) -> list[object]:
    return [
        reader.facts(),
        reader.counts(),
        reader.totals(),
        list(reader.settled()),
        list(reader.receipts()),
        list(reader.rejects()),
    ]
