"""Which files the arguments of `send` mean: files, folders, globs.

The one rule: nothing is sent by accident. In a folder, links and names that begin with a dot are
left out and counted, and so is what the run itself uses and what any run has left (`left.py`); a sidecar
is used and never sent; a file that is named twice is sent once.

Folders are read one at a time and in order; of a large one, a part is in memory (`names.py`).
"""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .left import is_ledger, is_left, is_part
from .names import Kind, names_in
from .own import Own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .names import Name

SIDECAR: Final = ".json"
"""`a.pdf.json` beside `a.pdf` describes it."""
_NOTHING: Final = Own()
_LEFT_OUT: Final = {Kind.LINK: "links", Kind.SPECIAL: "special"}


@dataclass(slots=True)
class Skipped:
    """What was left out of folders and globs, by reason.

    Attributes:
        counts: `links`, `dot_files`, `special` (pipes, sockets, devices), `sidecars` (they were
            used), `sidecars_alone` (of an entry that is left out itself), `repeated` (named
            twice), `unreadable` (folders that cannot be listed), `own` and `own_folders` (what
            the run itself uses, ledgers, and their manifests).
    """

    counts: Counter[str] = field(default_factory=Counter[str])


@dataclass(frozen=True, slots=True)
class Roots:
    """The arguments, looked at once.

    Attributes:
        paths: Files and folders that exist, in the order given, none inside another.
        missing: Arguments for which there is nothing; a glob that matches nothing is one.
        globbed: Those of `paths` that only a glob named.
    """

    paths: tuple[str, ...]
    missing: tuple[str, ...]
    globbed: frozenset[str] = frozenset()


def look(arguments: Sequence[str], skipped: Skipped) -> Roots:
    """Sort the arguments into what exists and what does not, and expand globs.

    A shell expands `scans/*.pdf` itself; quoted, it arrives here. A name that exists is taken as
    it stands, whatever characters it has.
    """
    found: list[str] = []
    missing: list[str] = []
    globbed: set[str] = set()
    for argument in arguments:
        if os.path.lexists(argument):
            found.append(argument)
        elif glob.has_magic(argument):
            # Path.glob knows no absolute patterns and no characters escaped with [].
            matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207
            files = [path for path in matches if not Path(path).is_symlink()]
            skipped.counts["links"] += len(matches) - len(files)
            found.extend(files)
            globbed.update(files)
            if not matches:
                missing.append(argument)
        else:
            missing.append(argument)
    paths = tuple(_without_repeats(found, skipped))
    return Roots(paths, tuple(missing), frozenset(globbed.difference(arguments)))


def _without_repeats(paths: list[str], skipped: Skipped) -> Iterator[str]:
    """Each path once, and none that lies in a folder that is given too."""
    folders = {absolute(path) for path in paths if _is_folder(path)}
    seen: set[str] = set()
    for path in paths:
        whole = absolute(path)
        if whole in seen or _is_inside(whole, folders):
            skipped.counts["repeated"] += 1
            continue
        seen.add(whole)
        yield path


def absolute(path: str) -> str:
    """The absolute path without `..`, links kept: what identifies a document without an id."""
    return os.path.abspath(path)  # noqa: PTH100  # pathlib keeps the `..`


def _is_inside(path: str, folders: set[str]) -> bool:
    return any(str(parent) in folders for parent in Path(path).parents)


def walk(roots: Roots, skipped: Skipped, own: Own = _NOTHING) -> Iterator[str]:
    """Every file to send, lazily: an argument that is a file, and the files under folders.

    A path that was named itself is taken as it stands, link or dot-file or one of the run's own:
    whether it can be sent is for the sender to say.
    """
    named = frozenset(roots.paths)
    for root in roots.paths:
        if _is_folder(root):
            yield from _walk_folder(root, skipped, own)
        elif root in roots.globbed and (own.holds(root) or is_left(root) or is_part(root)):
            skipped.counts["own"] += 1
        elif root.endswith(SIDECAR) and _is_entry(beside := root.removesuffix(SIDECAR)):
            is_used = beside in named or _is_file(beside)
            skipped.counts["sidecars" if is_used else "sidecars_alone"] += 1
        else:
            yield root


def _walk_folder(folder: str, skipped: Skipped, own: Own) -> Iterator[str]:
    if own.holds(folder) or is_ledger(folder):
        skipped.counts["own_folders"] += 1
        return
    for name, kind in _names(folder, skipped):
        path = f"{folder.rstrip('/')}/{name}"
        reason = "dot_files" if name.startswith(".") else _reason(path, kind, own)
        if reason is not None:
            skipped.counts[reason] += 1
        elif kind is Kind.FOLDER:
            yield from _walk_folder(path, skipped, own)
        else:
            yield path


def _reason(path: str, kind: Kind, own: Own) -> str | None:
    """Under which name in `Skipped` a path in a folder is left out; None when it is not."""
    if kind in _LEFT_OUT:
        return _LEFT_OUT[kind]
    if kind is Kind.FILE and (own.holds(path) or is_left(path)):
        return "own"
    if kind is Kind.FILE and path.endswith(SIDECAR) and _is_entry(beside := path.removesuffix(SIDECAR)):
        is_used = _is_file(beside) and not Path(beside).is_symlink()
        return "sidecars" if is_used else "sidecars_alone"
    return None


def _names(folder: str, skipped: Skipped) -> Iterator[Name]:
    """The names in a folder, in order; none when it cannot be listed."""
    try:
        yield from names_in(folder)
    except OSError:
        skipped.counts["unreadable"] += 1


def _is_folder(path: str) -> bool:
    return stat.S_ISDIR(_mode(path))


def _is_file(path: str) -> bool:
    return stat.S_ISREG(_mode(path))


def _is_entry(path: str) -> bool:
    """Whether something is there, whatever it is, that a sidecar can describe: all but a folder."""
    return os.path.lexists(path) and (Path(path).is_symlink() or not _is_folder(path))


def _mode(path: str) -> int:
    """Kind and mode of what a path leads to; 0 when that cannot be told."""
    try:
        return Path(path).stat().st_mode
    except (OSError, ValueError):
        return 0


def size_of(path: str) -> int:
    """Bytes of what lies at a path; 0 where that cannot be told."""
    try:
        return os.stat(path.encode("utf-8", "surrogateescape")).st_size  # noqa: PTH116  # any name
    except (OSError, ValueError):
        return 0
