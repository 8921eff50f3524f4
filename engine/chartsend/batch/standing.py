"""What a row's state means to people, at this moment.

The one rule: a message that nobody waits for any more is in doubt. A row whose message was leaving when
its run was killed says so in the ledger only when the next run takes it over; everybody who counts,
lists or forgets rows asks here, and is told the truth before that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .row import PENDING, State

if TYPE_CHECKING:
    from collections.abc import Mapping

Word = Literal["done", "failed", "in_doubt", "rejected", "pending"]
WORDS: Final[tuple[Word, ...]] = ("done", "failed", "in_doubt", "rejected", "pending")
"""A row's state in the words for people; `pending` stands for five of the ledger's."""

CUT_OFF_CODE: Final = "outcome_unknown"
CUT_OFF: Final = "the run ended before the answer to a whole message was known"
"""What the receipt will say, once a run or a decision has taken the row over (`sqlite/claims.py`)."""

_WORD_OF: Final[dict[State, Word]] = {
    State.DONE: "done",
    State.FAILED: "failed",
    State.IN_DOUBT: "in_doubt",
    State.REJECTED: "rejected",
    **dict.fromkeys(PENDING, "pending"),
}


def word_of(state: State, *, is_running: bool) -> Word:
    """The word for a row's state.

    Args:
        state: As the ledger has it.
        is_running: Whether a process works with the ledger now; it waits for the row's answer.
    """
    return "in_doubt" if is_cut_off(state, is_running=is_running) else _WORD_OF[state]


def states_of(word: Word, *, is_running: bool) -> tuple[State, ...]:
    """The ledger's states that a word stands for."""
    return tuple(state for state in State if word_of(state, is_running=is_running) == word)


def is_cut_off(state: State, *, is_running: bool) -> bool:
    """Whether a row's message was leaving when its run was killed, and no receipt says so yet."""
    return state is State.REFERENCING and not is_running


def counted(counts: Mapping[State, int], *, is_running: bool) -> dict[Word, int]:
    """Rows by word, from rows by state."""
    return {
        word: sum(counts.get(state, 0) for state in states_of(word, is_running=is_running))
        for word in WORDS
    }


def cut_off(counts: Mapping[State, int], *, is_running: bool) -> int:
    """How many rows are in doubt of which no receipt says so yet."""
    return 0 if is_running else counts.get(State.REFERENCING, 0)
