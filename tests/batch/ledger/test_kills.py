"""What was confirmed is there after any kill, and nothing is there by half."""

from __future__ import annotations

import os
import random
import shutil
import time
from typing import TYPE_CHECKING

import pytest
from ledger_lives import Lives
from ledger_made import US, plan_rows, receipt, refer

from chartsend.batch.row import State
from chartsend.batch.sqlite import SqliteLedger, SqliteReader
from chartsend.errors import LedgerCorruptError

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("CHARTSEND_LEDGER_KILLS", "60"))
ALL_OFFSETS = bool(os.environ.get("CHARTSEND_ALL_OFFSETS"))
FRAME_BYTES = 24 + 4096


@pytest.mark.slow
@pytest.mark.timeout(120 + 4 * KILLS)
def test_confirmed_steps_survive_kill_9(tmp_path):
    """One batch after the other, each killed again and again until it is through."""
    seed = int(os.environ.get("CHARTSEND_SEED", "0")) or random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    kills = batches = 0
    while kills < KILLS:
        batches += 1
        lives = Lives(tmp_path / str(batches), 600)
        try:
            while True:
                child = lives.start()
                # Early: while it opens, mends and plans. Late: in the middle of its steps.
                steps_left = draw.choice([0, draw.randrange(40), draw.randrange(900)])
                is_finished = False
                if not steps_left:
                    time.sleep(draw.uniform(0, 0.02))
                    lives.kill(child)
                for words in lives.told():
                    assert words[0] != "-" or words[1] == "finished", f"seed {seed}: {words}"
                    is_finished = words[0] == "-"
                    steps_left -= 1
                    if steps_left == 0:
                        time.sleep(draw.uniform(0, 0.003))
                        lives.kill(child)
                if (tmp_path / str(batches) / "ledger.db").exists():
                    counts = lives.judge()
                if is_finished:
                    break
                kills += 1
        finally:
            lives.close()
        assert counts[State.DONE] == 600, f"seed {seed}"
    print(f"{kills} kills, {batches} batches, seed {seed}")


async def _grown(directory: Path) -> list[tuple[int, object]]:
    """A ledger in use; length of its log and content after each of some commits."""
    ledger = await SqliteLedger.open(directory, create=True)
    await plan_rows(ledger, 30)
    rows = await ledger.claim(US, 10, 0)
    states: list[tuple[int, object]] = []
    for row in rows:
        await refer(ledger, row.row)
        states.append(_now(directory))
        await ledger.settle(receipt(row.row), US)
        states.append(_now(directory))
    shutil.copytree(directory, directory.with_name("copy"))
    (directory.with_name("copy") / "mark").unlink()
    await ledger.aclose()
    return states


def _now(directory: Path) -> tuple[int, object]:
    return (directory / "ledger.db-wal").stat().st_size, _content(directory)


def _content(directory: Path) -> object:
    reader = SqliteReader.open(directory)
    try:
        assert reader.verify() == []
        return list(reader.rows()), list(reader.receipts()), reader.totals(), reader.counts()
    finally:
        reader.close()


async def _refuses(copy: Path, mark: Path, *, whole: bool) -> None:
    shutil.copy(mark, copy / "mark")
    reader = SqliteReader.open(copy)
    findings = reader.verify()
    reader.close()
    assert any("are missing" in finding for finding in findings) != whole
    if not whole:
        with pytest.raises(LedgerCorruptError, match="remove the file `mark`"):
            await SqliteLedger.open(copy, create=False)
    (copy / "mark").unlink()


def _cuts(first: int, last: int) -> list[int]:
    """Every offset around each frame's edges and its header, and many in between."""
    if ALL_OFFSETS:
        return list(range(last, first - 1, -1))
    near = {
        edge + offset
        for edge in range(first, last + 1, FRAME_BYTES)
        for offset in (-1, 0, 1, 4, 8, 15, 16, 23, 24, 25)
        if first <= edge + offset <= last
    }
    return sorted(near | set(range(first, last + 1, 1499)), reverse=True)


@pytest.mark.slow
@pytest.mark.timeout(20_000 if ALL_OFFSETS else 600)
@pytest.mark.parametrize("how", ["cut", "zeros"])
async def test_a_torn_log_loses_its_torn_end_and_nothing_else(tmp_path, how):
    states = await _grown(tmp_path / "batch")
    copy = tmp_path / "copy"
    log = copy / "ledger.db-wal"
    (first, _), (last, _) = states[-7], states[-1]
    assert log.stat().st_size == last
    whole = log.read_bytes()
    for offset in _cuts(first, last):
        with log.open("r+b") as file:
            if how == "cut":
                file.truncate(offset)
            else:
                file.seek(offset)
                file.write(bytes(len(whole) - offset))
        (copy / "ledger.db-shm").unlink(missing_ok=True)
        kept = offset
        while how == "zeros" and kept < last and not whole[kept]:
            kept += 1  # what was zero stays as it was
        expected = [content for length, content in states if length <= kept][-1]
        assert _content(copy) == expected, offset
        if offset % 31 == 0:  # what was confirmed is known to be missing, until somebody takes that
            await _refuses(copy, tmp_path / "batch" / "mark", whole=kept == last)
    # And it can be worked with again.
    ledger = await SqliteLedger.open(copy, create=False)
    await ledger.take_over("another", 1)
    assert await ledger.claim("another", 5, 1)
    await ledger.aclose()
    assert _content(copy)


async def test_a_bit_that_flipped_in_the_log_is_noticed(tmp_path):
    """SQLite drops what follows a damaged frame, without a word; the mark knows what was confirmed."""
    states = await _grown(tmp_path / "batch")
    copy = tmp_path / "copy"
    log = copy / "ledger.db-wal"
    whole = bytearray(log.read_bytes())
    mark = (tmp_path / "batch" / "mark").read_bytes()
    contents = [content for _, content in states]
    for bit in range(states[2][0] * 8, states[3][0] * 8, 1999):
        changed = whole.copy()
        changed[bit // 8] ^= 1 << bit % 8
        log.write_bytes(changed)
        (copy / "ledger.db-shm").unlink(missing_ok=True)
        assert _content(copy) == contents[2]
        (copy / "mark").write_bytes(mark)
        (copy / "mark").chmod(0o600)
        with pytest.raises(LedgerCorruptError, match=f"the last {len(contents) - 3} commits"):
            await SqliteLedger.open(copy, create=False)
        (copy / "mark").unlink()
