"""What is said of a destination that the profile does not have: perhaps it was mistyped.

The one rule: it is said before the first request, and forbids nothing: a slug that stands in no
profile is allowed.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

from .progress import say

if TYPE_CHECKING:
    from ..settings import Settings

ALIKE: Final = 0.8
"""How alike two names are, 0 to 1 as `difflib` has it, when one may be the other mistyped."""


def say_if_mistyped(to: str, settings: Settings) -> None:
    """Say so when the profile has no such destination, but one that is called much like it.

    Args:
        to: As given; it can be a slug or an id.
        settings: With the profile's destinations.
    """
    names = {name.lower(): name for name in settings.destinations}
    if to in settings.destinations:
        return
    for close in difflib.get_close_matches(to.lower(), names, n=1, cutoff=ALIKE):
        say(
            f"{to} is not in the profile; did you mean {names[close]}? As it stands, it is taken as"
            " the slug or id of another destination."
        )
