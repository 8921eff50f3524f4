"""What refusals (429) change: a pause, half the rate and its slow return, probes, and the limit itself.

The one rule: nobody finds the quota by running into it. After a refusal everything pauses, one request
at a time asks whether it is over, and the rate comes back in steps.

Pure arithmetic on times in nanoseconds; whoever holds one decides where it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .clock import LONG_AGO_NS, SECOND_NS

WHOLE_PPM: Final = 1_000_000
STEP_PPM: Final = 10_000
"""1 % of the whole comes back for every clean stretch."""
LEAST_PPM: Final = 50_000
"""However often it is refused, a twentieth of the rate stays."""
CLEAN_NS: Final = 10 * SECOND_NS
PROBE_NS: Final = 5 * SECOND_NS
LEARNED_NS: Final = 24 * 3600 * SECOND_NS
"""A limit that the server named counts for a day: it is a property of the account, not of the hour;
and when it was raised, somebody should notice before the next reboot."""


@dataclass(slots=True)
class Pace:
    """How fast requests may go, apart from the window itself.

    Attributes:
        paused_until_ns: Nothing is dispatched before.
        probe_at_ns: While it is refused, nothing is dispatched before; every dispatch moves it on.
        refused_at_ns: The last refusal of a request that was dispatched after the one before.
        share_ppm: Parts per million of the rate, when the last pause began.
        streak: Such refusals since the last clean answer; 0: nothing is refused.
        refusals: All refusals that were seen.
        learned: Requests per window that the server named; 0 for none.
        learned_for: The setting that it replaces; with another setting it does not hold.
        learned_at_ns: When the server named it.
    """

    paused_until_ns: int = LONG_AGO_NS
    probe_at_ns: int = LONG_AGO_NS
    refused_at_ns: int = LONG_AGO_NS
    share_ppm: int = WHOLE_PPM
    streak: int = 0
    refusals: int = 0
    learned: int = 0
    learned_for: int = 0
    learned_at_ns: int = LONG_AGO_NS

    def open_at_ns(self) -> int:
        """Before this time nothing is dispatched, whatever room the window has."""
        if self.streak:
            return max(self.paused_until_ns, self.probe_at_ns)
        return self.paused_until_ns

    def share_at_ppm(self, now_ns: int) -> int:
        """How much of the rate may be used, in parts per million."""
        if self.share_ppm >= WHOLE_PPM:
            return WHOLE_PPM
        clean_ns = now_ns - max(self.refused_at_ns, self.paused_until_ns)
        return min(WHOLE_PPM, self.share_ppm + STEP_PPM * max(0, clean_ns // CLEAN_NS))

    def dispatched(self, now_ns: int) -> None:
        """One request goes; while it is refused, it is the probe, and the others wait for its answer."""
        if self.streak:
            self.probe_at_ns = now_ns + self._gap_ns()

    def refused(self, dispatched_at_ns: int, now_ns: int) -> bool:
        """A 429 came: halve the rate, and let probes go only; False if it says nothing new.

        Requests that were dispatched before the last refusal was heard belong to the same burst.
        """
        self.refusals += 1
        if dispatched_at_ns < self.refused_at_ns:
            return False
        if self.streak == 0 and now_ns - self.refused_at_ns >= CLEAN_NS:
            self.share_ppm = max(LEAST_PPM, self.share_at_ppm(now_ns) // 2)
        self.streak = min(self.streak + 1, 1000)
        self.refused_at_ns = now_ns
        self.probe_at_ns = now_ns + self._gap_ns()
        return True

    def answered_cleanly(self, dispatched_at_ns: int) -> bool:
        """An answer other than 429 came: whether it ends the probing."""
        if not self.streak or dispatched_at_ns <= self.refused_at_ns:
            return False
        self.streak = 0
        return True

    def pause(self, until_ns: int) -> None:
        """Dispatch nothing before `until_ns`; an earlier pause that lasts longer stays."""
        self.paused_until_ns = max(self.paused_until_ns, until_ns)

    def learn(self, requests: int, instead_of: int, now_ns: int) -> None:
        """The server named its limit."""
        self.learned, self.learned_for, self.learned_at_ns = requests, instead_of, now_ns

    def requests_at(self, setting: int, now_ns: int) -> int:
        """Requests per window that the server allows: what it said itself, else the setting."""
        is_learned = self.learned and self.learned_for == setting
        return self.learned if is_learned and now_ns - self.learned_at_ns < LEARNED_NS else setting

    def after_boot(self, now_ns: int) -> Pace:
        """What stays of it when the clock has begun anew: all but the times."""
        return Pace(
            refused_at_ns=now_ns,
            share_ppm=self.share_ppm,
            streak=self.streak,
            refusals=self.refusals,
            learned=self.learned,
            learned_for=self.learned_for,
            learned_at_ns=now_ns,
        )

    def _gap_ns(self) -> int:
        """1, 2, 4, then 5 seconds: a refusal by chance is soon over, a storm meets few probes."""
        return min(PROBE_NS, SECOND_NS << min(self.streak - 1, 3))
