"""What is shared with other folders (`tests/transport/rig.py`), and of opening (`warm.py`)."""

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
