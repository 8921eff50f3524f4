"""Which files a row may name: those in the root, written plainly.

The one rule: a path is taken letter by letter or not at all. What another system, a shell or a browser
would read as another place is refused, whether or not it would be one here. A link may lead wherever
it likes inside the root.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from typing import TYPE_CHECKING, Final

from ...errors import ManifestError, PathEscapeError, RowRejectedError

if TYPE_CHECKING:
    from pathlib import Path

MAX_PATH_BYTES: Final = 4095
"""PATH_MAX of Linux without the final NUL; of the whole path, root included."""
MAX_NAME_BYTES: Final = 255
"""NAME_MAX of Linux."""
REMEMBERED: Final = 4096
"""Folders that are not followed again for every row."""

# Most paths are of this kind and need no further look: no name is empty, or begins or ends with a dot.
_PLAIN: Final = re.compile(r"[\w-]++(?:\.++[\w-]++)*+(?:/[\w-]++(?:\.++[\w-]++)*+)*+", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Symbols drawn like a slash or a backslash: Unicode's confusables without letters of living scripts.
_LIKE_SLASHES: Final = re.compile(
    r"[\u1735\u2041\u2044\u2215\u2571\u27cb\u29f8\u2cc6\u3033\u31d3\U0001d23a"
    r"\u2216\u2572\u27cd\u29f5\u29f9\u31d4\U0001d20f\U0001d23b]"
)
_ELSEWHERE: Final = (
    (re.compile(r"/"), "is absolute"),
    (re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:"), "begins like a URL or a drive"),
)
_ANYWHERE: Final = (
    (re.compile(r"\\"), "has a backslash"),
    (re.compile(r"://"), "has a URL in it"),
    (re.compile(r"(?:^|/)[A-Za-z]:"), "has a drive in it"),
    (re.compile(r"(?:^|/)~"), "has a name that begins with `~`"),
    (re.compile(r"(?:^|/)\.\.(?:[/;]|\Z)"), "has `..` in it"),
    (re.compile(r"\$[A-Za-z_{(]|%[A-Za-z_][A-Za-z0-9_]*%"), "has a variable in it"),
    (re.compile(r"%(?:[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4})"), "is percent-encoded"),
)


class Root:
    """The folder that rows name files in.

    Args:
        folder: An existing folder; links on the way to it are followed once, now.

    Raises:
        ManifestError: It is not a folder, or cannot be looked at.
    """

    def __init__(self, folder: str | Path) -> None:
        try:
            real = os.path.realpath(os.fsencode(folder), strict=True)
            is_folder = stat.S_ISDIR(os.stat(real).st_mode)  # noqa: PTH116
        except (OSError, ValueError):
            raise ManifestError("there is no such root, or it cannot be looked at; see --root") from None
        if not is_folder:
            raise ManifestError("the root is not a folder; see --root")
        self._real = real
        self._prefix = _text(real.rstrip(b"/") + b"/")
        self._followed: set[str] = set()

    @property
    def folder(self) -> str:
        """Its absolute path, without links."""
        return _text(self._real)

    def inside(self, text: str) -> str:
        """The absolute path of what a row names, links in it kept.

        `.` and doubled slashes are left out, so that one file has one path. Nothing need be there.

        Raises:
            PathEscapeError: It names a place outside the root, or could be read as naming one.
            RowRejectedError: It is empty, names no file, or is longer than a path can be.
        """
        if len(text) > MAX_PATH_BYTES:
            raise _too_long()
        is_plain = _PLAIN.fullmatch(text) is not None and len(text) <= MAX_NAME_BYTES
        path = self._prefix + (text if is_plain else _plainly(text))
        if len(path) > MAX_PATH_BYTES // 4 and len(_bytes(path)) > MAX_PATH_BYTES:
            raise _too_long()
        self._check_quickly(path)
        return path

    def check(self, path: str) -> None:
        """Prove once more that a path that `inside` gave leads into the root, right before it is opened.

        Raises:
            PathEscapeError: A link on the way leads out.
        """
        try:
            real = os.path.realpath(_bytes(path))
        except (OSError, ValueError):
            raise PathEscapeError("path cannot be followed") from None
        is_inside = real == self._real or real.startswith(_bytes(self._prefix))
        if not path.startswith(self._prefix) or not is_inside:
            raise PathEscapeError("path is a link, or leads through one, that leads out of the root")

    def _check_quickly(self, path: str) -> None:
        """As `check`, but folders that were found good are remembered, some thousand of them."""
        folder = path[: path.rindex("/") + 1]
        if folder not in self._followed:
            self.check(folder)
            if len(self._followed) >= REMEMBERED:
                self._followed.clear()
            self._followed.add(folder)
        try:
            is_link = stat.S_ISLNK(os.lstat(_bytes(path)).st_mode)
        except OSError:
            return  # nothing is there, or nobody may look: whoever opens it will say so
        if is_link:
            self.check(path)


def _bytes(path: str) -> bytes:
    """As the file system has it, whatever this process's locale is."""
    return path.encode("utf-8", "surrogateescape")


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _plainly(text: str) -> str:
    """A relative path without what could lead elsewhere, made regular."""
    try:
        text = _text(_bytes(text))  # one spelling for one name: an escaped é is an é
    except UnicodeEncodeError:
        raise RowRejectedError("path has half a character (a lone surrogate)") from None
    if not text:
        raise RowRejectedError("path is empty")
    if _CONTROL.search(text):
        raise PathEscapeError("path has a control character")
    _check_form(text)
    if not text.isascii():
        _check_alike(text)
    names = [name for name in text.split("/") if name not in {"", "."}]
    if not names or text.endswith(("/", "/.")):
        raise RowRejectedError("path names no file")
    if any(len(_bytes(name)) > MAX_NAME_BYTES for name in names):
        raise RowRejectedError(f"path has a name of more than {MAX_NAME_BYTES} bytes")
    return "/".join(names)


def _check_form(text: str) -> None:
    for pattern, what in _ELSEWHERE:
        if pattern.match(text):
            raise PathEscapeError(f"path {what}; it is relative to the root")
    for pattern, what in _ANYWHERE:
        if pattern.search(text):
            raise PathEscapeError(f"path {what}; write it plainly, relative to the root")
    # Other systems leave that out, and mean another file.
    if any(name.endswith((".", " ")) for name in text.split("/") if name not in {".", ".."}):
        raise PathEscapeError("path has a name that ends with a dot or a space")


def _check_alike(text: str) -> None:
    """Refuse what looks like, or somewhere becomes, one of the forms that are refused."""
    if _LIKE_SLASHES.search(text):
        raise PathEscapeError("path has a character that looks like a slash")
    form = unicodedata.normalize("NFKC", text)
    if form.count("/") != text.count("/"):
        raise PathEscapeError("path has a character that looks like a slash")
    _check_form("".join(each for each in form if unicodedata.category(each) != "Cf"))


def _too_long() -> RowRejectedError:
    return RowRejectedError(f"path is longer than {MAX_PATH_BYTES} bytes")
