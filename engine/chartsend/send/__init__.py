"""One document through every step, told to the journal: `Sender` does it, `Ask` says what is wanted."""

from .ask import Ask, Plan
from .sender import Sender

__all__ = ["Ask", "Plan", "Sender"]
