"""What is measured, one module for each scene; this is their order in the report.

The one rule: a scene measures and returns figures; it judges nothing and prints nothing.
"""

from __future__ import annotations

from typing import Final

from . import (
    big,
    cold,
    concurrency,
    cores,
    memory,
    planning,
    quota,
    routes,
    sandbox,
    sizes,
    small,
    start,
)
from .scene import Axis, Entrant, Scene, Stage

__all__ = ["AGAINST_SANDBOX", "SCENES", "Axis", "Entrant", "Scene", "Stage", "by_name"]

SCENES: Final[tuple[Scene, ...]] = (
    big.SCENE,
    sizes.SCENE,
    concurrency.SCENE,
    memory.SCENE,
    small.SCENE,
    routes.SCENE,
    cores.SCENE,
    cold.SCENE,
    planning.SCENE,
    quota.SCENE,
    start.SCENE,
)
"""Against the sink."""

AGAINST_SANDBOX: Final[tuple[Scene, ...]] = (sandbox.SCENE,)
"""Against the sandbox, which checks every byte, and so is slower than most senders."""


def by_name(name: str) -> Scene:
    """A scene of either kind.

    Raises:
        KeyError: There is none of that name.
    """
    return {scene.name: scene for scene in SCENES + AGAINST_SANDBOX}[name]
