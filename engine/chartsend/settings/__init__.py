"""Settings: their one validated shape (`shape.py`) and how they are read (`load.py`)."""

from .shape import (
    Auth,
    Destination,
    Environment,
    Limits,
    Retry,
    Settings,
    Timeouts,
    is_loopback,
    parse_quota,
)

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
