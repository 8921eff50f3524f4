"""Two results side by side: which figures differ, and whether by more than the rounds of each differ.

The one rule: figures of two machines or days are shown side by side; they are no verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from .contest import spread
from .tables import number, plain, spread_of

if TYPE_CHECKING:
    from .contest import Spread
    from .machine import Machine
    from .results import Results

NOTABLE: Final = 0.02
"""A median that moved less is left out, unless the ranges are apart."""
HEAD = ("scene", "where", "sender", "figure", "A", "B", "change", "ranges")


class Difference(NamedTuple):
    """A figure that both have.

    Attributes:
        key: Scene, series and place, contestant, figure with its unit.
        a: Values of the first.
        b: Values of the second.
    """

    key: tuple[str, ...]
    a: list[float]
    b: list[float]

    @property
    def change(self) -> float | None:
        """How much the median moved, as a share of the first; None from zero."""
        before, after = spread(self.a).median, spread(self.b).median
        return None if before == 0 else after / before - 1

    @property
    def overlaps(self) -> bool:
        """Whether lowest to highest of both have anything in common."""
        return _overlap(spread(self.a), spread(self.b))

    @property
    def is_notable(self) -> bool:
        """Whether it is worth a line."""
        if self.change is None:
            return self.a != self.b
        return abs(self.change) > NOTABLE or not self.overlaps


def differences(a: Results, b: Results) -> list[Difference]:
    """Figures that differ, in the order of the first; those whose ranges are apart come first."""
    other = dict(b.everything())
    found = [Difference(key, values, other[key]) for key, values in a.everything() if key in other]
    return sorted((each for each in found if each.is_notable), key=lambda each: each.overlaps)


def text(a: Results, b: Results) -> str:
    """The table for a terminal, and what only one of them has."""
    parts: list[str] = []
    if _settled(a.machine) != _settled(b.machine) or a.quick != b.quick:
        parts.append(_unlike(a, b))
    found = differences(a, b)
    parts.append(plain(HEAD, [_row(each) for each in found], left=4) if found else "no figure differs")
    only_a, only_b = dict(a.everything()), dict(b.everything())
    for name, here, there in (("A", only_a, only_b), ("B", only_b, only_a)):
        if missing := sum(key not in there for key in here):
            parts.append(f"{missing} figures are in {name} only")
    return "\n\n".join(parts)


def _row(each: Difference) -> tuple[str, ...]:
    change = "" if each.change is None else f"{each.change:+.1%}"
    ranges = "overlap" if each.overlaps else "apart"
    return (*each.key, spread_of(each.a), spread_of(each.b), change, ranges)


def _overlap(a: Spread, b: Spread) -> bool:
    return a.low <= b.high and b.low <= a.high


def _settled(machine: Machine) -> Machine:
    """All that tells machines apart: the load is another one every minute."""
    return msgspec.structs.replace(machine, load=0.0)


def _unlike(a: Results, b: Results) -> str:
    """What was not the same around them; figures then say less of the program."""
    lines = ["The runs are not of one kind:"]
    for name in ("cpu", "cores", "kernel", "python", "file_system", "load"):
        before, after = getattr(a.machine, name), getattr(b.machine, name)
        if before != after:
            lines.append(f"  {name}: {_word(before)} / {_word(after)}")
    for name in sorted(a.machine.versions.keys() | b.machine.versions.keys()):
        before, after = a.machine.versions.get(name), b.machine.versions.get(name)
        if before != after:
            lines.append(f"  {name}: {before} / {after}")
    if a.quick != b.quick:
        lines.append(f"  quick: {a.quick} / {b.quick}")
    return "\n".join(lines)


def _word(value: object) -> str:
    return number(value) if isinstance(value, float) else str(value)
