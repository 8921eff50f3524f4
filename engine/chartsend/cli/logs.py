"""The log: on stderr, one line per event, nothing in it that could be a patient's.

The one rule: chartsend's own texts are safe by construction and are shown; the texts of other
libraries may quote a URL or a document, so of theirs only the place is shown.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from typing import Final

LEVELS: Final = ("debug", "info", "warning", "error")
_OURS: Final = "chartsend"
# One event is one line, and a terminal must not obey what stands in it.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class _OneLine(logging.Formatter):
    """`2026-03-09T10:15:02Z WARNING chartsend: text`; of an exception its type and place."""

    def format(self, record: logging.LogRecord) -> str:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        is_ours = record.name == _OURS or record.name.startswith(f"{_OURS}.")
        text = (
            record.getMessage() if is_ours else f"from {record.module}:{record.lineno}, text not shown"
        )
        if record.exc_info and record.exc_info[0] is not None:
            text += f" [{record.exc_info[0].__name__}]"
        return f"{at} {record.levelname} {record.name}: {_CONTROL.sub(' ', text)}"


def start_logging(level: str) -> None:
    """Log to stderr from `level` on (one of `LEVELS`); other libraries from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(_OURS).setLevel(level.upper())
    logging.captureWarnings(capture=True)
    logging.raiseExceptions = False  # a full disk behind stderr must not end a transfer
