"""This user's key for ledgers, and the list of this user's ledgers.

The one rule: both belong to the user, not to a batch. A new ledger gets a copy of the user's key, so
that what one ledger calls a document, every other ledger of this user calls the same; and every
ledger is on the list, so that an earlier one can be asked.

They stand in `$XDG_STATE_HOME/chartsend/` (or `~/.local/state/chartsend/`), 0700: `ledger.key` and
`ledgers`, one directory per line as a JSON string, 0600.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...errors import ConfigError, LedgerCorruptError
from .owned import check_directory, check_file, ensure_directory, sync_directory, write_new

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

KEY_BYTES: Final = 32
_KEY: Final = "ledger.key"
_LIST: Final = "ledgers"
_LENGTH_BYTES: Final = 8


def state_home() -> Path:
    """Where the user's key and list stand. It need not be there yet.

    Raises:
        ConfigError: There is no home directory.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(base) / "chartsend"
    try:
        home = Path.home()
    except RuntimeError:
        raise ConfigError("no home directory: set HOME or XDG_STATE_HOME") from None
    return home / ".local" / "state" / "chartsend"


def user_key() -> bytes:
    """The user's key; made when it is asked for first.

    Raises:
        InsecureConfigError: Somebody else could read or replace it.
        LedgerCorruptError: It has another length.
        OSError: It cannot be read or made.
    """
    home = state_home()
    ensure_directory(home)
    key = home / _KEY
    with contextlib.suppress(FileNotFoundError):
        return read_key(key)
    with _alone_in(home):
        if not os.path.lexists(key):
            fresh = home / f"{_KEY}.new"
            fresh.unlink(missing_ok=True)  # left by a crash
            write_new(fresh, secrets.token_bytes(KEY_BYTES))
            fresh.rename(key)
            sync_directory(home)
    return read_key(key)


@contextlib.contextmanager
def _alone_in(directory: Path) -> Generator[None]:
    """While the block runs, no other process is in such a block; its end, however it ends, is enough."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def read_key(file: Path) -> bytes:
    """The key that stands in a file.

    Raises:
        FileNotFoundError: There is none.
        InsecureConfigError: Somebody else could read or replace it.
        LedgerCorruptError: It has another length.
        OSError: It cannot be read.
    """
    check_file(file)
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise LedgerCorruptError(
            f"a key of {len(key)} bytes instead of {KEY_BYTES}; restore it from a copy: without it the"
            " ledger's receipts cannot be proved"
        )
    return key


def keyed(key: bytes, parts: Iterable[bytes], size_bytes: int) -> bytes:
    """A hash of the parts under a key: equal only for equal lists of parts.

    Args:
        key: Of the ledger.
        parts: Each goes in after its length, so that none can lend bytes to the next.
        size_bytes: Of the hash, 1 to 64.
    """
    hasher = hashlib.blake2b(key=key, digest_size=size_bytes)
    for part in parts:
        hasher.update(len(part).to_bytes(_LENGTH_BYTES, "little"))
        hasher.update(part)
    return hasher.digest()


def remember(directory: Path) -> None:
    """Put a ledger on the user's list, once.

    Raises:
        InsecureConfigError: Somebody else could read or change the list.
        OSError: It cannot be written.
    """
    home = state_home()
    ensure_directory(home)
    file = home / _LIST
    with contextlib.suppress(FileExistsError):
        write_new(file, b"")
    check_file(file)
    line = _line(directory)
    with file.open("r+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        content = stream.readall()
        if line in content.splitlines(keepends=True):
            return
        # A line that was cut by a crash must not swallow this one.
        stream.write(line if not content or content.endswith(b"\n") else b"\n" + line)
        os.fsync(stream.fileno())
    sync_directory(home)


def forget(directory: Path) -> None:
    """Take a ledger off the user's list; one that does not stand there is no error.

    Raises:
        InsecureConfigError: Somebody else could read or change the list.
        OSError: It cannot be written.
    """
    file = state_home() / _LIST
    if not file.exists():
        return
    check_directory(file.parent)
    check_file(file)
    with file.open("r+b", buffering=0) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        at, line = 0, _line(directory)
        for each in stream.readall().splitlines(keepends=True):
            if each == line:
                stream.seek(at)
                stream.write(b" " * (len(line) - 1))  # blank in its place: no other line can be torn
            at += len(each)
        os.fsync(stream.fileno())


def remembered() -> Iterator[tuple[int, Path]]:
    """The directories on the user's list, oldest first, each with the number of its line, from 1.

    They need not be there any more.

    Raises:
        InsecureConfigError: Somebody else could read or change the list.
        OSError: It cannot be read.
    """
    home = state_home()
    file = home / _LIST
    if not file.exists():
        return
    check_directory(home)
    check_file(file)
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        with contextlib.suppress(ValueError):
            directory = json.loads(line)
            if isinstance(directory, str):
                yield number, Path(directory)


def _line(directory: Path) -> bytes:
    return json.dumps(str(directory)).encode("ascii") + b"\n"
