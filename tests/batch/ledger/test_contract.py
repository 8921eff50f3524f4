"""The SQLite ledger does what every ledger must do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from ledger_contract import LedgerContract

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from chartsend.batch.ledger import Ledger, LedgerReader


@dataclass(frozen=True)
class Stored:
    """Ledgers by name."""

    folder: Path
    open_ledger: Callable[[str], Awaitable[Ledger]]
    read_ledger: Callable[[str], LedgerReader]

    async def open(self, name: str = "a") -> Ledger:
        return await self.open_ledger(name)

    def read(self, name: str = "a") -> LedgerReader:
        return self.read_ledger(name)

    def where(self, name: str = "a") -> str:
        return str(self.folder / name)


class TestSqlite(LedgerContract):
    @pytest.fixture
    def store(self, tmp_path, open_ledger, read_ledger) -> Stored:
        return Stored(tmp_path, open_ledger, read_ledger)
