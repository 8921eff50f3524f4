"""Where bytes come from: a path (`file.py`), memory (`memory.py`), an iterator (`stream.py`)."""

from .opening import open_source

__all__ = ["open_source"]
