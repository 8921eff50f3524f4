"""The scheduled tier: when a row that was provably not applied is tried again, after its slot is free.

The one rule: a night's batch is never lost to an outage, and an outage is never answered with a storm.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from ..errors import RetryBudgetExhaustedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..errors import TransferError

STEPS_S: Final = (60.0, 120.0, 240.0, 480.0, 900.0, 1800.0, 3600.0)
"""1 to 60 minutes, then every 60 minutes until the row is given up."""
SPREAD: Final = 0.2
"""Each wait is drawn up to a fifth shorter or longer, so that rows do not come back in step."""


def wait_s(error: TransferError, tries: int, draw: Callable[[], float] = random.random) -> float:
    """How long a row waits before its next try.

    Args:
        error: Why the last try failed; what the server asked for is never undercut.
        tries: How often the row has waited before.
        draw: Draws from [0, 1); replaced in tests.
    """
    step = STEPS_S[min(tries, len(STEPS_S) - 1)]
    if isinstance(error, RetryBudgetExhaustedError):
        step = STEPS_S[0]  # it was not this row's doing
    drawn = step * (1 - SPREAD + 2 * SPREAD * draw())
    return max(drawn, error.retry_after_s or 0.0)


def is_over(since_ms: int, now_ms: int, wait: float, give_up_after_s: float) -> bool:
    """Whether the next try would come after the row is given up.

    Args:
        since_ms: Its first try, or the beginning of this run if that is later: while no run went on,
            nobody tried, and a night's pause must not take its tries away.
        now_ms: Now.
        wait: Seconds until the next try.
        give_up_after_s: How long it is tried.
    """
    return now_ms + wait * 1000 > since_ms + give_up_after_s * 1000
