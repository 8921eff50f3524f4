"""Rows one by one: each once, in order, with why, and with names only where these are proved."""

from __future__ import annotations

import csv
import json
import uuid
from contextlib import closing

import pytest

from chartsend.batch.listing import list_rows
from chartsend.batch.manifest.reading import Manifest
from chartsend.batch.naming import Names, Sender, sender_of
from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger
from chartsend.batch.standing import WORDS, states_of
from chartsend.redox.identity import document_id

from .conftest import OWNER, PDF, SOURCE_ID, TO, URL, receipt


def listed(made, word=None, after=0, *, sender=None):
    with closing(made.reader()) as reader, Manifest.open(made.manifest) as manifest:
        names = Names(manifest, reader.keyed, sender or sender_of(reader.facts()))
        return list(list_rows(reader, names, word, after))


async def test_every_row_comes_once_in_order(mixed):
    rows = listed(mixed)

    assert [(row.row, row.state) for row in rows] == [
        (1, "done"),
        (2, "failed"),
        (3, "in_doubt"),
        (4, "rejected"),
        (5, "pending"),
        (6, "pending"),
    ]


async def test_rows_of_all_states_together_are_all_rows(mixed):
    parts = [row for word in WORDS for row in listed(mixed, word)]

    assert sorted(row.row for row in parts) == [1, 2, 3, 4, 5, 6]
    for is_running in (False, True):
        states = [state for word in WORDS for state in states_of(word, is_running=is_running)]
        assert sorted(states) == sorted(State)


async def test_it_goes_on_after_a_row(mixed):
    assert [row.row for row in listed(mixed, after=4)] == [5, 6]
    assert [row.row for row in listed(mixed, "pending", after=5)] == [6]


async def test_a_row_says_what_became_of_it(mixed):
    done, failed, in_doubt, rejected, pending, _ = listed(mixed)

    assert (done.status, done.bytes, done.log_ids) == ("accepted", 1000, ("log-1",))
    assert (failed.status, failed.error_code) == ("failed", "invalid")
    assert (in_doubt.status, in_doubt.error_code) == ("in_doubt", "outcome_unknown")
    assert (rejected.status, rejected.error_code, rejected.bytes) == (None, "row_rejected", None)
    assert "type" in rejected.error
    assert (pending.status, pending.step, pending.error_code) == (None, "queued", None)


async def test_document_ids_and_files_come_from_the_manifest(mixed):
    rows = listed(mixed)

    assert [row.document_id for row in rows] == ["D-1", "D-2", "D-3", None, "D-5", "D-6"]
    assert rows[0].source == str(mixed.folder / "f1.pdf")


async def test_a_derived_document_id_is_the_one_that_is_sent(made):
    made.add(1, document_id=None).add(1, document_id=None, to="elsewhere")
    await made.plan()
    expected = [
        document_id(
            given=None,
            source_id=SOURCE_ID,
            destination=to,
            key=str(made.folder / f"f{number}.pdf"),
        )
        for number, to in ((1, TO), (2, "elsewhere"))
    ]

    assert [row.document_id for row in listed(made)] == expected
    assert [row.to for row in listed(made)] == [TO, "elsewhere"]
    assert uuid.UUID(expected[0]).version == 5


async def test_after_a_move_no_id_is_derived_since_it_would_be_another_documents(made, tmp_path):
    made.folder = tmp_path / "one"
    made.folder.mkdir()
    made.manifest = made.folder / "manifest.jsonl"
    made.ledger = made.folder / "manifest.jsonl.chartsend"
    await made.add(1, document_id=None).add(1).plan()
    made.folder.rename(tmp_path / "two")
    made.folder = tmp_path / "two"
    made.manifest = made.folder / "manifest.jsonl"
    made.ledger = made.folder / "manifest.jsonl.chartsend"

    first, second = listed(made)

    assert (first.document_id, first.source) == (None, str(made.folder / "f1.pdf"))
    assert second.document_id == "D-2"
    made.folder.rename(tmp_path / "one")
    made.folder = tmp_path / "one"
    made.manifest = made.folder / "manifest.jsonl"
    made.ledger = made.folder / "manifest.jsonl.chartsend"
    assert listed(made)[0].document_id is not None


async def test_without_knowing_who_sends_no_id_is_derived(made):
    await made.add(1, document_id=None).plan()
    with closing(made.reader()) as reader, Manifest.open(made.manifest) as manifest:
        (row,) = list_rows(reader, Names(manifest, reader.keyed, None))

    assert row.document_id is None
    assert row.source is not None


async def test_a_line_that_changed_since_gives_no_name(mixed):
    text = mixed.manifest.read_text()
    mixed.manifest.write_text(text.replace("D-2", "E-2"))

    rows = listed(mixed)

    assert rows[1].document_id is None
    assert rows[1].source is None
    assert rows[1].error_code == "invalid"
    assert rows[0].document_id == "D-1"


