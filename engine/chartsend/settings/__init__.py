"""Settings: their one validated shape (`shape.py`, of `parts.py`), and reading it (`load.py`)."""

from .parts import Auth, Destination, Limits, Retry, Timeouts
from .shape import Environment, Settings, is_loopback, parse_quota

__all__ = [
    "Auth",
    "Destination",
    "Environment",
    "Limits",
    "Retry",
    "Settings",
    "Timeouts",
    "is_loopback",
    "parse_quota",
]
