"""The two system calls of Linux that Python does not offer: openat2(2) from the cache, and statx(2).

The one rule: neither waits. `hold_cached` walks a path through what the kernel has in memory and asks no
file system; `look` takes what is known of an open handle without asking either, whatever its kind.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# linux/openat2.h, linux/stat.h, linux/fcntl.h; one number on every architecture.
_OPENAT2: Final = 437
_RESOLVE_CACHED: Final = 0x20
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_STATX_DONT_SYNC: Final = 0x4000
_STATX_TYPE: Final = 0x1
MOUNT_ID: Final = 0x1000
"""Ask for the mount's number in /proc/self/mountinfo, which is used again after an unmount."""
UNIQUE_MOUNT_ID: Final = 0x4000
"""Ask for a number that is never used again (Linux 6.8); older kernels give the other one."""
_HOW: Final = struct.Struct("=QQQ")  # struct open_how: flags, mode, resolve
_STATX_BYTES: Final = 256  # struct statx, of which the mask, the mode and the mount are taken
_MODE: Final = struct.Struct("=28xH")
_MOUNT: Final = struct.Struct("=I140xQ")

# ENOSYS: Linux before 5.6. EINVAL: before 5.12. EPERM: a container's filter of system calls.
_REFUSED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM})


class Look(NamedTuple):
    """What the kernel knows of an open handle: its `st_mode`, and the number of its mount."""

    mode: int
    mount: int


class _Calls(NamedTuple):
    openat2: Callable[[bytes], int]
    statx: Callable[[int, bytes, int, int, ctypes.Array[ctypes.c_char]], int]


@functools.cache
def _calls() -> _Calls | None:
    """The calls, or None where the C library has none. Loaded when first needed."""
    if sys.platform != "linux":
        return None
    try:
        # PyDLL keeps the interpreter's lock: handing it over and back costs more than the calls.
        library = ctypes.PyDLL(None, use_errno=True)
        syscall, statx = library.syscall, library.statx
    except (OSError, AttributeError):
        return None
    syscall.restype = ctypes.c_long
    syscall.argtypes = (
        ctypes.c_long,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
    )
    statx.restype = ctypes.c_int
    statx.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_char_p)
    how = _HOW.pack(os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _RESOLVE_CACHED)

    def openat2(path: bytes) -> int:
        return int(syscall(_OPENAT2, _AT_FDCWD, path, how, _HOW.size))

    return _Calls(openat2, statx)


def hold_cached(path: bytes) -> int:
    """A handle (O_PATH) of what a path leads to, if that can be told without waiting.

    A handle opens nothing: a device, FIFO or socket does not hear of it. A link at the end of the path
    is not followed. Never waits (RESOLVE_CACHED, openat2(2)).

    Raises:
        OSError: EAGAIN if somebody would have to wait.
    """
    if b"\0" in path:  # C would open what stands before it
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    calls = _calls()
    if calls is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    handle = calls.openat2(path)
    if handle < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return handle


def is_refusal(error: OSError) -> bool:
    """Whether an error of `hold_cached` means that this system will never do it, and not this path."""
    if error.errno not in _REFUSED:
        return False
    try:
        os.close(hold_cached(b"/"))  # always in memory
    except OSError as exc:
        return exc.errno in _REFUSED
    return False


def look(handle: int, wanted: int = UNIQUE_MOUNT_ID) -> Look | None:
    """What the kernel knows of a handle. Never waits, also on a network disk (AT_STATX_DONT_SYNC).

    Args:
        handle: Any descriptor.
        wanted: `UNIQUE_MOUNT_ID` or `MOUNT_ID`.

    Returns:
        None where the kernel does not tell the mount (Linux before 5.8).
    """
    calls = _calls()
    if calls is None:
        return None
    found = ctypes.create_string_buffer(_STATX_BYTES)
    flags = _AT_EMPTY_PATH | _AT_STATX_DONT_SYNC
    if calls.statx(handle, b"", flags, _STATX_TYPE | wanted, found) != 0:
        return None
    mask, mount = _MOUNT.unpack_from(found)
    if not mask & (MOUNT_ID | UNIQUE_MOUNT_ID):
        return None
    return Look(_MODE.unpack_from(found)[0], mount)
