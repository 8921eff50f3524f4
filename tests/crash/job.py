"""What one life of a batch is to do, as it is told to the process.

The one rule: a job is complete: a life knows nothing from its surroundings.
"""

from __future__ import annotations

from typing import Final

import msgspec

TRACED_PPID: Final = 424242
"""What `getppid` gives as soon as strace counts a life's calls."""


class Job(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a life is to do.

    Attributes:
        manifest: The batch's.
        profile: Of the sandbox.
        state: Folder that stands for the user's home of keys and ledgers.
        to: Destination.
        on_unknown: As in `Options`.
        concurrency: Sends in flight.
        workers: Processes that send.
        planted: Names of bugs in `planted.py`.
        has_two_owners: Whether two runs work on the ledger at once.
        waits_for_tracer: Whether to wait, before the ledger is opened, until strace has attached.
        looks_again: Whether rows that failed or were rejected are planned again (`--retry-failed`).
        dies_at: A point of `driver.POINTS` at which it kills itself; None for none.
        room_bytes: How much any file may still grow once rows are being sent; None for no limit.
        stderr: File for what goes there; None: as inherited.
    """

    manifest: str
    profile: str
    state: str
    to: str
    on_unknown: str = "hold"
    concurrency: int = 4
    workers: int = 1
    planted: list[str] = []
    has_two_owners: bool = False
    waits_for_tracer: bool = False
    looks_again: bool = False
    dies_at: str | None = None
    room_bytes: int | None = None
    stderr: str | None = None
