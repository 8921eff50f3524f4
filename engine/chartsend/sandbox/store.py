"""The files a sandbox keeps: mode 0600, in a 0700 folder, under names it makes itself.

Nothing that came over the network ever becomes part of a path.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

RESERVED_BYTES: Final = 256 * 1024 * 1024
"""Free disk space that is left alone; below it the sandbox refuses bodies instead of filling a disk."""

EVENTS: Final = "events.ndjson"
PAYLOADS: Final = "payloads"
LOGS: Final = (EVENTS, PAYLOADS)
"""The files of a store that grow while its sandbox runs."""

_PIECE_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Bytes that were received completely."""

    path: Path
    size_bytes: int
    sha256: str

    def pieces(self) -> Iterator[bytes]:
        """Give the bytes, piece by piece."""
        with self.path.open("rb", buffering=0) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece


class FileWriter:
    """One file while its bytes come in. Left without `finish()`, its `with` block deletes it."""

    def __init__(self, store: Store, path: Path) -> None:
        self._store = store
        self._path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._hash = hashlib.sha256()
        self._is_open = True
        self.size_bytes = 0

    def write(self, piece: bytes) -> None:
        """Append bytes."""
        self._hash.update(piece)
        self.size_bytes += len(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self) -> StoredFile:
        """Close the file and keep it; equal bytes are kept once."""
        self._close()
        return self._store.keep(
            StoredFile(self._path, self.size_bytes, self._hash.hexdigest()),
        )

    def pieces(self) -> Iterator[bytes]:
        """Read back what was written so far."""
        return StoredFile(self._path, self.size_bytes, "").pieces()

    def discard(self) -> None:
        """Close and delete the file, unless it was finished."""
        if self._is_open:
            self._close()
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        self._is_open = False
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()


def _prepare(folder: Path) -> None:
    """Make a folder that the user named, or take over that of an earlier sandbox."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    logs = [folder / name for name in LOGS]
    if any(folder.iterdir()) and not any(log.exists() for log in logs):
        raise OSError(errno.ENOTEMPTY, "it is not empty and was not made by a sandbox")
    folder.chmod(0o700)
    for log in logs:
        if log.exists():  # an earlier sandbox's log is set aside, not overwritten
            written_at = datetime.fromtimestamp(log.stat().st_mtime, UTC)
            log.rename(log.with_name(f"{log.name}.{written_at:%Y%m%dT%H%M%S.%f}"))


class Store:
    """The folder of one sandbox, and the files in it by their sha256."""

    def __init__(self, folder: Path | None) -> None:
        self.is_kept = folder is not None
        if folder is None:
            folder = Path(tempfile.mkdtemp(prefix="chartsend-sandbox-"))  # mkdtemp makes it 0700
        else:
            _prepare(folder)
        self.folder = folder.resolve()
        self._files = self.folder / "files"
        self._files.mkdir(mode=0o700, exist_ok=True)
        self._by_sha256: dict[str, StoredFile] = {}
        self._committed: set[str] = set()

    def new_file(self) -> FileWriter:
        """Open a new file for writing."""
        return FileWriter(self, self._files / uuid.uuid4().hex)

    def put(self, content: bytes) -> StoredFile:
        """Keep bytes that are already whole."""
        known = self._by_sha256.get(hashlib.sha256(content).hexdigest())
        if known is not None:
            return known
        with self.new_file() as file:
            file.write(content)
            return file.finish()

    def keep(self, file: StoredFile) -> StoredFile:
        """Remember a finished file. If equal bytes are kept already, delete it and give those."""
        known = self._by_sha256.setdefault(file.sha256, file)
        if known is not file:
            file.path.unlink(missing_ok=True)
        return known

    def commit(self, file: StoredFile) -> None:
        """Say that a file belongs to a request that was accepted."""
        self._committed.add(file.sha256)

    def find(self, sha256: str) -> StoredFile | None:
        """Give the file with this sha256, if a request that was accepted had it."""
        return self._by_sha256[sha256] if sha256 in self._committed else None

    def write_private(self, name: str, content: bytes) -> Path:
        """Write one of the sandbox's own small files (a key, the profile), mode 0600."""
        path = self.folder / name
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        return path

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether so many bytes would still leave the reserve of the disk alone."""
        return shutil.disk_usage(self.folder).free - size_bytes > RESERVED_BYTES

    def close(self) -> None:
        """Delete everything, unless the folder was named by the user."""
        if not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)
