"""Commands to type next, as the end of a run names them.

The one rule: no name: they go to stderr, and a manifest's name may name a patient. Words stand in the
place of names, once and always the same, and are explained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .options import Given

_WHY: Final = "names are not repeated here, since one may be a patient's."


class Hints:
    """Commands for this batch.

    Args:
        given: The options of the call.

    Attributes:
        is_folder: Whether the manifest is a folder.
    """

    def __init__(self, given: Given) -> None:
        self.is_folder = given.manifest.is_dir()
        self._ledger = () if given.ledger is None else ("--ledger", "DIR")

    def command(self, verb: str, *options: str) -> str:
        """A whole command, such as `chartsend batch list MANIFEST --state failed --ledger DIR`."""
        return f"`{' '.join(('chartsend', 'batch', verb, 'MANIFEST', *options, *self._ledger))}`"

    @property
    def legend(self) -> str:
        """What the words in the place of names mean."""
        if self._ledger:
            return f"MANIFEST and DIR stand for the two that this run was given; {_WHY}"
        return f"MANIFEST stands for the one that this run was given; {_WHY}"
