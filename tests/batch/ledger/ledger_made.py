"""Rows, receipts and drives that tests of the ledger share. None of it is anybody's."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from chartsend.batch.row import Claimed, Planned, RowReceipt, State

if TYPE_CHECKING:
    from chartsend.batch.ledger import Ledger

US, THEM = "owner-1", "owner-2"
URL = "https://blob.example/Binary/5c9e9d5f-16b1-4b2b-9d0c-0123456789ab"
NO_IDENTITY = bytes(16)
_counter = itertools.count(1)


def identity_of(number: int) -> bytes:
    """An identity, other for every number."""
    return number.to_bytes(16, "big")


def planned(row: int, **changes) -> Planned:
    """A row that can be sent."""
    fields = {
        "row": row,
        "offset": row * 300,
        "identity": identity_of(row),
        "content": row.to_bytes(8, "big"),
        "size_bytes": 1000 + row,
        "mtime_ns": 1_795_000_000_000_000_000 + row,
        "route": row % 10,
    }
    return Planned(**(fields | changes))


def rejected(row: int, **changes) -> Planned:
    """A row that cannot."""
    fields = {
        "row": row,
        "offset": row * 300,
        "identity": NO_IDENTITY,
        "content": row.to_bytes(8, "big"),
        "error_code": "row_rejected",
        "error": f"row {row}: the field `type` is missing",
    }
    return Planned(**(fields | changes))


def receipt(row: int, status: str = "accepted", **changes) -> RowReceipt:
    """How a row ended."""
    fields = {
        "row": row,
        "status": status,
        "at_ms": 1_795_000_000_000 + row,
        "route": row % 10,
        "size_bytes": 1000 + row,
        "milliseconds": 40 + row % 7,
        "attempts": 2,
        "sha256": row.to_bytes(32, "big"),
        "reference_url": URL,
        "log_ids": ("b4b3a1c2-0000-4000-8000-000000000001", "b4b3a1c2-0000-4000-8000-000000000002"),
    }
    if status != "accepted":
        fields |= {"error_code": "invalid", "error": "the server answered 422"}
    return RowReceipt(**(fields | changes))


async def plan_rows(ledger: Ledger, count: int, **changes) -> None:
    """Rows 1 to `count`, ready to be claimed."""
    await ledger.plan([planned(row, **changes) for row in range(1, count + 1)], {})
    await ledger.reject_duplicates()


async def claim_row(ledger: Ledger, row: int, owner: str = US, now_ms: int = 1000) -> Claimed:
    """Claim one row, which must be the next one."""
    (claimed,) = await ledger.claim(owner, 1, now_ms)
    assert claimed.row == row
    return claimed


async def upload(ledger: Ledger, row: int, owner: str = US, **changes) -> None:
    """From a claim to `UPLOADED`."""
    fields = {"reference_url": URL, "source_id": "src-1", "sha256": b"f" * 32, "now_ms": 2000}
    await ledger.uploading(row, owner, attempts=1)
    await ledger.uploaded(row, owner, **(fields | changes))


async def refer(ledger: Ledger, row: int, owner: str = US, **changes) -> None:
    """The intent of a message."""
    fields = {"attempts": 2, "sha256": None, "message_hash": b"h" * 32, "message_ms": 3000}
    await ledger.referencing(row, owner, **(fields | changes))


async def bring_to(  # noqa: C901  # one case for each state
    ledger: Ledger, row: int, state: State, owner: str = US
) -> None:
    """Bring a row that waits, alone, to a state."""
    if state is not State.QUEUED:
        await claim_row(ledger, row, owner)
    match state:
        case State.UPLOADING:
            await ledger.uploading(row, owner, attempts=1)
        case State.UPLOADED:
            await upload(ledger, row, owner)
        case State.REFERENCING:
            await refer(ledger, row, owner)
        case State.RETRY_AT:
            await ledger.retry_at(row, owner, next_try_ms=9000, attempts=1, error_code="stall_timeout")
        case State.DONE:
            await refer(ledger, row, owner)
            await ledger.settle(receipt(row), owner)
        case State.FAILED:
            await ledger.settle(receipt(row, "failed"), owner)
        case State.IN_DOUBT:
            await refer(ledger, row, owner)
            await ledger.settle(receipt(row, "in_doubt"), owner)
        case _:
            assert state is State.QUEUED
