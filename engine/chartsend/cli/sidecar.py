"""Reads a description from disk: a sidecar (JSON) or `--metadata FILE` (JSON or TOML).

The one rule: a description that cannot be understood to the last key is refused, because what it
would have said (whose chart this is) cannot be guessed. Errors name keys, never files or values.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, TypeGuard

import msgspec

from ..document import Document
from ..errors import ConfigError, InvalidDocumentError
from ..shape import parse_shape
from .describe import is_table
from .find import SIDECAR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_DESCRIPTION_BYTES: Final = 256 * 1024
"""As for a row of a manifest: far above any description, far below a denial of service."""
MAX_DEPTH: Final = 32
# Each of these names one document; from --metadata it would give many documents one identity.
_NOT_A_DEFAULT: Final = ("path", "document_id", "replaces")
# Whose or which document it is: no JSON file of another kind has only keys of a description and one
# of these.
_TELLING: Final = frozenset(
    {
        *("patient", "provider", "authenticator", "visit", "order"),
        *("type", "type_codings", "document_id", "replaces"),
    }
)
_BATCH_ONLY: Final = frozenset({"to", "api", "model", "method"})


def read_sidecar(path: str) -> dict[str, Any]:
    """What `PATH.json` says of the file at `path`; empty when there is none.

    Raises:
        InvalidDocumentError: It is there and is not a regular file, too large, not JSON, or has
            a key or value that is not valid.
    """
    sidecar = path + SIDECAR
    try:
        status = os.lstat(sidecar)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as exc:
        raise InvalidDocumentError(f"the sidecar cannot be looked at: {exc.strerror}") from None
    if not stat.S_ISREG(status.st_mode):
        raise InvalidDocumentError("the sidecar is a link or not a regular file: it is not followed")
    try:
        described = _decode_json(_read(sidecar))
    except _UnreadableError as exc:
        raise InvalidDocumentError(f"the sidecar {exc}") from None
    for key in sorted(_BATCH_ONLY & set(described)):
        raise InvalidDocumentError(f"the sidecar has `{key}`, which only a manifest's row may have")
    if "path" in described:
        raise InvalidDocumentError("the sidecar has `path`; it describes the file it stands beside")
    parse_shape(Document, described)
    return described


def is_lone_sidecar(path: str) -> bool:
    """Whether a file that is about to be sent is a description whose own file is not there.

    That is `NAME.EXTENSION.json` (or `NAME.json` beside a folder NAME) with nothing but keys of a
    description, one of which says whose or which document it is. Values are not looked at: one
    that is wrong makes it no document.
    """
    beside = path.removesuffix(SIDECAR)
    if beside == path or not (PurePath(beside).suffix or Path(beside).is_dir()):
        return False
    try:
        described = _decode_json(_read(path))
    except _UnreadableError:
        return False
    names = {each.encode_name for each in msgspec.structs.fields(Document)} | _BATCH_ONLY
    return set(described) <= names and not _TELLING.isdisjoint(described)


def read_metadata(path: str) -> dict[str, Any]:
    """Defaults for all documents of a run, from a JSON or TOML file.

    Raises:
        ConfigError: It cannot be read, or has a key or value that is not valid or names one
            document only.
    """
    try:
        text = _read(path)
        described = _decode_toml(text) if path.endswith(".toml") else _decode_json(text)
    except _UnreadableError as exc:
        raise ConfigError(f"--metadata {exc}") from None
    for key in _NOT_A_DEFAULT:
        if key in described:
            raise ConfigError(f"--metadata has `{key}`, which names one document and is no default")
    try:
        parse_shape(Document, described)
    except InvalidDocumentError as exc:
        raise ConfigError(f"--metadata: {exc.message}") from None
    return described


class _UnreadableError(Exception):
    """Why a description cannot be read, to follow the words "the sidecar"."""


def _read(path: str) -> str:
    try:
        # Not blocking on a pipe that somebody put in the place of a file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _UnreadableError("is not a regular file")
            data = file.read(MAX_DESCRIPTION_BYTES + 1)
    except OSError as exc:
        raise _UnreadableError(f"cannot be read: {exc.strerror}") from None
    if len(data) > MAX_DESCRIPTION_BYTES:
        raise _UnreadableError(f"is larger than {MAX_DESCRIPTION_BYTES} bytes")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _UnreadableError("is not UTF-8") from None


def _decode_toml(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        raise _UnreadableError("is not valid TOML") from None


def _decode_json(text: str) -> dict[str, Any]:
    try:
        decoded: object = json.loads(text, object_pairs_hook=_once_each, parse_constant=_no_such_number)
    except json.JSONDecodeError as exc:
        raise _UnreadableError(f"is not valid JSON (line {exc.lineno})") from None
    except (RecursionError, ValueError):
        raise _UnreadableError("is not valid JSON") from None
    if not is_table(decoded):
        raise _UnreadableError("is not a JSON object")
    if _depth(decoded) > MAX_DEPTH:
        raise _UnreadableError(f"is nested deeper than {MAX_DEPTH} levels")
    return dict(decoded)


def _once_each(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    """An object; a key that stands twice is an error, for one of the two would be lost unseen."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _UnreadableError("has a key twice in one object")
    return found


def _no_such_number(_: str) -> object:
    raise _UnreadableError("has NaN or Infinity, which JSON does not know")


def _depth(value: object) -> int:
    """How deep tables and lists are nested, without recursion."""
    level, here = 0, [value]
    while here:
        level += 1
        here = [inner for each in here for inner in _inside(each)]
    return level


def _inside(value: object) -> Iterable[object]:
    if is_table(value):
        return value.values()
    return value if _is_list(value) else ()


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)
