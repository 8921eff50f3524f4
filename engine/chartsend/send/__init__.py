"""One document through every step, told to the journal: `Asking` says what, `Sender` does it."""

from .ask import Ask, Earlier, Plan
from .asking import Asking
from .sender import Sender

__all__ = ["Ask", "Asking", "Earlier", "Plan", "Sender"]
