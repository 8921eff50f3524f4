"""What the sends to one worker have in common, said once.

The one rule: a number means the same on both ends: what is forgotten is forgotten by both, at the same
place of the line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..aio import Deadline
from ..send import Ask
from .wire import Send, Terms

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ports import Progress

MOST: Final = 1_000


class Said:
    """The engine's end.

    Args:
        say: Speaks to the worker.
    """

    def __init__(self, say: Callable[[Terms | Send], None]) -> None:
        self._say = say
        self._numbers: dict[tuple[object, ...], int] = {}

    def send(self, number: int, ask: Ask) -> None:
        """Let the worker send a document as job `number`."""
        self._say(
            Send(
                number,
                self._terms_of(ask),
                ask.document,
                ask.document_id,
                ask.deadline.at,
                ask.message_at,
                ask.row,
                ask.earlier,
                ask.on_progress is not None,
            )
        )

    def _terms_of(self, ask: Ask) -> int:
        # A destination's name says which it is: settings are fixed for the life of an engine.
        key = (ask.destination.name, ask.wish, ask.api, ask.model)
        number = self._numbers.get(key)
        if number is None:
            if len(self._numbers) >= MOST:
                self._numbers.clear()
            number = self._numbers[key] = len(self._numbers)
            self._say(Terms(number, ask.destination, ask.wish, ask.api, ask.model))
        return number


class Heard:
    """The worker's end."""

    def __init__(self) -> None:
        self._terms: dict[int, Terms] = {}

    def learn(self, terms: Terms) -> None:
        """Terms for sends to come."""
        if terms.number == 0:
            self._terms.clear()
        self._terms[terms.number] = terms

    def ask(self, send: Send, on_progress: Callable[[Progress], None] | None) -> Ask:
        """What is to be sent."""
        terms = self._terms[send.terms]
        return Ask(
            document=send.document,
            destination=terms.destination,
            wish=terms.wish,
            api=terms.api,
            model=terms.model,
            deadline=Deadline(send.deadline_at),
            document_id=send.document_id,
            message_at=send.message_at,
            row=send.row,
            earlier=send.earlier,
            on_progress=on_progress,
        )
