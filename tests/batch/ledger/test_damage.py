"""A ledger that is not as it was written is noticed, whatever changed: by nature, or by somebody."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
import sqlite3
from typing import TYPE_CHECKING

import pytest
from ledger_made import THEM, US, bring_to, claim_row, plan_rows, planned, receipt, refer, rejected

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, chain, schema
from chartsend.batch.sqlite.records import Record, Work, crc_of, crc_of_record, crc_of_work
from chartsend.errors import LedgerCorruptError, LedgerError, TransferError

if TYPE_CHECKING:
    from pathlib import Path

    from chartsend.batch.sqlite.store import Store

ALL_BITS = bool(os.environ.get("CHARTSEND_ALL_BITS"))


async def make(directory: Path) -> None:
    """A ledger with a row in every state, and some receipts."""
    ledger = await SqliteLedger.open(directory, create=True)
    await ledger.plan([planned(row) for row in range(1, 15)] + [rejected(15)], {"to": "memorial"})
    await ledger.reject_duplicates()
    states = [*(State.DONE,) * 4, *(state for state in State if state is not State.REJECTED)]
    for row, state in enumerate(sorted(states, key=lambda one: one is State.QUEUED), 1):
        await bring_to(ledger, row, state)
    await ledger.purge(receipt(2).at_ms)
    await ledger.aclose()


@pytest.fixture
async def made(tmp_path) -> Path:
    await make(tmp_path / "batch.chartsend")
    return tmp_path / "batch.chartsend"


def change(directory: Path, *statements: str) -> None:
    """Do to the tables what nobody should."""
    connection = sqlite3.connect(directory / "ledger.db", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def verified(directory: Path) -> list[str]:
    reader = SqliteReader.open(directory)
    try:
        return reader.verify()
    finally:
        reader.close()


def content(reader: SqliteReader) -> list[object]:
    return [
        list(reader.rows()),
        list(reader.receipts()),
        list(reader.rejects()),
        reader.facts(),
        reader.totals(),
        reader.counts(),
        reader.by_route(),
        reader.slowest(3),
        [list(reader.rows(state)) for state in State],
        list(reader.settled()),
        reader.head(),
    ]


def noticed(directory: Path, before: list[object]) -> bool:
    """Whether a change is noticed; when it is not, it must not have changed anything."""
    try:
        reader = SqliteReader.open(directory)
    except TransferError:
        return True
    try:
        if reader.verify():
            return True
        assert content(reader) == before
    except LedgerError:
        return True
    finally:
        reader.close()
    return False


@pytest.mark.slow
@pytest.mark.timeout(20_000 if ALL_BITS else 600)
async def test_a_flipped_bit_is_noticed_or_changes_nothing(tmp_path, monkeypatch):
    """A bit of every seventh byte of the file; by option all. Pages are small, so that they are full."""
    monkeypatch.setattr(schema, "PAGE_BYTES", 512)
    directory = tmp_path / "batch.chartsend"
    await make(directory)
    reader = SqliteReader.open(directory)
    before = content(reader)
    reader.close()
    file = directory / "ledger.db"
    size = file.stat().st_size
    draw = random.Random(1)
    bits = (
        range(size * 8)
        if ALL_BITS
        else [8 * byte + draw.randrange(8) for byte in range(draw.randrange(7), size, 7)]
    )
    seen = {True: 0, False: 0}
    descriptor = os.open(file, os.O_RDWR)
    try:
        for bit in bits:
            (old,) = os.pread(descriptor, 1, bit // 8)
            os.pwrite(descriptor, bytes([old ^ 1 << bit % 8]), bit // 8)
            try:
                seen[noticed(directory, before)] += 1
            except AssertionError as exc:
                raise AssertionError(f"bit {bit % 8} of byte {bit // 8} changed what is read") from exc
            os.pwrite(descriptor, bytes([old]), bit // 8)
            for name in ("ledger.db-wal", "ledger.db-shm"):
                (directory / name).unlink(missing_ok=True)
    finally:
        os.close(descriptor)
    print(f"{seen[True]} noticed, {seen[False]} harmless, of {size} bytes")
    assert min(seen.values()) > len(bits) // 5


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_a_flipped_bit_never_sends_a_row_twice_or_forgets_one(tmp_path, monkeypatch):
    """A writer goes on from a damaged file: it claims what it would have claimed, or says no."""
    monkeypatch.setattr(schema, "PAGE_BYTES", 512)
    whole = tmp_path / "whole"
    await make(whole)
    expected = await claims_of(whole, tmp_path / "copy")
    assert [row for row, *_ in expected] == [5, 6, 8, 12, 13, 14]
    size = (whole / "ledger.db").stat().st_size
    draw = random.Random(2)
    refused = 0
    for _ in range(4000 if ALL_BITS else 250):
        bit = draw.randrange(8 * 100, size * 8)
        try:
            claimed = await claims_of(whole, tmp_path / "copy", bit)
        except TransferError:
            refused += 1
        else:
            assert claimed == expected, f"bit {bit % 8} of byte {bit // 8}"
    print(f"{refused} refused")
    assert refused


async def claims_of(whole: Path, copy: Path, bit: int | None = None) -> list[tuple[object, ...]]:
    """What the next run would claim, to the end."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(whole, copy)
    if bit is not None:
        with (copy / "ledger.db").open("r+b") as file:
            file.seek(bit // 8)
            (old,) = file.read(1)
            file.seek(bit // 8)
            file.write(bytes([old ^ 1 << bit % 8]))
    ledger = await SqliteLedger.open(copy, create=False)
    try:
        await ledger.take_over(US + "-new", 1)
        claimed = []
        while rows := await ledger.claim(US + "-new", 3, 10**14):
            claimed += [
                (one.row, one.state, one.identity, one.offset, one.reference_url) for one in rows
            ]
        return sorted(claimed)
    finally:
        await ledger.aclose()


async def test_every_change_of_a_receipt_is_noticed(made):
    """Altered, removed, exchanged, cut off, emptied: a thousand times."""
    draw = random.Random(3)
    connection = sqlite3.connect(made / "ledger.db", isolation_level=None)
    columns = ", ".join(chain.Entry._fields)
    lines = connection.execute(f"SELECT {columns} FROM receipts ORDER BY seq").fetchall()
    reader = SqliteReader.open(made)
    assert reader.verify() == []
    assert len(lines) == 7

    def put(changed: list[tuple[object, ...]]) -> None:
        connection.execute("BEGIN")
        connection.execute("DELETE FROM receipts")
        marks = ", ".join("?" * len(chain.Entry._fields))
        connection.executemany(f"INSERT INTO receipts ({columns}) VALUES ({marks})", changed)
        connection.execute("COMMIT")

    for turn in range(1000):
        try:
            put(mutated(draw, turn % 6, lines))
        except sqlite3.IntegrityError:
            connection.execute("ROLLBACK")  # the tables themselves refuse it
            continue
        assert reader.verify(), turn
    put(lines)
    assert reader.verify() == []
    reader.close()
    connection.close()


def mutated(draw: random.Random, how: int, lines: list[tuple]) -> list[tuple]:
    lines = [list(line) for line in lines]
    one = draw.randrange(len(lines))
    match how:
        case 0:  # a bit of what it says, or of its link
            full = [line for line in lines if line[4] is not None]
            line = draw.choice(full)
            line[draw.choice([4, 6])] = flipped(draw, line[draw.choice([4, 6])])
        case 1:
            del lines[one]
        case 2:  # the last ones
            del lines[-draw.randrange(1, len(lines)) :]
        case 3:  # two change places, with or without their links
            other = draw.choice([at for at in range(len(lines)) if at != one])
            kept = draw.choice([slice(1, 6), slice(1, 7)])
            lines[one][kept], lines[other][kept] = lines[other][kept], lines[one][kept]
        case 4:  # another row, status, or time
            column = draw.choice([1, 2, 3])
            lines[one][column] = lines[one][column] % 4 + draw.choice([1, 2])
            lines[one][column] += lines[one][column] == 5
            if [tuple(line) for line in lines] == lines:
                lines[one][1] += 100
            lines[one][3] += 1
        case _:  # emptied as by a purge
            full = [line for line in lines if line[4] is not None]
            line = draw.choice(full)
            line[4], line[5] = None, chain.digest(line[4])
    return [tuple(line) for line in lines]


def flipped(draw: random.Random, value: bytes) -> bytes:
    bit = draw.randrange(len(value) * 8)
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


async def test_a_cut_chain_is_not_even_opened(made):
    change(made, "DELETE FROM receipts WHERE seq = 7")
    with pytest.raises(LedgerCorruptError, match="do not end where they ended"):
        await SqliteLedger.open(made, create=False)


async def test_a_head_that_was_moved_back_is_noticed(made):
    """Who cuts receipts off and knows the links still lacks the key for the seal."""
    change(
        made,
        "DELETE FROM receipts WHERE seq = 7",
        "UPDATE head SET seq = 6, link = (SELECT link FROM receipts WHERE seq = 6)",
    )
    assert verified(made)


async def test_a_receipt_that_was_cut_off_with_all_its_traces_is_noticed(tmp_path, open_ledger):
    """Row, counters and checksums can be made to fit by anybody; the seal needs the key."""
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    for row in (1, 2):
        await bring_to(ledger, row, State.FAILED)
    await ledger.aclose()
    counters = {"state:8": 1, "state:2": 2, "sum:receipts": 1}
    change(
        tmp_path / "a",
        "DELETE FROM receipts WHERE seq = 2",
        "UPDATE head SET seq = 1, link = (SELECT link FROM receipts WHERE seq = 1)",
        *(
            f"UPDATE counters SET value = {value}, crc = x'{crc_of(name, value).hex()}'"
            f" WHERE name = '{name}'"
            for name, value in counters.items()
        ),
    )
    connection = sqlite3.connect(tmp_path / "a" / "ledger.db", isolation_level=None)
    line = connection.execute("SELECT * FROM rows WHERE row = 2").fetchone()
    queued = Record(*line[:-1])._replace(state=int(State.QUEUED))
    connection.execute(
        "UPDATE rows SET state = ?, crc = ? WHERE row = 2", (queued.state, crc_of_record(queued))
    )
    connection.close()
    (finding,) = verified(tmp_path / "a")
    assert "do not end where they ended" in finding
    with pytest.raises(LedgerCorruptError):
        await SqliteLedger.open(tmp_path / "a", create=False)


async def test_a_receipt_of_another_ledger_of_the_same_user_is_noticed(tmp_path, open_ledger):
    """It has the same key and the same place in its chain: only what came before it is another."""
    for name, milliseconds in (("a", 1), ("b", 2)):
        ledger = await open_ledger(name)
        await plan_rows(ledger, 3)
        await ledger.claim(US, 3, 0)
        await ledger.settle(receipt(1, milliseconds=milliseconds), US)
        await ledger.settle(receipt(2, milliseconds=milliseconds), US)
        await ledger.settle(receipt(3), US)
        await ledger.aclose()
    change(
        tmp_path / "a",
        f"ATTACH '{tmp_path / 'b' / 'ledger.db'}' AS other",
        "UPDATE main.receipts SET (milliseconds, body, link) ="
        " (SELECT milliseconds, body, link FROM other.receipts WHERE seq = 2) WHERE seq = 2",
    )
    assert any("receipt 2" in finding for finding in verified(tmp_path / "a"))


async def test_a_broken_receipt_is_not_read(made):
    change(made, "UPDATE receipts SET milliseconds = 999999 WHERE seq = 3")
    reader = SqliteReader.open(made)
    for read in (
        lambda: list(reader.receipts()),
        lambda: list(reader.receipts(after=2)),
        lambda: reader.slowest(1),
        lambda: list(reader.settled()),
    ):
        with pytest.raises(LedgerCorruptError, match="receipt 3"):
            read()
    assert [seq for seq, _ in reader.receipts(after=3)] == [4, 5, 6, 7]
    reader.close()


COLUMNS = {
    "rows": ["state", "offset", "identity", "content", "size_bytes", "mtime_ns", "route", "crc"],
    "work": [*Work._fields[1:], "crc"],
    "rejects": ["code", "text", "crc"],
    "facts": ["value", "crc"],
    "counters": ["value", "crc"],
}


@pytest.mark.parametrize(("table", "column"), [(t, c) for t, cs in COLUMNS.items() for c in cs])
async def test_every_column_is_covered_by_its_checksum(made, table, column):
    values = {"INTEGER": "coalesce({0}, 3) + 1", "TEXT": "coalesce({0}, '') || 'x'"}
    connection = sqlite3.connect(made / "ledger.db", isolation_level=None)
    kind = next(
        line[2] for line in connection.execute(f"PRAGMA table_info({table})") if line[1] == column
    )
    key = next(line[1] for line in connection.execute(f"PRAGMA table_info({table})") if line[5])
    change_of = values.get(kind, "CAST(coalesce({0}, '') || 'x' AS BLOB)").format(column)
    keys = [line[0] for line in connection.execute(f"SELECT {key} FROM {table} ORDER BY 1")]
    connection.close()
    assert keys
    for value in (keys[0], keys[-1]):
        copy = made.with_name("copy")
        shutil.copytree(made, copy)
        change(copy, f"UPDATE {table} SET {column} = {change_of} WHERE {key} = {value!r}")
        with contextlib.suppress(LedgerCorruptError):
            assert verified(copy)
        shutil.rmtree(copy)


async def test_a_row_that_an_acceptance_contradicts_is_not_claimed(made):
    """As after a page that was lost: the row is a whole, older one, and its receipt is there."""
    before = planned(1)
    connection = sqlite3.connect(made / "ledger.db", isolation_level=None)
    line = connection.execute("SELECT * FROM rows WHERE row = 1").fetchone()
    old = Record(*line[:-1])._replace(state=int(State.QUEUED))
    assert old.identity == before.identity
    connection.execute(
        "UPDATE rows SET state = ?, crc = ? WHERE row = 1", (old.state, crc_of_record(old))
    )
    connection.execute("UPDATE counters SET value = 0 WHERE name = 'cursor'")
    connection.close()
    assert any("row 1" in finding for finding in verified(made))


@pytest.fixture
async def rewound(tmp_path, open_ledger):
    """A function: a ledger in which row 1 was brought to a state, and its tables then say `QUEUED`."""

    async def make_it(state: State) -> SqliteLedger:
        ledger = await open_ledger("rewound")
        await plan_rows(ledger, 3)
        await bring_to(ledger, 1, state)

        def rewind(store: Store) -> None:
            store.put(store.find(1), State.QUEUED, None)
            store.cursor = 0

        await ledger._writer.do(rewind)
        return ledger

    return make_it


@pytest.mark.parametrize("state", [State.DONE, State.IN_DOUBT])
async def test_a_row_whose_receipts_say_that_it_was_sent_is_not_claimed(rewound, tmp_path, state):
    ledger = await rewound(state)
    with pytest.raises(LedgerCorruptError, match="row 1"):
        await ledger.claim(THEM, 3, 0)
    with pytest.raises(LedgerCorruptError, match="row 1"):
        await ledger.claim(THEM, 3, 0)
    assert verified(tmp_path / "rewound")


async def test_a_second_acceptance_of_a_row_is_refused_by_the_tables(rewound):
    ledger = await rewound(State.FAILED)
    (one, *_) = await ledger.claim(US, 1, 0)
    assert one.row == 1
    await ledger.settle(receipt(1), US)

    def rewind(store: Store) -> None:
        store.put(store.find(1), State.REFERENCING, Work(1, owner=US))

    await ledger._writer.do(rewind)
    with pytest.raises(LedgerError, match="CONSTRAINT"):
        await ledger.settle(receipt(1), US)


async def test_a_row_that_cannot_be_found_is_missed(made):
    """The state of a row, and its checksum with it, says something else: the counters remember."""
    connection = sqlite3.connect(made / "ledger.db", isolation_level=None)
    line = connection.execute("SELECT * FROM rows WHERE row = 14").fetchone()
    other = Record(*line[:-1])._replace(state=int(State.FAILED))
    connection.execute(
        "UPDATE rows SET state = ?, crc = ? WHERE row = 14", (other.state, crc_of_record(other))
    )
    connection.close()
    ledger = await SqliteLedger.open(made, create=False)
    with pytest.raises(LedgerCorruptError, match=r"rows that wait to be sent .* \(1\)"):
        while await ledger.claim(THEM, 2, 10**14):
            pass
    await ledger.aclose()


async def test_a_cursor_that_is_too_far_forgets_no_row(open_ledger, read_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 5)
    await claim_row(ledger, 1)

    def too_far(store: Store) -> None:
        store.cursor = 4

    await ledger._writer.do(too_far)
    assert [one.row for one in await ledger.claim(US, 9, 0)] == [5]
    assert [one.row for one in await ledger.claim(US, 9, 0)] == [2, 3, 4]
    assert await ledger.claim(US, 9, 0) == []
    assert read_ledger().verify() == []


async def test_work_that_is_older_than_its_row_is_noticed(made):
    connection = sqlite3.connect(made / "ledger.db", isolation_level=None)
    row, *rest = connection.execute("SELECT * FROM work ORDER BY row").fetchone()
    work = Work(row, *rest[:-1])
    connection.execute(
        "UPDATE work SET crc = ? WHERE row = ?", (crc_of_work(work, int(State.RETRY_AT) + 1), row)
    )
    connection.close()
    assert any(f"row {row} is not as it was written" in finding for finding in verified(made))


async def test_damage_in_one_row_does_not_keep_others_from_being_settled(open_ledger):
    ledger = await open_ledger()
    await plan_rows(ledger, 9)
    await ledger.claim(US, 2, 0)
    await refer(ledger, 1)

    def damage(store: Store) -> None:
        store.connection.execute("UPDATE rows SET offset = 1 WHERE row = 5")
        store.changes += 1

    await ledger._writer.do(damage)
    with pytest.raises(LedgerCorruptError, match="row 5"):
        await ledger.claim(US, 9, 0)
    await ledger.settle(receipt(1), US)
    assert [one.row for one in await ledger.claim(US, 2, 0)] == [3, 4]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rows SET offset = offset + 1",
        "PRAGMA writable_schema = on",
        "UPDATE counters SET value = value + 1",
    ],
)
async def test_a_damaged_earlier_ledger_is_not_believed(made, open_ledger, statement):
    change(made, statement)
    if "writable" in statement:  # a page of the tables, rather than a line
        with (made / "ledger.db").open("r+b") as file:
            file.seek(4096)
            file.write(b"\xff" * 8192)
    ledger = await open_ledger("new")
    await plan_rows(ledger, 9)
    with pytest.raises(LedgerCorruptError):
        await ledger.reject_already_sent(str(made))
    assert len(await ledger.claim(US, 20, 0)) == 9


async def test_findings_are_told_by_number_and_bounded(made):
    change(made, "UPDATE rows SET crc = zeroblob(4)", "DELETE FROM rejects")
    findings = verified(made)
    assert len(findings) <= 201
    assert all(isinstance(finding, str) for finding in findings)
    assert any("row 3 " in finding for finding in findings)


async def test_all_is_well_in_a_ledger_with_a_row_in_every_state(made):
    assert verified(made) == []
    reader = SqliteReader.open(made)
    counts = reader.counts()
    reader.close()
    assert all(counts[state] for state in State), counts
    assert set(itertools.chain(counts)) == set(State)
