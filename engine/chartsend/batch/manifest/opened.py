"""An open manifest: its bytes at any place, its snapshot, and the proof that it is still the same.

The one rule: bytes are given out only after the file was seen unchanged since it was opened.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import TYPE_CHECKING, Final

from ...errors import ManifestError
from .snapshot import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

BLOCK_BYTES: Final = 1024 * 1024
MAX_SKIPPED_BYTES: Final = 256 * 1024 * 1024
"""So much of one line is read over in search of its end; a file with a longer one is no manifest."""
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_NO_HOLES: Final = frozenset({errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS})


class Opened:
    """A manifest's descriptor. Its methods block; all but `close` may run in several threads.

    Raises:
        ManifestError: There is no regular file at the path, or it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            # stat first: opening a device can have effects.
            _check_regular(os.stat(path))  # noqa: PTH116  # bytes that are not UTF-8 stay as they are
            self._fd = os.open(path, _FLAGS)
        except (FileNotFoundError, NotADirectoryError):
            raise ManifestError("there is no manifest at that path") from None
        except OSError as exc:
            raise _unreadable(exc) from None
        except ValueError:  # a NUL, or what the file system's encoding cannot say
            raise ManifestError("there is no manifest at that path") from None
        try:
            status = os.fstat(self._fd)
            _check_regular(status)
        except BaseException:
            self.close()
            raise
        self.snapshot = Snapshot.of(status)

    def close(self) -> None:
        """Give the descriptor back. May be called again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def size_bytes(self) -> int:
        """Its size when it was opened; what was added since is not read."""
        return self.snapshot.size_bytes

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset` on; fewer only at the file's end.

        Raises:
            ManifestError: The file changed since it was opened, or cannot be read.
        """
        wanted = min(length, self.size_bytes - offset)
        pieces: list[bytes] = []
        try:
            while wanted > 0 and (piece := os.pread(self._fd, wanted, offset)):
                pieces.append(piece)
                offset += len(piece)
                wanted -= len(piece)
        except OSError as exc:
            raise _unreadable(exc) from None
        self.check_unchanged()
        if wanted > 0:
            raise ManifestError("the manifest cannot be read: it ends before the size that it has")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_unchanged(self) -> None:
        """Prove that the file is the one that was opened, as it was then.

        Raises:
            ManifestError: It is not.
        """
        try:
            now = Snapshot.of(os.fstat(self._fd))
        except OSError as exc:
            raise _unreadable(exc) from None
        if now != self.snapshot:
            raise ManifestError(
                "the manifest changed while it was read: its size, time or identity is not what it was"
                " when it was opened; run it again when nobody writes to it"
            )

    def sha256(self, up_to_bytes: int | None = None) -> bytes:
        """Digest of the file, or of its first `up_to_bytes`.

        Raises:
            ManifestError: The file changed since it was opened, or cannot be read.
            ValueError: `up_to_bytes` is negative.
        """
        if up_to_bytes is not None and up_to_bytes < 0:
            raise ValueError("up_to_bytes is 0 or more")
        end = self.size_bytes if up_to_bytes is None else min(up_to_bytes, self.size_bytes)
        digest, at = hashlib.sha256(), 0
        while at < end:
            piece = self.read(at, min(BLOCK_BYTES, end - at))
            digest.update(piece)
            at += len(piece)
        return digest.digest()

    def line_end(self, offset: int, line: int) -> int:
        """Where the line after the one at `offset` starts, however far away; the file's end if none.

        Holes of a sparse file are stepped over: they hold no line end.

        Args:
            offset: Somewhere in the line, or in front of its end.
            line: Its number, for the error.

        Raises:
            ManifestError: There is no line end in the next 256 MiB of data, the file changed since it
                was opened, or it cannot be read.
        """
        searched_bytes = 0
        while (offset := self._next_data(offset)) < self.size_bytes:
            piece = self.read(offset, BLOCK_BYTES)
            found = piece.find(b"\n")
            if found >= 0:
                return offset + found + 1
            offset += len(piece)
            searched_bytes += len(piece)
            if searched_bytes > MAX_SKIPPED_BYTES:
                raise ManifestError(
                    f"line {line} has no end within {MAX_SKIPPED_BYTES // 2**20} MiB: not a manifest's"
                )
        return self.size_bytes

    def _next_data(self, offset: int) -> int:
        """The first offset from here on where data may be; the file's end if there is none."""
        try:
            return os.lseek(self._fd, offset, os.SEEK_DATA)
        except OSError as exc:
            if exc.errno == errno.ENXIO:
                return self.size_bytes
            if exc.errno in _NO_HOLES:
                return offset
            raise _unreadable(exc) from None


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ManifestError("the manifest is not a regular file: pipes and devices cannot be read twice")


def _unreadable(exc: OSError) -> ManifestError:
    name = errno.errorcode.get(exc.errno or 0, "an unknown error")
    return ManifestError(f"the manifest cannot be read: {name}; check its permissions and its disk")
