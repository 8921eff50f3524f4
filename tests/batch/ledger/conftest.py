"""A home for the user's key and list, and ledgers that are closed at the end."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from chartsend.batch.sqlite import SqliteLedger, SqliteReader

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def state_home(tmp_path, monkeypatch) -> Path:
    """Where this user's key and list of ledgers stand."""
    home = tmp_path / "state"
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    return home


@pytest.fixture
async def open_ledger(tmp_path):
    """A function: opens the ledger of a name; what is left open is closed at the end."""
    async with AsyncExitStack() as stack:

        async def opened(name: str = "batch.chartsend", *, create: bool = True) -> SqliteLedger:
            ledger = await SqliteLedger.open(tmp_path / name, create=create)
            stack.push_async_callback(ledger.aclose)
            return ledger

        yield opened


@pytest.fixture
def read_ledger(tmp_path):
    """A function: reads the ledger of a name."""
    readers: list[SqliteReader] = []

    def opened(name: str = "batch.chartsend") -> SqliteReader:
        readers.append(SqliteReader.open(tmp_path / name))
        return readers[-1]

    yield opened
    for reader in readers:
        reader.close()
