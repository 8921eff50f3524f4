"""Rows in doubt, decided: each once, by whom it says, and never while a run goes on."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from chartsend.batch.listing import Listed
from chartsend.batch.resolve import Resolver
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.batch.status import read_status
from chartsend.cli.batch.resolving import lines_of
from chartsend.errors import ConfigError

from .conftest import AT_MS, OWNER, receipt


@pytest.fixture
async def doubtful(made):
    """Five rows: accepted, then three in doubt, then pending."""
    await made.add(5).plan()
    unknown = {"error_code": "outcome_unknown", "error": "the connection was lost"}
    return await made.settle(
        receipt(1), *(receipt(row, "in_doubt", trace_id=f"t-{row}", **unknown) for row in (2, 3, 4))
    )


@pytest.fixture
async def resolver(doubtful):
    """A function: rows to a resolver of them; the ledger is closed at the end."""
    ledger = await SqliteLedger.open(doubtful.ledger, create=False)
    with closing(doubtful.reader()) as reader:
        yield lambda rows=None: Resolver(ledger, reader, rows)
    await ledger.aclose()


def receipts(made) -> list:
    with closing(made.reader()) as reader:
        return [one for _, one in reader.receipts()]


async def test_rows_that_somebody_found_are_done_and_their_receipts_say_who_decided(doubtful, resolver):
    resolved = await resolver([2, 4]).mark_sent()

    assert (resolved.sent, resolved.queued, resolved.left) == (2, 0, {})
    assert doubtful.states() == {"done": 3, "in_doubt": 1, "queued": 1}
    assert [one.decided_by for one in receipts(doubtful)[4:]] == ["person", "person"]


async def test_all_rows_in_doubt_are_meant_without_numbers(doubtful, resolver):
    assert (await resolver().mark_sent()).sent == 3
    assert (await resolver().mark_sent()).sent == 0


async def test_rows_to_send_again_are_counted_as_possible_duplicates_first(doubtful, resolver):
    resolved = await resolver([3]).send_again()

    found = read_status(doubtful.ledger)
    assert resolved.queued == 1
    assert found.maybe_duplicates == 1
    assert found.rows.in_doubt == 2
    with closing(doubtful.reader()) as reader:
        row = next(row for row in reader.rows(State.QUEUED) if row.row == 3)
    assert row.maybe_duplicate == 1
    assert row.message_hash == b"h" * 16  # so that only the same message can become whole
    assert row.message_ms == 3000


@pytest.mark.parametrize("rows", [[1], [2, 5], [2, 99], [99]])
async def test_a_row_that_is_not_in_doubt_stops_it_before_anything_is_decided(doubtful, resolver, rows):
    with pytest.raises(ConfigError, match="not in doubt: row"):
        await resolver(rows).mark_sent()

    assert doubtful.states() == {"done": 1, "in_doubt": 3, "queued": 1}


async def test_many_rows_are_decided_side_by_side(made):
    made.add(1).write()
    made.rows = [made.rows[0] | {"document_id": f"D-{number}"} for number in range(300)]
    await made.plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    for claimed in await ledger.claim(OWNER, 300, 1000):
        await ledger.settle(receipt(claimed.row, "in_doubt"), OWNER)
    with closing(made.reader()) as reader:
        resolved = await Resolver(ledger, reader).mark_sent()
    await ledger.aclose()

    assert resolved.sent == 300
    assert made.states() == {"done": 300}


async def test_what_a_killed_run_left_unknown_is_in_doubt_first(made):
    await made.add(3).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.claim(OWNER, 3, 1000)
    await ledger.referencing(2, OWNER, attempts=1, sha256=None, message_hash=b"h", message_ms=1)
    await ledger.uploading(3, OWNER, attempts=1)
    with closing(made.reader()) as reader:
        resolver = Resolver(ledger, reader, [2])
        recovered = await resolver.recover()
        resolved = await resolver.mark_sent()
    await ledger.aclose()

    assert (recovered.in_doubt, recovered.orphans) == (1, 1)
    assert resolved.sent == 1
    assert made.states() == {"done": 1, "queued": 2}


# -- the command ---------------------------------


async def test_without_an_action_the_rows_are_listed_with_what_is_needed_to_look_them_up(
    doubtful, command
):
    done = command("batch", "resolve", doubtful.manifest)

    assert done.code == 3
    assert done.out.count("in doubt, sent at 1970-01-01T00:00:03+00:00") == 3
    for part in ("row 2", "D-2", "f2.pdf", "memorial-ehr", "t-2", "[outcome_unknown]"):
        assert part in done.out
    assert "D-1" not in done.out
    assert doubtful.states()["in_doubt"] == 3


async def test_as_json_it_is_a_line_a_row(doubtful, command):
    rows = command("batch", "resolve", doubtful.manifest, "--json").lines

    assert [(row["row"], row["document_id"]) for row in rows] == [(2, "D-2"), (3, "D-3"), (4, "D-4")]


async def test_when_no_row_is_in_doubt_it_says_so_and_ends_well(made, command):
    await made.add(1).plan()

    for arguments in ([], ["--all", "--sent"]):
        done = command("batch", "resolve", made.manifest, *arguments)
        assert done.code == 0
        assert "No row is in doubt" in done.err


async def test_rows_that_a_killed_run_left_are_listed_like_the_others(made, command):
    await made.add(2).plan()
    await made.leave_behind(1)

    done = command("batch", "resolve", made.manifest)
    (row,) = command("batch", "resolve", made.manifest, "--json").lines

    assert done.code == 3
    assert "row 1  in doubt, sent at 2026-" in done.out
    assert "the run ended before the answer to a whole message was known [outcome_unknown]" in done.out
    assert (row["state"], row["status"], row["step"]) == ("in_doubt", "in_doubt", "referencing")
    assert (row["sent_at"], row["settled_at"], row["decided_by"]) == (AT_MS / 1000, None, None)
    decided = command("batch", "resolve", made.manifest, "--row", 1, "--sent")
    assert decided.code == 0
    assert "1 row is done." in decided.err
    assert made.states() == {"done": 1, "queued": 1}


@pytest.mark.parametrize(("action", "state"), [("--sent", "done"), ("--resend", "queued")])
async def test_all_rows_are_not_decided_before_those_of_a_killed_run_were_listed(
    made, holder, command, action, state
):
    await made.add(3).plan()
    await made.settle(receipt(1, "in_doubt"))
    await made.leave_behind(2)
    run = holder(made.ledger)
    shown = command("batch", "resolve", made.manifest, "--json").lines
    run.kill()
    run.wait(30)

    first = command("batch", "resolve", made.manifest, "--all", action)

    assert [row["row"] for row in shown] == [1]
    assert first.code == 3
    assert first.out.count("in doubt, ") == 2
    assert "nothing was decided" in first.err
    assert made.states() == {"in_doubt": 2, "queued": 1}
    second = command("batch", "resolve", made.manifest, "--all", action)
    assert second.code == 0
    assert made.states().get("in_doubt") is None
    assert made.states()[state] >= 2


async def test_rows_of_a_run_that_goes_on_are_not_in_doubt(made, holder, command):
    await made.add(2).plan()
    await made.leave_behind(1)
    holder(made.ledger)

    done = command("batch", "resolve", made.manifest)

    assert done.code == 0
    assert "No row is in doubt" in done.err


async def test_after_a_take_over_a_row_shows_when_it_was_sent_not_when_it_was_found(made, command):
    await made.add(2).plan()
    await made.leave_behind(1)
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.take_over("another", AT_MS + 3_600_000)
    await ledger.aclose()

    (row,) = command("batch", "resolve", made.manifest, "--json").lines

    assert (row["sent_at"], row["settled_at"]) == (AT_MS / 1000, AT_MS / 1000 + 3600)
    assert row["decided_by"] is None


def test_a_row_whose_time_of_sending_is_not_known_says_when_it_was_found():
    row = Listed(row=1, state="in_doubt", step="in_doubt", settled_at=AT_MS / 1000)

    assert next(lines_of(row)).startswith("row 1  in doubt, found at 2026-")


async def test_decisions_of_the_command(doubtful, command):
    one = command("batch", "resolve", doubtful.manifest, "--row", 2, "--sent", "--json")
    assert one.code == 3  # two are left
    assert one.json["sent"] == 1
    again = command("batch", "resolve", doubtful.manifest, "--all", "--resend")
    assert again.code == 0
    assert "2 rows are queued" in again.err
    assert doubtful.states() == {"done": 2, "queued": 3}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--sent"],
        ["--row", "2"],
        ["--all"],
        ["--row", "2", "--all", "--sent"],
        ["--row", "0", "--sent"],
        ["--row", "x", "--sent"],
        ["--row", "2", "--sent", "--resend"],
        ["--row", "2", "--resend", "--sent"],
        ["--all", "--sent", "--verify"],
    ],
)
async def test_what_is_not_clear_is_a_usage_error_and_decides_nothing(doubtful, command, arguments):
    done = command("batch", "resolve", doubtful.manifest, *arguments)

    assert done.code == 2
    assert doubtful.states()["in_doubt"] == 3


async def test_while_a_run_goes_on_a_decision_is_refused_and_a_list_is_not(doubtful, holder, command):
    process = holder(doubtful.ledger)

    refused = command("batch", "resolve", doubtful.manifest, "--all", "--sent")
    listed = command("batch", "resolve", doubtful.manifest, "--json")

    assert refused.code == 6
    assert f"process {process.pid}" in refused.err
    assert len(listed.lines) == 3


async def test_without_a_profile_a_question_to_the_destination_says_which_is_needed(doubtful, command):
    done = command("batch", "resolve", doubtful.manifest, "--all", "--verify")

    assert done.code == 2
    assert "chartsend --profile NAME batch resolve" in done.err
    assert doubtful.states()["in_doubt"] == 3


async def test_names_stand_on_stdout_only(doubtful, command):
    for arguments in ([], ["--json"], ["--row", "2", "--sent"], ["--row", "1", "--sent"]):
        done = command("--log-level", "debug", "batch", "resolve", doubtful.manifest, *arguments)
        assert "D-2" not in done.err
        assert "f2.pdf" not in done.err
        assert "MRN" not in done.err + json.dumps(done.out)
