"""A folder as a manifest: a row of JSONL for every file in it, with what its name and sidecar say.

The one rule: no file is left out unseen. One whose name does not fit the pattern, or whose sidecar
cannot be read, has a row too, which says so and is rejected when it is read.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from ...description import merge
from ...disk.find import SIDECAR, Roots, Skipped, walk
from ...disk.own import Own
from ...disk.sidecar import is_lone_sidecar, read_sidecar
from ...errors import InvalidDocumentError, ManifestError
from .pattern import AmbiguousNameError, Pattern
from .rows import REFUSED

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from contextlib import AbstractContextManager

_COMPARE_BYTES: Final = 1024 * 1024
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_NOTHING: Final = Own()


@dataclass(slots=True)
class Listing:
    """What came of listing a folder.

    Attributes:
        rows: Files listed, each a row.
        refused: How many of these rows will be rejected, by reason: `pattern`, `ambiguous`, `sidecar`,
            `alone`.
        sidecars: Rows that have something from a sidecar.
        skipped: What is no row: links, dot-files, sidecars and more; see `disk.find.Skipped`.
        differs: There was a listing already, and it is not the same, byte for byte: files came, went
            or were renamed, or a sidecar or the pattern changed.
        is_written: The target now holds this listing; otherwise it is as it was.
    """

    rows: int = 0
    refused: Counter[str] = field(default_factory=Counter[str])
    sidecars: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    differs: bool = False
    is_written: bool = False


def write_listing(
    folder: str | Path,
    pattern: str | None,
    target: str | Path,
    *,
    own: Own = _NOTHING,
    turn: AbstractContextManager[bool] | None = None,
) -> Listing:
    """List a folder, in order, as a manifest whose root is that folder. Blocks.

    A file may be as good as anywhere, also in the folder itself. What is written lies beside it under
    another name until it is complete and on the disk. Only a part of the rows is in memory.

    Args:
        folder: What to list, folders in it included. Links and dot-files are left out and counted.
        pattern: What names mean, see `Pattern`; None when they mean nothing. A sidecar says it better.
        target: The manifest to write, 0600. One that is there and the same is left as it is.
        own: What the run itself uses, and is no row.
        turn: Entered to put the listing in its place, once it is complete: meanwhile nobody else may use
            the target. Gives whether one that is there and differs may be replaced; None: it may not.

    Raises:
        ConfigError: The pattern is wrong.
        ManifestError: The folder is none, or has a part that cannot be listed, or the target cannot
            be written.
        TransferError: As `turn` says.
    """
    names = None if pattern is None else Pattern(pattern)
    listing = Listing()
    goal = Path(target)
    draft = goal.with_name(f".{goal.name}.{secrets.token_hex(4)}.tmp")
    try:
        if not Path(folder).is_dir():
            raise ManifestError("there is no folder at that path")
        with _new_file(draft) as file:
            mine = Own(own.identities | Own.of([goal, draft]).identities)
            for line in _lines(str(folder), names, mine, listing):
                file.write(line)
            if listing.skipped.counts["unreadable"]:
                raise ManifestError(
                    f"{listing.skipped.counts['unreadable']} folders cannot be listed, so files may be"
                    " missing; check their permissions"
                )
            file.flush()
            os.fsync(file.fileno())
        with turn or contextlib.nullcontext(enter_result=False) as may_replace:
            _put(draft, goal, listing, replace=may_replace)
    except OSError as exc:
        name = errno.errorcode.get(exc.errno or 0, "an unknown error")
        raise ManifestError(f"the folder's listing cannot be written: {name}") from None
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    return listing


@contextlib.contextmanager
def _new_file(path: Path) -> Generator[BinaryIO]:
    descriptor = os.open(path, _NEW, 0o600)
    with os.fdopen(descriptor, "wb", buffering=_COMPARE_BYTES) as file:
        yield file


def _put(draft: Path, goal: Path, listing: Listing, *, replace: bool) -> None:
    """Give the draft its name, unless the same is there already, or another that is to stay."""
    if goal.exists():
        if _are_same(draft, goal):
            return
        listing.differs = True
        if not replace:
            return
    draft.replace(goal)
    listing.is_written = True
    descriptor = os.open(goal.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _are_same(one: Path, other: Path) -> bool:
    with one.open("rb") as first, other.open("rb") as second:
        while True:
            piece = first.read(_COMPARE_BYTES)
            if piece != second.read(_COMPARE_BYTES):
                return False
            if not piece:
                return True


def _lines(folder: str, names: Pattern | None, own: Own, listing: Listing) -> Iterator[bytes]:
    before = len(os.fsencode(folder.rstrip("/"))) + 1
    for path in walk(Roots((folder,), ()), listing.skipped, own):
        # As the file system has it, so that the listing is the same in every locale.
        relative = os.fsencode(path)[before:].decode("utf-8", "surrogateescape")
        row = {"path": relative, **_said(path, relative, names, listing)}
        listing.rows += 1
        yield json.dumps(row, separators=(",", ":")).encode("ascii") + b"\n"


def _said(path: str, relative: str, names: Pattern | None, listing: Listing) -> dict[str, Any]:
    """What the name and the sidecar say of a file, or why nothing can be said."""
    try:
        sidecar = read_sidecar(path)
    except InvalidDocumentError:
        return _refuse("sidecar", listing)
    if path.endswith(SIDECAR) and is_lone_sidecar(path):
        return _refuse("alone", listing)
    listing.sidecars += bool(sidecar)
    if names is None:
        return sidecar
    try:
        said = names.described(relative)
    except AmbiguousNameError:
        return _refuse("ambiguous", listing)
    return _refuse("pattern", listing) if said is None else merge(sidecar, said)


def _refuse(reason: str, listing: Listing) -> dict[str, Any]:
    listing.refused[reason] += 1
    return {REFUSED: reason}
