"""What one sandbox knows while it runs. Every room gets this object and keeps nothing of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

    from .accounts import Account
    from .connection import Connection, Gate
    from .events import EventLog
    from .faults import Refuse, Script
    from .options import Options
    from .quota import Quota
    from .records import Records
    from .store import Store
    from .tokens import Clock, Tokens


@dataclass(slots=True)
class Counts:
    """How many requests were seen and how they were answered, by kind."""

    seen: Counter[str] = field(default_factory=Counter[str])
    answered: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    over_quota: int = 0

    def describe(self) -> dict[str, object]:
        """Give the counts, for showing."""
        statuses: dict[str, dict[str, int]] = {}
        for (kind, status), number in sorted(self.answered.items()):
            statuses.setdefault(kind, {})[status] = number
        return {
            "total": self.seen.total(),
            "seen": dict(self.seen),
            "statuses": statuses,
            "over_quota": self.over_quota,
        }


@dataclass(slots=True)
class Sandbox:
    """The parts of a running sandbox.

    Attributes:
        api_url: Scheme, host and port of the API, without a path.
        blob_url: The same of the upload endpoint; another port.
        refuse: Closes the ports for a time, as a fault asks.
    """

    options: Options
    account: Account
    store: Store
    events: EventLog
    records: Records
    clock: Clock
    tokens: Tokens
    quota: Quota
    script: Script
    gate: Gate
    api_url: SplitResult
    blob_url: SplitResult
    admin_token: str
    refuse: Callable[[Refuse, Connection | None], None]
    counts: Counts = field(default_factory=Counts)

    @property
    def token_url(self) -> str:
        """Where tokens are asked for, and what assertions name as their audience."""
        return self.api_url.geturl() + "/v2/auth/token"

    @property
    def dashboard_url(self) -> str:
        """The page for people; opened with the admin token once, it remembers it in a cookie."""
        return self.api_url.geturl() + "/_sandbox/log"
