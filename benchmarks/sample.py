"""Sample files on a real disk, warm or cold.

The one rule: never on a file system that refuses `RWF_NOWAIT`, as tmpfs does: a real disk's page cache
answers such reads, and that is what the figures are about.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

_PDF: Final = b"%PDF-1.7\n"
_PIECE_BYTES: Final = 1 << 20
_LINE: Final = "Patient seen today; no complaints, wound dry, plan unchanged. Line %06d of this note.\n"


class UnfitDiskError(RuntimeError):
    """The folder lies on a file system that the figures would not be true of."""


class Samples:
    """Files of any size in one folder, each made once. Open it with `Samples.open`.

    Attributes:
        folder: Where they lie; what senders write beside them goes below it too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    @contextmanager
    def open(cls, below: Path | None = None) -> Generator[Samples]:
        """Use a new folder below one on a real disk, and remove it afterwards.

        Args:
            below: Where; it has to be there. Default: the first of /var/tmp, the home's cache and here
                that will do.

        Raises:
            UnfitDiskError: It is no folder that can be written to, or it, or all of the defaults,
                refuse `RWF_NOWAIT`.
        """
        choices = [below] if below is not None else [Path("/var/tmp"), Path.home() / ".cache", Path()]
        for choice in choices:
            try:
                folder = Path(tempfile.mkdtemp(prefix="chartsend-samples-", dir=choice.resolve()))
            except OSError as exc:
                if below is None:
                    continue
                text = f"{below}: no sample files can be written there: {exc.strerror}"
                raise UnfitDiskError(text) from exc
            try:
                if takes_nowait(folder):
                    yield cls(folder)
                    return
            finally:
                shutil.rmtree(folder, ignore_errors=True)
        raise UnfitDiskError("the samples need a real disk (no tmpfs): name a folder with --files")

    def files(self, size_bytes: int, number: int = 1, *, text: bool = False) -> tuple[str, ...]:
        """Paths of so many files of exactly that size, no two alike, in the page cache.

        Args:
            size_bytes: Of each.
            number: How many.
            text: UTF-8 lines, for notes; else a PDF's first line and unguessable bytes.
        """
        paths: list[str] = []
        for index in range(number):
            path = self.folder / f"{size_bytes}-{index}.{'txt' if text else 'pdf'}"
            if not path.exists():
                with path.open("wb") as file:
                    for piece in _text(size_bytes, index) if text else _noise(size_bytes):
                        file.write(piece)
                    file.flush()
                    os.fsync(file.fileno())  # dirty pages cannot be dropped, nor be written in a run
            paths.append(str(path))
        return tuple(paths)


def takes_nowait(folder: Path) -> bool:
    """Whether the folder's file system answers `preadv` with `RWF_NOWAIT`."""
    path = folder / "probe"
    path.write_bytes(_PDF)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.preadv(descriptor, [bytearray(len(_PDF))], 0, os.RWF_NOWAIT)
    except OSError as exc:
        if exc.errno == errno.EAGAIN:  # it would have to wait, so it has understood
            return True
        if exc.errno in {errno.EOPNOTSUPP, errno.EINVAL}:
            return False
        raise
    finally:
        os.close(descriptor)
        path.unlink()
    return True


def warm(paths: Iterable[str]) -> None:
    """Read files, so that their pages are cached."""
    buffer = bytearray(_PIECE_BYTES)
    for path in set(paths):
        with Path(path).open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def chill(paths: Iterable[str]) -> None:
    """Drop files' pages from the cache: the next read goes to the disk."""
    for path in set(paths):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            for _ in range(2):  # the kernel may pass over a page that is being moved
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def _noise(size_bytes: int) -> Generator[bytes]:
    yield _PDF[:size_bytes]
    left = size_bytes - len(_PDF)
    while left > 0:
        piece = os.urandom(min(left, _PIECE_BYTES))
        left -= len(piece)
        yield piece


def _text(size_bytes: int, seed: int) -> Generator[bytes]:
    number, left = random.Random(seed).randrange(100_000), size_bytes
    while left > 0:
        line = (_LINE % number).encode("ascii")[:left]
        number, left = number + 1, left - len(line)
        yield line
