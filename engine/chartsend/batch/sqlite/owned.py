"""Files and directories that nobody but this user may read or replace.

The one rule: what is not ours, ours alone, and what it seems (no link), is refused before it is
opened; what is made here is on the disk, name and all, when the call returns.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from ...errors import InsecureConfigError

DIRECTORY_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077


def ensure_directory(directory: Path) -> None:
    """Make a directory that is ours alone, with those above it, or check the one that is there.

    Raises:
        InsecureConfigError: It is somebody else's, or somebody else can read or replace it.
        OSError: It cannot be made.
    """
    if not _is_there(directory):
        if not directory.parent.is_dir():
            ensure_directory(directory.parent)
        check_above(directory)
        try:
            directory.mkdir(DIRECTORY_MODE)
        except FileExistsError:
            pass  # another process was quicker
        else:
            directory.chmod(DIRECTORY_MODE)  # whatever the umask took
            sync_directory(directory.parent)
    check_directory(directory)


def check_directory(directory: Path) -> None:
    """Refuse a directory that is not ours alone.

    Raises:
        InsecureConfigError: As above.
        OSError: It is not there, or cannot be looked at.
    """
    status = directory.lstat()
    if stat.S_ISLNK(status.st_mode) or not stat.S_ISDIR(status.st_mode):
        raise InsecureConfigError(
            "a directory of the ledger is a link or a file: give a directory of its own"
        )
    _refuse_others(status, "a directory of the ledger", DIRECTORY_MODE)
    check_above(directory)


def check_above(path: Path) -> None:
    """Refuse a place that others can rename or remove: a directory above that anybody may write to.

    One with the sticky bit, such as `/tmp`, is safe: only owners rename there.

    Raises:
        InsecureConfigError: As above.
        OSError: It cannot be looked at.
    """
    for above in Path(os.path.realpath(path.parent)).joinpath("x").parents:
        status = above.stat()
        is_sticky = bool(status.st_mode & stat.S_ISVTX)
        if status.st_mode & stat.S_IWOTH and not is_sticky:
            raise InsecureConfigError(
                "a directory above the ledger's can be written by everybody, so the ledger could be"
                " replaced: take that right away (chmod o-w), or keep the ledger elsewhere"
            )


def check_file(file: Path) -> None:
    """Refuse a file that is not ours alone.

    Raises:
        InsecureConfigError: It is a link, somebody else's, or somebody else can read it.
        FileNotFoundError: It is not there.
        OSError: It cannot be looked at.
    """
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        raise InsecureConfigError(
            "a file of the ledger is a link or no regular file: remove it, or restore it"
        )
    _refuse_others(status, "a file of the ledger", FILE_MODE)


def _refuse_others(status: os.stat_result, what: str, mode: int) -> None:
    if status.st_uid != os.geteuid():
        raise InsecureConfigError(f"{what} belongs to another user: use one of your own")
    if status.st_mode & _OTHERS:
        raise InsecureConfigError(f"{what} can be read or written by others: chmod {mode:o}")


def write_new(file: Path, content: bytes) -> None:
    """Write a file that is not there yet; it is on the disk when this returns, its name not yet.

    Raises:
        FileExistsError: It is there.
        OSError: It cannot be written.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(file, flags, FILE_MODE)
    try:
        os.fchmod(descriptor, FILE_MODE)  # whatever the umask took
        written = os.write(descriptor, content)
        if written != len(content):
            raise OSError(28, "short write")  # ENOSPC: the next one would say so
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make what was created, renamed or removed in a directory durable.

    Raises:
        OSError: It failed.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)
