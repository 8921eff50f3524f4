"""Where the quota's file lies, and that nobody else can read or replace it.

The one rule: the file and its folder belong to this user alone, or they are not used.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ...errors import ConfigError, InsecureConfigError

_PORTS: Final = {"https": 443, "http": 80}
_MEND: Final = 'mend that, or set XDG_STATE_HOME, or quota = "off"'


def origin_of(url: str) -> str:
    """`scheme://host:port` of a URL, in lower case and with its port."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def folder() -> Path:
    """`$XDG_STATE_HOME/chartsend/quota`, or the same in `~/.local/state`.

    Raises:
        ConfigError: There is no home directory.
    """
    base = os.environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(base) / "chartsend" / "quota"
    try:
        return Path.home() / ".local" / "state" / "chartsend" / "quota"
    except RuntimeError:
        raise ConfigError("no home directory for the quota's file: set HOME or XDG_STATE_HOME") from None


def file_name(origin: str) -> str:
    """The file of one API origin; a hash, because a host name may say who the customer is."""
    return f"{hashlib.sha256(origin.encode()).hexdigest()[:32]}.ring"


def open_folder(*, may_create: bool = True) -> int:
    """A descriptor of the folder, made with mode 0700 where it is missing; the caller closes it.

    Raises:
        InsecureConfigError: It is a link, belongs to somebody else, or others may use it.
        ConfigError: It cannot be made or opened.
        FileNotFoundError: It is missing, and was not to be made.
    """
    path = folder()
    try:
        if may_create:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.mkdir(mode=0o700, exist_ok=True)
        if path.is_symlink():
            raise InsecureConfigError("the quota's folder is a symbolic link; make it a folder")
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as exc:
        if isinstance(exc, FileNotFoundError) and not may_create:
            raise
        text = f"the quota's folder $XDG_STATE_HOME/chartsend/quota cannot be used ({exc.strerror})"
        raise ConfigError(f"{text}: {_MEND}") from None
    return _checked(descriptor, "folder", 0o700)


def open_file(name: str, at: int, flags: int) -> int:
    """A descriptor of a file in the folder `at`; the caller closes it.

    Raises:
        InsecureConfigError: It is a link, belongs to somebody else, or others may use it.
        ConfigError: It cannot be opened.
        FileNotFoundError: It is missing, and was not to be made.
    """
    try:
        # Nothing that is no regular file holds up its opener: a FIFO would without O_NONBLOCK.
        extra = os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(name, flags | extra, 0o600, dir_fd=at)
    except FileNotFoundError:
        raise
    except OSError as exc:
        try:
            is_link = stat.S_ISLNK(os.lstat(name, dir_fd=at).st_mode)
        except OSError:
            is_link = False
        if is_link:
            raise InsecureConfigError("the quota's file is a symbolic link; delete it") from None
        raise ConfigError(f"the quota's file cannot be opened ({exc.strerror}): {_MEND}") from None
    return _checked(descriptor, "file", 0o600)


def _checked(descriptor: int, what: str, mode: int) -> int:
    """The descriptor, when what it stands for is ours alone; else it is closed."""
    status = os.fstat(descriptor)
    wrong = ""
    if status.st_uid != os.geteuid():
        wrong = "belongs to another user"
    elif stat.S_IMODE(status.st_mode) & 0o077:
        wrong = f"may be used by others: chmod {mode:o} it"
    elif what == "file" and not stat.S_ISREG(status.st_mode):
        wrong = "is not a regular file: delete it"
    if not wrong:
        return descriptor
    os.close(descriptor)
    raise InsecureConfigError(
        f"the quota's {what} in $XDG_STATE_HOME/chartsend/quota {wrong} (default ~/.local/state)"
    )
