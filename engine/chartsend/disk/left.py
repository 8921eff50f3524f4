"""What chartsend itself leaves in folders of documents: ledgers with their keys, manifests, listings.

The one rule: it is recognised by what it is, under whatever name, whichever run made it. A key that was
sent into a chart cannot be taken back.
"""

from __future__ import annotations

import os
import re
from typing import Final

LEDGER_SUFFIX: Final = ".chartsend"
"""A ledger's directory stands beside its manifest, under the manifest's name and this."""
LISTING_SUFFIX: Final = ".jsonl"
"""Behind a ledger's name: the listing of a folder, which is its manifest."""
_DATABASE: Final = "ledger.db"
_OURS: Final = (68, b"chsd")
"""Where SQLite's header says whose a database is (sqlite.org/fileformat2.html, 1.3); what it says."""
_KEY_BYTES: Final = 32
_FIRST: Final = ("lock", "key", "mark")
"""A ledger's directory has one of these from its making to its removal."""
_MADE: Final = frozenset(
    {*_FIRST, "probe", "rejected.csv", "rejected.csv.new", "key.new", _DATABASE}
    | {f"{_DATABASE}{end}" for end in ("-wal", "-shm", ".new", ".new-wal", ".new-shm", ".new-journal")}
)
"""What it can hold, whole, half made or half removed."""
_REMOVED: Final = re.compile(r".*\.[0-9a-f]{32}\.removed", re.DOTALL)


def is_ledger(folder: str) -> bool:
    """Whether a folder is a ledger's, or the one with the key of all this user's. Looks at six names."""
    if _is_ours(f"{folder}/{_DATABASE}") or _is_key(f"{folder}/ledger.key"):
        return True
    there = [name for name in _FIRST if os.path.lexists(f"{folder}/{name}")]
    if "lock" in there and _is_key(f"{folder}/key"):
        return True
    return bool(there or _REMOVED.fullmatch(folder)) and _holds_nothing_else(folder)


def is_left(path: str) -> bool:
    """Whether a file is the listing of a folder, or a manifest with a ledger beside it."""
    beside = path + LEDGER_SUFFIX
    return path.endswith(LEDGER_SUFFIX + LISTING_SUFFIX) or (
        os.path.lexists(beside) and is_ledger(beside)
    )


def is_part(path: str) -> bool:
    """Whether a file lies in a ledger's directory."""
    return is_ledger(path.rpartition("/")[0] or ("/" if path.startswith("/") else "."))


def _is_ours(database: str) -> bool:
    at, ours = _OURS
    try:
        descriptor = os.open(database, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return os.pread(descriptor, len(ours), at) == ours
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_key(path: str) -> bool:
    try:
        return os.lstat(path).st_size == _KEY_BYTES
    except (OSError, ValueError):
        return False


def _holds_nothing_else(folder: str) -> bool:
    try:
        with os.scandir(folder) as entries:
            return all(entry.name in _MADE for entry in entries)
    except (OSError, ValueError):
        return False
