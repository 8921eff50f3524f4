"""What these tests share with other folders (`tests/transport/rig.py`), and what is ours (`seen.py`)."""

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
