"""Proof: whatever was altered, removed, reordered, cut off or put back is told, by row number."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from contextlib import closing

import pytest

from chartsend.batch.manifest.reading import Manifest
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.batch.sqlite.records import Record, crc_of_record
from chartsend.batch.verify import Noted, Verified, verify
from chartsend.errors import LedgerLockedError

from .conftest import OWNER, receipt


def proved(made, **options) -> Verified:
    with Manifest.open(made.manifest) as manifest:
        return verify(made.ledger, manifest, **options)


@pytest.fixture
async def sent(made):
    """Five rows, all accepted."""
    await made.add(5).plan()
    return await made.settle(*(receipt(row) for row in range(1, 6)))


def alter(made, *statements) -> None:
    """Change the ledger behind its back."""
    with closing(sqlite3.connect(made.ledger / "ledger.db", isolation_level=None)) as connection:
        for statement, *values in statements:
            connection.execute(statement, values)


async def test_a_whole_batch_is_clean_in_every_state(mixed):
    found = proved(mixed)

    assert found.is_clean, found
    assert found.manifest_rows == found.rows.total == 6
    assert found.head.seq == 3


async def test_a_batch_that_was_resolved_sent_again_and_purged_is_clean(mixed):
    ledger = await SqliteLedger.open(mixed.ledger, create=False)
    await ledger.send_again(3, None, now_ms=5)
    await ledger.purge(2**60)
    await ledger.aclose()

    assert proved(mixed).is_clean


async def test_what_a_killed_run_left_behind_is_no_damage(made):
    await made.add(3).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.claim(OWNER, 2, 1000)
    await ledger.referencing(1, OWNER, attempts=1, sha256=None, message_hash=b"h", message_ms=1)
    await ledger.aclose()

    assert proved(made).is_clean


# -- the ledger ---------------------------------------------------------------------------------------


ALTERED = {
    "altered receipt": [
        ("UPDATE receipts SET body = (SELECT body FROM receipts WHERE seq = 3) WHERE seq = 2",)
    ],
    "altered time": [("UPDATE receipts SET milliseconds = 1 WHERE seq = 2",)],
    "deleted receipt": [("DELETE FROM receipts WHERE seq = 2",)],
    "deleted first receipt": [("DELETE FROM receipts WHERE seq = 1",)],
    "reordered receipts": [
        ("UPDATE receipts SET seq = 100 WHERE seq = 2",),
        ("UPDATE receipts SET seq = 2 WHERE seq = 3",),
        ("UPDATE receipts SET seq = 3 WHERE seq = 100",),
    ],
    "cut tail": [("DELETE FROM receipts WHERE seq > 3",)],
    "cut tail with its head": [
        ("DELETE FROM receipts WHERE seq > 3",),
        ("UPDATE head SET seq = 3, link = (SELECT link FROM receipts WHERE seq = 3)",),
    ],
    "emptied receipt": [("UPDATE receipts SET body = NULL, digest = zeroblob(32) WHERE seq = 2",)],
    "counter": [("UPDATE counters SET value = value + 1 WHERE name LIKE 'state:%'",)],
    "row without its checksum": [(f"UPDATE rows SET state = {int(State.QUEUED)} WHERE row = 2",)],
    "row of the manifest removed": [("DELETE FROM rows WHERE row = 4",)],
}


@pytest.mark.parametrize("statements", ALTERED.values(), ids=ALTERED.keys())
async def test_a_ledger_that_was_altered_is_damaged(sent, command, statements):
    alter(sent, *statements)

    found = proved(sent)
    done = command("batch", "verify", sent.manifest)

    assert found.damage
    assert done.code == 6
    assert "damaged: " in done.out
    assert "Traceback" not in done.err


@pytest.mark.parametrize("state", sorted(set(State) - {State.DONE}))
async def test_a_flipped_state_with_a_right_checksum_contradicts_its_receipt(sent, state):
    with closing(sqlite3.connect(sent.ledger / "ledger.db", isolation_level=None)) as connection:
        columns = ", ".join(Record._fields)
        line = connection.execute(f"SELECT {columns} FROM rows WHERE row = 3").fetchone()
        record = Record(*line)._replace(state=int(state))
        connection.execute(
            "UPDATE rows SET state = ?, crc = ? WHERE row = 3", (int(state), crc_of_record(record))
        )

    found = proved(sent)

    assert any("row 3 " in damage for damage in found.damage), found.damage


async def test_a_flipped_bit_anywhere_in_the_rows_is_found(sent):
    file = sent.ledger / "ledger.db"
    whole = bytearray(file.read_bytes())
    (at, *_) = [i for i in range(len(whole)) if whole.startswith((3).to_bytes(32, "big"), i)]
    whole[at + 31] ^= 1
    file.write_bytes(whole)

    assert proved(sent).damage


# -- the manifest ---------------------------------


async def test_a_line_that_was_removed_is_told(sent, command):
    lines = sent.manifest.read_text().splitlines(keepends=True)
    lines[1] = "\n"  # an empty line is no row, and the others keep their numbers
    sent.manifest.write_text("".join(lines))

    found = proved(sent)

    assert found.differences == {"only_in_ledger": 1}
    assert found.examples == {"only_in_ledger": (2,)}
    done = command("batch", "verify", sent.manifest)
    assert done.code == 1
    assert "row 2" in done.out


async def test_a_line_that_was_added_is_told(sent):
    sent.add(1).write()

    found = proved(sent)

    assert found.differences == {"only_in_manifest": 1}
    assert found.examples["only_in_manifest"] == (6,)


async def test_lines_at_the_end_that_were_cut_off_are_told(sent):
    lines = sent.manifest.read_text().splitlines(keepends=True)
    sent.manifest.write_text("".join(lines[:3]))

    assert proved(sent).examples == {"only_in_ledger": (4, 5)}


async def test_a_line_that_changed_is_told_and_not_shown(sent, command):
    sent.manifest.write_text(sent.manifest.read_text().replace("MRN-4", "MRN-5"))

    found = proved(sent)
    done = command("batch", "verify", sent.manifest)

    assert found.examples == {"changed": (4,)}
    assert done.code == 1
    assert "row 4" in done.out
    assert "MRN" not in done.out + done.err


async def test_lines_that_changed_places_are_told(sent):
    lines = sent.manifest.read_text().splitlines(keepends=True)
    lines[1], lines[3] = lines[3], lines[1]
    sent.manifest.write_text("".join(lines))

    assert proved(sent).examples == {"changed": (2, 4)}


async def test_a_manifest_that_is_gone_is_an_error(sent, command):
    sent.manifest.unlink()

    done = command("batch", "verify", sent.manifest)

    assert done.code == 2
    assert "no manifest" in done.err


# -- the end of the chain ---------------------------------


async def test_a_noted_end_is_found_again_after_more_was_sent(made):
    await made.add(4).plan()
    await made.settle(receipt(1), receipt(2))
    noted = proved(made).head
    await made.settle(receipt(3), receipt(4, "failed"))

    found = proved(made, expected=noted)

    assert found.is_clean
    assert found.head.seq == 4
    assert proved(made, expected=Noted(0, bytes(32).hex())).is_clean


async def test_a_ledger_that_was_put_back_is_told_though_it_is_whole_in_itself(made, command):
    await made.add(4).plan()
    await made.settle(receipt(1), receipt(2))
    copy = made.folder / "copy"
    shutil.copytree(made.ledger, copy)
    await made.settle(receipt(3), receipt(4))
    noted = proved(made).head
    shutil.rmtree(made.ledger)
    copy.rename(made.ledger)

    assert proved(made).is_clean
    (damage,) = proved(made, expected=noted).damage
    assert "receipt 4" in damage
    assert command("batch", "verify", made.manifest, "--expect", noted).code == 6


async def test_a_ledger_that_was_put_back_and_went_on_differently_is_told(made):
    await made.add(4).plan()
    await made.settle(receipt(1), receipt(2))
    copy = made.folder / "copy"
    shutil.copytree(made.ledger, copy)
    await made.settle(receipt(3), receipt(4))
    noted = proved(made).head
    shutil.rmtree(made.ledger)
    copy.rename(made.ledger)
    await made.settle(receipt(3), receipt(4, "failed"))

    assert proved(made).is_clean
    assert proved(made, expected=noted).damage


async def test_the_noted_end_stays_valid_when_receipts_are_purged(sent):
    noted = proved(sent).head
    ledger = await SqliteLedger.open(sent.ledger, create=False)
    await ledger.purge(2**60)
    await ledger.aclose()

    assert proved(sent, expected=noted).is_clean


async def test_what_the_command_prints_is_what_it_takes(sent, command):
    (*_, last) = command("batch", "verify", sent.manifest).out.split()
    (*_, of_report) = command("batch", "report", sent.manifest).out.split()

    assert last == of_report
    assert command("batch", "verify", sent.manifest, "--expect", last).code == 0
    assert command("batch", "verify", sent.manifest, "--json").json["head"]["seq"] == 5


@pytest.mark.parametrize("text", ["", "5", "5:", "x:00", "5:zz", "-1:" + "0" * 64, "5:" + "0" * 63])
async def test_an_end_that_is_none_is_refused(sent, command, text):
    done = command("batch", "verify", sent.manifest, f"--expect={text}")

    assert done.code == 2
    assert "64 hex digits" in done.err


# -- files, and runs ---------------------------------


async def test_files_that_changed_since_are_told_when_asked(sent, command):
    os.utime(sent.folder / "f2.pdf", ns=(1, 1))
    (sent.folder / "f4.pdf").unlink()

    assert proved(sent).is_clean
    found = proved(sent, looks_at_files=True)
    assert found.examples == {"file_changed": (2,), "file_missing": (4,)}
    assert found.files == 5
    done = command("batch", "verify", sent.manifest, "--files")
    assert done.code == 1
    assert "f2.pdf" not in done.out + done.err


async def test_while_a_run_goes_on_nothing_is_compared(sent, holder, command):
    process = holder(sent.ledger)

    with pytest.raises(LedgerLockedError, match=str(process.pid)):
        proved(sent)
    assert command("batch", "verify", sent.manifest).code == 6
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert proved(sent).is_clean


async def test_progress_is_told(made):
    await made.add(1).plan()
    made.rows = [made.rows[0] | {"document_id": f"D-{number}"} for number in range(2500)]
    await made.plan()
    heard = []

    assert proved(made, on_progress=heard.append).is_clean
    assert heard == [1000, 2000]
