"""A life watched from the first call to the last, and what the order oracle makes of it.

The one rule: the intent of a message is computed from the message that left, with the ledger's key;
the life itself is not asked.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import order
import tracing

from chartsend.batch.journal import HASH_BYTES
from chartsend.batch.sqlite import SqliteReader

if TYPE_CHECKING:
    from pathlib import Path

    from lives import Life, Nursery
    from scenery import Scene

    from chartsend.testing.sandbox import SandboxProcess


def calls_of(log: Path) -> list[order.Call]:
    """The calls that strace wrote down."""
    with log.open(encoding="latin-1") as lines:
        return order.parse(lines)


def watched(
    nursery: Nursery, scene: Scene, sandbox: SandboxProcess, log: Path, **more: object
) -> tuple[Life, order.Findings]:
    """Let a life run to its end under strace, and hold its log against the ledger that it made."""
    life = nursery.bear(scene.job(sandbox, waits_for_tracer=True, **more))
    strace = tracing.write_down(life, log)
    life.end()
    strace.end()
    calls = calls_of(log)
    with contextlib.closing(SqliteReader.open(scene.ledger)) as reader:

        def intent_of(sha256: str) -> bytes:
            return reader.keyed(b"message", sha256.encode(), size_bytes=HASH_BYTES)

        return life, order.check(calls, files=scene.files, intent_of=intent_of)
