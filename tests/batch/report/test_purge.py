"""Forgetting: old receipts, or a ledger of which nothing is left to be done."""

from __future__ import annotations

import time
from contextlib import closing

import pytest

from chartsend.batch.facts import STARTED
from chartsend.batch.manifest.reading import Manifest
from chartsend.batch.purging import forget_receipts, remove_ledger
from chartsend.batch.sqlite import SqliteLedger, ledgers_of_this_user, listed_ledgers
from chartsend.batch.verify import verify
from chartsend.errors import LedgerError, LedgerLockedError

from .conftest import receipt

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def settled(made):
    """Three rows: accepted 61 days ago, accepted 59 days ago, failed now."""
    now_ms = time.time_ns() // 1_000_000
    await made.add(3).plan()
    return await made.settle(
        receipt(1, at_ms=now_ms - 61 * DAY_MS),
        receipt(2, at_ms=now_ms - 59 * DAY_MS),
        receipt(3, "failed", at_ms=now_ms),
    )


def known(made) -> list[bool]:
    """Of each receipt in order, whether it still says something."""
    with closing(made.reader()) as reader:
        return [one is not None for _, one in reader.receipts()]


async def test_receipts_of_more_than_60_days_ago_are_emptied_and_the_chain_stays_proved(settled):
    assert await forget_receipts(settled.ledger) == 1

    assert known(settled) == [False, True, True]
    with Manifest.open(settled.manifest) as manifest:
        assert verify(settled.ledger, manifest).is_clean


async def test_nothing_of_what_a_purged_receipt_said_is_left_in_the_files(settled):
    await forget_receipts(settled.ledger, older_than_s=0)

    for file in settled.ledger.iterdir():
        assert b"log-1" not in file.read_bytes(), file.name


@pytest.mark.parametrize(
    ("age", "left"), [("60d", 2), ("0d", 0), ("62d", 3), ("1440h", 2), ("1h", 1), ("58 d", 1)]
)
async def test_the_command_takes_an_age(settled, command, age, left):
    done = command("batch", "purge", settled.manifest, "--older-than", age)

    assert done.code == 0
    emptied = "1 receipt was emptied" if left == 2 else f"{3 - left} receipts were emptied"
    assert emptied in done.err
    assert known(settled).count(True) == left


@pytest.mark.parametrize("age", ["60x", "-1d", "", "1d2h"])
async def test_what_is_no_age_is_refused(settled, command, age):
    assert command("batch", "purge", settled.manifest, "--older-than", age).code == 2
    assert known(settled) == [True] * 3


async def test_all_of_a_finished_batch_goes_and_its_manifest_stays(settled, command):
    done = command("batch", "purge", settled.manifest, "--all")

    assert done.code == 0
    assert not settled.ledger.exists()
    assert settled.manifest.exists()
    assert [each.name for each in settled.folder.iterdir() if "chartsend" in each.name] == []
    assert list(ledgers_of_this_user()) == []


async def test_a_batch_with_something_to_do_stays(mixed):
    with pytest.raises(LedgerError, match="rows pending: 2, in doubt: 1"):
        remove_ledger(mixed.ledger)

    assert mixed.states()["queued"] == 2


async def test_a_batch_with_nothing_but_rows_in_doubt_stays_too(made):
    await made.add(1).plan()
    await made.settle(receipt(1, "in_doubt"))

    with pytest.raises(LedgerError, match="rows pending: 0, in doubt: 1"):
        remove_ledger(made.ledger)

    assert made.states() == {"in_doubt": 1}


async def test_a_row_that_a_killed_run_left_unknown_is_in_doubt_for_purge_too(made):
    await made.add(2).plan()
    await made.settle(receipt(1))
    await made.leave_behind(2)

    with pytest.raises(LedgerError, match="rows pending: 0, in doubt: 1"):
        remove_ledger(made.ledger)


async def test_a_plan_from_which_nothing_was_sent_can_go(made):
    await made.add(2).plan()
    await made.plan()

    remove_ledger(made.ledger)

    assert not made.ledger.exists()
    assert list(listed_ledgers()) == [], "a removed one is not missed"


async def test_a_ledger_that_a_run_was_begun_with_stays_while_rows_are_pending(made):
    await made.add(2).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.note({STARTED: "1"})
    await ledger.aclose()

    with pytest.raises(LedgerError, match="rows pending: 2, in doubt: 0"):
        remove_ledger(made.ledger)


async def test_a_directory_that_holds_something_else_stays(settled):
    (settled.ledger / "notes.txt").write_text("mine")

    with pytest.raises(LedgerError, match=r"more than the ledger \(1 of other names\)"):
        remove_ledger(settled.ledger)

    assert sum(settled.states().values()) == 3


async def test_while_a_run_goes_on_nothing_is_forgotten(settled, holder, command):
    holder(settled.ledger)

    with pytest.raises(LedgerLockedError):
        await forget_receipts(settled.ledger, older_than_s=0)
    with pytest.raises(LedgerLockedError):
        remove_ledger(settled.ledger)
    assert command("batch", "purge", settled.manifest, "--all").code == 6
    assert known(settled) == [True] * 3


async def test_where_there_is_no_ledger_it_says_so(made, command):
    made.add(1).write()

    for arguments in ([], ["--all"]):
        done = command("batch", "purge", made.manifest, *arguments)
        assert done.code == 2
        assert "no ledger here yet" in done.err


async def test_all_and_an_age_contradict_each_other(settled, command):
    assert command("batch", "purge", settled.manifest, "--all", "--older-than", "1d").code == 2
    assert sum(settled.states().values()) == 3
