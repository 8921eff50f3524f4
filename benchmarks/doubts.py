"""What lets one doubt the figures of a run before having seen them: few rounds, a busy machine.

The one rule: a doubt is told, and changes no verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .results import Results

LEAST_ROUNDS: Final = 3
"""With fewer, one bad round decides the median."""
MOST_LOAD: Final = 0.25
"""Of each core, at the start: what others use takes turns with sender and sink."""


def of(results: Results) -> str | None:
    """Why the figures are doubtful, in one line; None when there is no reason."""
    reasons: list[str] = []
    if results.rounds < LEAST_ROUNDS:
        reasons.append(f"{rounds(results)} instead of {LEAST_ROUNDS} or more")
    machine = results.machine
    if machine.load > MOST_LOAD * machine.cores:
        reasons.append(f"a load average of {machine.load:g} on {machine.cores} cores at the start")
    return f"the figures are doubtful: {', and '.join(reasons)}" if reasons else None


def rounds(results: Results) -> str:
    """How many rounds there were, in words."""
    return f"{results.rounds} round{'' if results.rounds == 1 else 's'}"
