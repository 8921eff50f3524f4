"""What held a batch up, and what to change: one finding, with the number that shows it. Pure.

The one rule: no number, no advice. A finding rests on seconds that were measured while rows were sent,
and says how many of how many.

The method is that of AzCopy's performance advice: the time of all slots is divided among what they
waited for, and the largest part is the bottleneck, unless the process itself had no time left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from ..settings.quantity import show_seconds

if TYPE_CHECKING:
    from .totals import Activity

Bottleneck = Literal["quota", "destination", "network", "disk", "cpu", "rows"]

LEAST_SLOT_S: Final = 1.0
"""Slots that were busy for less in all say nothing about a night."""
CPU_SHARE: Final = 0.85
"""So much of one core leaves an event loop no time: everything else it waits for is then late too."""
BUSY_SHARE: Final = 0.5
"""So much of one core explains waits that nothing else does."""
IDLE_SHARE: Final = 0.5
"""Slots that were empty for more than this waited for rows, not for what happens to a row."""


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """What held a batch up.

    Attributes:
        bottleneck: `quota`, `destination`, `network`, `disk`, `cpu`, or `rows`: there was not enough
            to do at a time.
        share: The part of the slots' time, or of a core, that it took, from 0 to 1.
        because: The number that shows it, as a sentence.
        change: What to change, as a sentence.
    """

    bottleneck: Bottleneck
    share: float
    because: str
    change: str


_CHANGE: Final[dict[Bottleneck, str]] = {
    "quota": (
        "Embed more (--embed-up-to: one request per document instead of two), send from a further"
        " address, or ask Redox for a higher limit; more slots would only wait."
    ),
    "destination": (
        "Raise --concurrency for as long as the answers do not get slower; if they do, this is what the"
        " destination takes."
    ),
    "network": (
        "Use a faster line, or one nearer to Redox; more slots help only where a single connection is"
        " slower than the line."
    ),
    "disk": "Put the files, or the ledger (--ledger), on a faster disk.",
    "cpu": "Send from more processes: `--workers N`, up to the number of processors.",
    "rows": (
        "Nothing held up the rows under way; there were not more to send at a time. That is so with a"
        " short manifest, while rows wait for their next try, and while the first rows of each"
        " destination and type are tried (--canaries)."
    ),
}


_DOWN: Final = (
    "Requests were repeated, or waited for a destination that was down: the statuses and error codes say"
    " what it answered; ask the destination, or Redox."
)
_DOING: Final[dict[Bottleneck, str]] = {
    "quota": "Waiting for the request quota",
    "destination": "Waiting for answers",
    "network": "Connecting and sending",
    "disk": "Reading the files and writing the ledger",
}


def advise(activity: Activity, *, troubles: int = 0) -> Advice | None:
    """Find the bottleneck; None while too little was measured.

    Args:
        activity: Seconds, summed over all runs of the batch.
        troubles: Requests that were repeated, or got no complete answer.
    """
    if activity.slot_s < LEAST_SLOT_S or activity.wall_s <= 0:
        return None
    cpu = activity.cpu_s / activity.wall_s
    if cpu >= CPU_SHARE:
        return _of_cpu(cpu)
    idle = 1 - activity.slot_s / activity.capacity_s if activity.capacity_s > 0 else 0.0
    if idle > IDLE_SHARE:
        return _advice("rows", idle, f"The slots were empty for {idle:.0%} of the time.")
    return _of_waits(activity, cpu, troubles)


def _of_waits(activity: Activity, cpu: float, troubles: int) -> Advice:
    """What the slots waited for most."""
    sending_s = activity.sending_s - activity.source_s - activity.journal_s
    spent: dict[Bottleneck, float] = {
        "quota": activity.quota_s,
        "destination": activity.server_s,
        "network": activity.connection_s + max(0.0, sending_s),
        "disk": activity.source_s + activity.journal_s,
    }
    largest = max(spent, key=lambda name: spent[name])
    between_s = activity.slot_s - sum(spent.values())
    if between_s <= spent[largest]:
        return _of_slots(largest, _DOING[largest], spent[largest], activity)
    if troubles:
        return _of_slots("destination", "Waiting between attempts", between_s, activity, change=_DOWN)
    if cpu >= BUSY_SHARE:
        return _of_cpu(cpu)
    return _of_slots("disk", "Waiting for the ledger and the manifest", between_s, activity)


def _of_cpu(share: float) -> Advice:
    return _advice("cpu", share, f"The process used {share:.0%} of a core.")


def _of_slots(
    bottleneck: Bottleneck, doing: str, seconds: float, activity: Activity, *, change: str | None = None
) -> Advice:
    share = min(1.0, seconds / activity.slot_s)
    because = (
        f"{doing} took {show_seconds(seconds)} of the {show_seconds(activity.slot_s)} that slots were"
        f" busy ({share:.0%})."
    )
    return _advice(bottleneck, share, because, change=change)


def _advice(bottleneck: Bottleneck, share: float, because: str, *, change: str | None = None) -> Advice:
    return Advice(
        bottleneck=bottleneck,
        share=round(share, 4),
        because=because,
        change=change or _CHANGE[bottleneck],
    )