async def test_a_manifest_that_moved_on_gives_no_wrong_name(mixed):
    lines = mixed.manifest.read_text().splitlines(keepends=True)
    mixed.manifest.write_text("".join([*lines[1:], lines[0]]))

    assert {row.document_id for row in listed(mixed)} == {None}


async def test_without_the_manifest_the_rows_are_listed_all_the_same(mixed, command):
    mixed.manifest.unlink()

    done = command("batch", "list", mixed.manifest, "--json")

    assert done.code == 0
    assert [row["state"] for row in done.lines][:3] == ["done", "failed", "in_doubt"]
    assert {row["document_id"] for row in done.lines} == {None}


async def test_a_row_that_is_sent_again_is_pending_and_says_how_often(mixed):
    ledger = await SqliteLedger.open(mixed.ledger, create=False)
    await ledger.send_again(3, None, now_ms=5)
    await ledger.aclose()

    row = listed(mixed)[2]

    assert (row.state, row.status, row.maybe_duplicate, row.error_code) == ("pending", None, 1, None)


async def test_what_work_has_left_behind_is_shown_of_a_pending_row(made):
    await made.add(1).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.claim(OWNER, 1, 1000)
    await ledger.uploading(1, OWNER, attempts=1)
    await ledger.uploading(1, OWNER, attempts=2)
    await ledger.uploaded(
        1, OWNER, reference_url=URL, source_id=SOURCE_ID, sha256=b"f" * 32, now_ms=1000
    )
    await ledger.release(1, OWNER, attempts=2)
    await ledger.aclose()

    (row,) = listed(made)

    assert (row.step, row.reference_url, row.attempts, row.orphans) == ("uploaded", URL, 2, 1)
    assert row.sha256 == (b"f" * 32).hex()


async def test_a_purged_receipt_is_said_to_be_gone(mixed):
    ledger = await SqliteLedger.open(mixed.ledger, create=False)
    assert await ledger.purge(2**60) == 2, "what a row in doubt says stays"
    await ledger.aclose()

    done, failed, *_ = listed(mixed)

    assert (done.state, done.status, done.is_purged, done.log_ids) == ("done", "accepted", True, ())
    assert (failed.state, failed.is_purged, failed.error_code) == ("failed", True, None)


async def test_a_row_s_repr_names_nobody(mixed):
    assert "D-1" not in repr(listed(mixed)[0])
    assert "f1.pdf" not in repr(listed(mixed)[0])


async def test_the_command_filters_limits_and_writes_lines_or_json(mixed, command):
    pending = command("batch", "list", mixed.manifest, "--state", "pending", "--limit", 1, "--json")
    failed = command("batch", "list", mixed.manifest, "--state", "failed")

    assert [row["row"] for row in pending.lines] == [5]
    assert failed.code == pending.code == 0
    (line,) = failed.out.splitlines()
    assert line.startswith("row 2  failed")
    assert "D-2" in line
    assert "[invalid]" in line
    assert failed.err == ""


async def test_names_cannot_steer_a_terminal(made, command):
    made.add(1, document_id="D\x1b[31m1")
    (made.folder / "f1.pdf").rename(made.folder / "a\u202eb.pdf")
    made.rows[0]["path"] = "a\u202eb.pdf"
    await made.plan()

    done = command("batch", "list", made.manifest)

    assert "\x1b" not in done.out
    assert "\u202e" not in done.out


async def test_of_a_csv_manifest_the_rows_are_the_same(made, command):
    made.add(2).write()
    table = made.folder / "table.csv"
    with table.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "document_id", "type", "patient.identifiers.0.id", "description"])
        writer.writerow(["f1.pdf", "D-1", "Consent Form", "MRN-1", "two\nlines"])
        writer.writerow(["f2.pdf", "D-2", "Consent Form", "MRN-2", "one"])
    made.manifest, made.ledger = table, made.folder / "table.csv.chartsend"
    made.write = lambda: made
    await made.plan()

    done = command("batch", "list", table, "--json")

    assert [(row["row"], row["document_id"]) for row in done.lines] == [(2, "D-1"), (4, "D-2")]


@pytest.mark.parametrize("moved", [False, True])
async def test_a_root_elsewhere_is_given_again(made, command, moved):
    await made.add(1).plan()
    apart = made.folder / "apart"
    apart.mkdir()
    lines = made.manifest.read_text()
    manifest = apart / "manifest.jsonl"
    manifest.write_text(lines)
    made.manifest, made.ledger = manifest, apart / "manifest.jsonl.chartsend"
    made.write = lambda: made
    await made.plan(root=str(made.folder))

    done = command("batch", "list", manifest, "--json", *(["--root", made.folder] if moved else []))

    row = json.loads(done.out)
    assert row["state"] == "pending"
    assert (row["source"] == str(made.folder / "f1.pdf")) is moved


