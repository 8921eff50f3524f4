"""Gathering what the judge looks at: the ledger as anybody may read it, and the sandbox's own log.

The one rule: nothing is changed by looking, and the sandbox is asked only when it has answered or
dropped every request that it has seen.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import judge

from chartsend.batch.sqlite import SqliteReader
from chartsend.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scenery import Scene

    from chartsend.testing.sandbox import SandboxProcess

QUIET_WITHIN_S: Final = 30.0


def wait_until_quiet(sandbox: SandboxProcess) -> dict[str, Any]:
    """Wait until no request is being handled; what a killed life had sent may still come to something.

    Returns:
        The sandbox's counts of requests.
    """
    until = time.monotonic() + QUIET_WITHIN_S
    while True:
        counts = sandbox.requests()
        answered = sum(sum(by_status.values()) for by_status in counts["statuses"].values())
        if answered == counts["total"]:
            return counts
        assert time.monotonic() < until, f"the sandbox is not done: {counts}"
        time.sleep(0.01)


def refused_tokens(counts: dict[str, Any]) -> int:
    """How many token requests the sandbox has refused, by its counts."""
    statuses = counts["statuses"].get("token", {})
    return sum(number for status, number in statuses.items() if status.startswith("4"))


def gather(
    scene: Scene,
    events: Sequence[dict[str, Any]],
    *,
    told: Sequence[tuple[int, str]] = (),
    **more: Any,
) -> judge.Evidence:
    """The evidence on a batch whose lives have ended, or been killed."""
    return judge.Evidence(rows=scene.rows, events=events, told=told, **read_ledger(scene.ledger), **more)


def read_ledger(directory: Path) -> dict[str, Any]:
    """What the ledger, if there is one yet, says: entries, counts, complaints about itself."""
    if not (directory / "ledger.db").exists():
        return {"entries": [], "counts": {}}
    try:
        reader = SqliteReader.open(directory)
    except LedgerError as error:
        return {"entries": [], "counts": {}, "complaints": [f"it cannot be opened: {error.message}"]}
    with contextlib.closing(reader):
        receipts: dict[int, list[Any]] = {}
        for _, receipt in reader.receipts():
            receipts.setdefault(receipt.row, []).append(receipt)
        entries = []
        for row in reader.rows():
            mine = receipts.get(row.row, [])
            entries.append(
                judge.Entry(
                    number=row.row,
                    state=row.state.name.lower(),
                    # Of a settled row only its receipts are left.
                    maybe_duplicate=max([row.maybe_duplicate, *(r.maybe_duplicate for r in mine)]),
                    orphans=max([row.orphans, *(r.orphans for r in mine)]),
                    receipts=tuple(r.status for r in mine),
                )
            )
        counts = {state.name.lower(): count for state, count in reader.counts().items()}
        return {"entries": entries, "counts": counts, "complaints": reader.verify()}
