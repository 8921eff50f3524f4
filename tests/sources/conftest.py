"""Loads what the three folders share (`rig.py`), and what the tests of opening share (`warm.py`)."""

import importlib.util
import sys
from pathlib import Path

if "rig" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "rig", Path(__file__).parents[1] / "transport" / "rig.py"
    )
    sys.modules["rig"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["rig"])

if "warm" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("warm", Path(__file__).parent / "warm.py")
    sys.modules["warm"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["warm"])

from rig import (  # noqa: F401  # fixtures
    _raw_process,
    _raw_tls_process,
    _sandbox_process,
    certificates,
    engine_for,
    fast_setup,
    key_file,
    nothing_is_left,
    raw,
    raw_tls,
    sandbox,
    settings_for,
)
from warm import folder, lane, nothing_is_known  # noqa: F401  # fixtures
