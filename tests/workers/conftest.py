"""Loads what the three folders share (`tests/transport/rig.py`), and what is ours (`seen.py`)."""

import importlib.util
import sys
from pathlib import Path

if "rig" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "rig", Path(__file__).parents[1] / "transport" / "rig.py"
    )
    sys.modules["rig"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["rig"])

if "seen" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("seen", Path(__file__).parent / "seen.py")
    sys.modules["seen"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["seen"])

from rig import (  # noqa: F401  # fixtures
    _sandbox_process,
    certificates,
    engine_for,
    fast_setup,
    key_file,
    nothing_is_left,
    sandbox,
    settings_for,
)
from seen import make_document, team  # noqa: F401  # fixtures
