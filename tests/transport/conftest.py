"""Loads what the three folders share; see `rig.py`."""

import importlib.util
import sys
from pathlib import Path

if "rig" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "rig", Path(__file__).parents[1] / "transport" / "rig.py"
    )
    sys.modules["rig"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["rig"])

if "jumping" not in sys.modules:
    _spec = importlib.util.spec_from_file_location("jumping", Path(__file__).parent / "jumping.py")
    sys.modules["jumping"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["jumping"])

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
