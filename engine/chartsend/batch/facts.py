"""The facts that a ledger keeps of its batch, each a short text under a fixed name.

The one rule: names and forms of facts stand here, once, since a later chartsend reads them again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from ..errors import AlreadySentError, DuplicateIdError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .manifest.reading import Snapshot

OPTIONS: Final = "options"
"""Keyed hashes of the options that may not change (`Options.fixed`), as JSON."""
SNAPSHOT: Final = "snapshot"
"""Which manifest was planned, or is being planned: size, times, inode, device, as JSON."""
SHA256: Final = "sha256"
"""Of the planned manifest, in hex."""
POSITION: Final = "position"
"""How far planning has come, as JSON; absent when it is finished."""
PLAN: Final = "plan"
"""`BatchPlan` as JSON; absent until planning is finished."""
EMBED_UP_TO: Final = "embed_up_to_bytes"
"""The setting that the routes were planned with."""
SENDER: Final = "sender"
"""Source id and `--to`, as JSON: what derived document ids need (`naming.py`)."""
ROOT: Final = "root"
"""A keyed hash of the folder that rows' paths are relative to: derived document ids need it."""
HEARD: Final = "heard"
"""How much other ledgers had sent when the rows were compared with theirs (`earlier.py`), as JSON.

Noted with `PLAN`, always: together they say that the plan is right up to there."""
MISSING: Final = "missing_ledgers"
"""How many ledgers on the user's list were not there when that was last told."""
STARTED: Final = "started_ms"
"""When rows were first sent, Unix milliseconds."""


class Where(msgspec.Struct, frozen=True):
    """A place in the manifest: where the next record starts."""

    offset: int
    line: int


class BatchPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan found: counts, and what they cost.

    Attributes:
        rows: Records in the manifest.
        accepted: Rows that can be sent.
        size_bytes: Raw bytes of those.
        requests: Requests they need, tokens and retries apart.
        by_route: Rows by route, such as `{"upload document-reference": 17}`.
        rejected: Rows refused, by error code.
        hours: For the requests at the quota that a batch may use; 0 when there is no quota.
        uploads_by_limit: How many of the uploads a higher `--embed-up-to` would embed, by limit in
            bytes: each saves a request.
    """

    rows: int
    accepted: int
    size_bytes: int
    requests: int
    by_route: dict[str, int]
    rejected: dict[str, int]
    hours: float
    uploads_by_limit: dict[int, int]

    @property
    def duplicates(self) -> int:
        """Rows that say the same document as an earlier row."""
        return self.rejected.get(DuplicateIdError.code, 0)

    @property
    def already_sent(self) -> int:
        """Rows that an earlier batch of this user has sent, or may have sent."""
        return self.rejected.get(AlreadySentError.code, 0)


def packed(fact: object) -> str:
    """A fact as the text that is kept."""
    return msgspec.json.encode(fact).decode()


def snapshot_of(snapshot: Snapshot) -> str:
    """Which file a manifest is, as a fact."""
    return packed(snapshot)


def read_options(facts: Mapping[str, str]) -> dict[str, str] | None:
    """The options that a ledger was made with; None for a new one."""
    text = facts.get(OPTIONS)
    return None if text is None else msgspec.json.decode(text, type=dict[str, str])


def read_position(facts: Mapping[str, str]) -> Where | None:
    """How far planning came, when it was stopped."""
    text = facts.get(POSITION)
    return None if text is None else msgspec.json.decode(text, type=Where)


def read_heard(facts: Mapping[str, str]) -> dict[str, str]:
    """How much other ledgers had sent when they were last asked."""
    text = facts.get(HEARD)
    return {} if text is None else msgspec.json.decode(text, type=dict[str, str])


def read_missing(facts: Mapping[str, str]) -> int:
    """How many ledgers were told to be missing."""
    return int(facts.get(MISSING, "0"))


def read_plan(facts: Mapping[str, str]) -> BatchPlan | None:
    """The finished plan."""
    text = facts.get(PLAN)
    return None if text is None else msgspec.json.decode(text, type=BatchPlan)
