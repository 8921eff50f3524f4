"""Tables are brought from one version to the next whole, or not at all."""

from __future__ import annotations

import sqlite3

import pytest
from ledger_made import US, bring_to, plan_rows

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader, many, schema, sql
from chartsend.errors import LedgerError

NEXT = ("CREATE TABLE notes (row INTEGER PRIMARY KEY) STRICT; INSERT INTO notes SELECT row FROM rows",)


@pytest.fixture
def tables(tmp_path):
    """Tables of the present version, with a row."""
    connection = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    schema.create(connection)
    connection.execute(
        "INSERT INTO rows VALUES (7, 2, 0, zeroblob(16), zeroblob(8), 0, 0, 0, zeroblob(4))"
    )
    yield connection
    connection.close()


def test_steps_that_are_missing_are_made_and_no_others(tables):
    schema.migrate(tables, (*schema.MIGRATIONS, *NEXT))
    schema.migrate(tables, (*schema.MIGRATIONS, *NEXT))
    assert schema.version_of(tables) == schema.VERSION + 1
    assert tables.execute("SELECT row FROM notes").fetchall() == [(7,)]


def test_a_step_that_fails_leaves_the_version_before(tables):
    broken = (*schema.MIGRATIONS, *NEXT, "DROP TABLE head; CREATE TABLE rows (a)")
    with pytest.raises(sqlite3.Error):
        schema.migrate(tables, broken)
    assert schema.version_of(tables) == schema.VERSION
    schema.check_tables(tables)


def test_a_newer_version_is_refused(tables):
    schema.migrate(tables, (*schema.MIGRATIONS, *NEXT))
    with pytest.raises(LedgerError, match="upgrade chartsend"):
        schema.migrate(tables)


async def test_an_older_ledger_is_brought_up_by_a_writer_only(tmp_path, open_ledger, monkeypatch):
    ledger = await open_ledger("a")
    await plan_rows(ledger, 3)
    await bring_to(ledger, 1, State.DONE)
    await ledger.aclose()
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *NEXT))
    monkeypatch.setattr(schema, "VERSION", schema.VERSION + 1)
    monkeypatch.setattr(schema.migrate, "__defaults__", (schema.MIGRATIONS,))
    with pytest.raises(LedgerError, match="`batch run` brings it"):
        SqliteReader.open(tmp_path / "a")
    ledger = await SqliteLedger.open(tmp_path / "a", create=False)
    assert [one.row for one in await ledger.claim(US, 9, 0)] == [2, 3]
    await ledger.aclose()
    reader = SqliteReader.open(tmp_path / "a")
    assert reader.verify() == []
    reader.close()


async def test_an_sqlite_that_is_too_old_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(LedgerError, match=r"needs SQLite 3\.37\.0"):
        await SqliteLedger.open(tmp_path / "a", create=True)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 63, 64, 65, 255, 256, 1000])
def test_many_lines_are_written_in_order_and_each_once(tables, count):
    lines = [(row, "code", str(row), b"crc.") for row in range(1, count + 1)]
    columns = ("row", "code", "text", "crc")
    many.insert(tables, "rejects", columns, lines)
    assert [line[:3] for line in tables.execute(sql.REJECTS)] == [line[:3] for line in lines]
    many.insert(
        tables, "rejects", columns, [(*line[:2], "new", line[3]) for line in lines], update=["text"]
    )
    assert {line[2] for line in tables.execute(sql.REJECTS)} == ({"new"} if count else set())
    tables.execute("BEGIN")
    with pytest.raises(sqlite3.IntegrityError):
        many.insert(tables, "rejects", columns, [*lines, (1, "", "", b"")] * 2)
    tables.execute("ROLLBACK")
    many.delete(tables, "rejects", "row", [row for row in range(1, count + 1) if row % 2])
    assert tables.execute("SELECT count(*) FROM rejects").fetchone() == (count // 2,)


PLANS = {
    "a row": (sql.ROW, 1, "SEARCH rows USING INTEGER PRIMARY KEY"),
    "rows that wait": (sql.WAITING, 2, "SEARCH work USING INDEX work_waiting"),
    "rows never begun": (sql.FRESH, 2, "SEARCH rows USING INTEGER PRIMARY KEY"),
    "rows of others": (sql.OWNED_BY_OTHERS, 1, "work USING INDEX work_owned"),
    "the next try": (sql.NEXT_TRY, 0, "SEARCH work USING COVERING INDEX work_waiting"),
    "identities": (sql.IDENTITIES, 2, "SEARCH rows USING COVERING INDEX rows_identity"),
    "shared identities": (sql.SHARED_IDENTITIES, 2, "SEARCH rows USING COVERING INDEX rows_identity"),
    "rows of an identity": (sql.ROWS_WITH_IDENTITY, 1, "SEARCH rows USING INDEX rows_identity"),
    "fresh of an identity": (sql.FRESH_OF_IDENTITY, 4, "SEARCH rows USING INDEX rows_identity"),
    "identities elsewhere": (
        sql.present_identities(3),
        3,
        "SEARCH rows USING COVERING INDEX rows_identity",
    ),
    "the last link": (sql.LAST_LINK, 0, "SCAN receipts"),
    "settled rows": (sql.SETTLED_AFTER, 2, "SEARCH rows USING INTEGER PRIMARY KEY"),
    "what was worked on": (sql.WORKED_IN_STATE, 3, "SEARCH work USING INTEGER PRIMARY KEY"),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_statement_reads_more_than_it_needs(tables, name):
    """As SQLite plans it: by an index, and, but for what is so by nature, without sorting."""
    tables.execute(sql.IDENTITY_INDEX)
    statement, values, expected = PLANS[name]
    plan = [line[3] for line in tables.execute(f"EXPLAIN QUERY PLAN {statement}", [b"1"] * values)]
    assert expected in " | ".join(plan)
    assert not [step for step in plan if "TEMP B-TREE" in step]
    assert not [step for step in plan if step.startswith("SCAN") and "USING" not in step][
        int(name == "the last link") :
    ]