async def test_rows_that_a_run_moves_on_meanwhile_come_once(made):
    await made.add(40).plan()
    ledger = await SqliteLedger.open(made.ledger, create=False)
    await ledger.claim(OWNER, 20, 1000)

    async def wait(row: int) -> None:
        await ledger.retry_at(row, OWNER, next_try_ms=9, attempts=1, error_code="stall_timeout")

    await wait(1)
    with closing(made.reader()) as reader, Manifest.open(made.manifest) as manifest:
        rows = list_rows(reader, Names(manifest, reader.keyed), "pending")
        numbers = [next(rows).row]
        for row in range(2, 21):
            await wait(row)  # read as queued already, and now to be read as waiting
        numbers += [row.row for row in rows]
    await ledger.aclose()

    assert numbers == list(range(1, 41))


def test_who_sends_is_read_from_the_ledger_s_facts():
    assert sender_of({}) is None
    assert sender_of({"sender": '["s","t"]'}) == Sender("s", "t")
    assert sender_of({"sender": "[null,null]"}) == Sender(None, None)


async def test_receipts_of_another_row_are_never_shown(made):
    await made.add(3).plan()
    await made.settle(receipt(1, "failed"), receipt(2), receipt(3, "in_doubt"))

    assert [row.log_ids for row in listed(made)] == [("log-1",), ("log-2",), ("log-3",)]


async def test_of_a_folder_the_rows_are_those_of_its_listing(tmp_path, command):
    folder = tmp_path / "export"
    folder.mkdir()
    for number in (1, 2):
        (folder / f"MRN{number}_Consent_D-{number}.pdf").write_bytes(PDF)
    profile = tmp_path / "profile.toml"
    profile.write_text(f'environment = "Development"\nsource_id = "{SOURCE_ID}"\nquota = "off"\n')
    planned = command(
        "--profile", profile, "batch", "plan", folder, "--pattern", "{mrn}_{type}_{id}.pdf", "--to", TO
    )
    assert planned.code == 0, planned.err

    rows = command("batch", "list", folder, "--json").lines

    assert [row["document_id"] for row in rows] == ["D-1", "D-2"]
    assert rows[0]["source"].startswith(str(folder))
    assert command("batch", "verify", folder).code == 0
    assert command("batch", "status", folder, "--json").json["rows"]["pending"] == 2


async def test_what_a_killed_run_left_unknown_is_listed_as_in_doubt_and_not_as_pending(mixed, holder):
    await mixed.leave_behind(5)

    assert [row.row for row in listed(mixed, "in_doubt")] == [3, 5]
    assert [row.row for row in listed(mixed, "pending")] == [6]
    with closing(mixed.reader()) as reader:
        rows = list(list_rows(reader, Names(None, reader.keyed), "pending", is_running=True))
    assert [row.row for row in rows] == [5, 6]


async def test_who_decided_is_told_only_where_somebody_did(made):
    await made.add(4).plan()
    await made.settle(
        receipt(1),
        receipt(2, "failed"),
        receipt(3, "failed", error_code="source_missing", error="there is no file at the path"),
        receipt(4, "in_doubt"),
    )

    assert [row.decided_by for row in listed(made)] == ["answer", "answer", None, None]


async def test_a_rejected_row_is_named_once_and_a_possible_duplicate_is_said(made, command):
    made.add(1).add(1, tipe="x")
    await made.plan()
    await made.settle(receipt(1, maybe_duplicate=2))

    done = command("batch", "list", made.manifest)

    first, second = done.out.splitlines()
    assert first.endswith("sent again 2 times: perhaps twice in the chart")
    assert second.startswith("row 2  rejected  ")
    assert second.count("row 2") == 1


async def test_of_a_folder_the_file_of_a_rejected_row_is_named_on_stdout(tmp_path, command):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "MRN1_Consent_D-1.pdf").write_bytes(PDF)
    (folder / "unfit.pdf").write_bytes(PDF)
    profile = tmp_path / "profile.toml"
    profile.write_text(f'environment = "Development"\nsource_id = "{SOURCE_ID}"\nquota = "off"\n')
    pattern = ("--pattern", "{mrn}_{type}_{id}.pdf", "--to", TO)
    assert command("--profile", profile, "batch", "plan", folder, *pattern).code == 1

    done = command("batch", "list", folder, "--state", "rejected")

    (line,) = done.out.splitlines()
    assert line.startswith("row 2  rejected  unfit.pdf  ")
    assert "unfit" not in done.err
