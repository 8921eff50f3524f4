"""Reads a description from disk: a sidecar (JSON) or `--metadata FILE` (JSON or TOML).

The one rule: a description that cannot be understood to the last key is refused, because what it
would have said (whose chart this is) cannot be guessed. Errors name keys, never files or values.
"""

from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path, PurePath
from typing import Any, Final

import msgspec

from ..description import MAX_DESCRIPTION_BYTES, UndecodableError, decode_json
from ..document import Document
from ..errors import ConfigError, InvalidDocumentError
from ..shape import parse_shape
from .find import SIDECAR

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
        described = decode_json(_read(sidecar))
    except UndecodableError as exc:
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
        described = decode_json(_read(path))
    except UndecodableError:
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
        data = _read(path)
        described = _decode_toml(data) if path.endswith(".toml") else decode_json(data)
    except UndecodableError as exc:
        raise ConfigError(f"--metadata {exc}") from None
    for key in _NOT_A_DEFAULT:
        if key in described:
            raise ConfigError(f"--metadata has `{key}`, which names one document and is no default")
    try:
        parse_shape(Document, described)
    except InvalidDocumentError as exc:
        raise ConfigError(f"--metadata: {exc.message}") from None
    return described


def _read(path: str) -> bytes:
    try:
        # Not blocking on a pipe that somebody put in the place of a file.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UndecodableError("is not a regular file")
            data = file.read(MAX_DESCRIPTION_BYTES + 1)
    except OSError as exc:
        raise UndecodableError(f"cannot be read: {exc.strerror}") from None
    if len(data) > MAX_DESCRIPTION_BYTES:
        raise UndecodableError(f"is larger than {MAX_DESCRIPTION_BYTES} bytes")
    return data


def _decode_toml(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except UnicodeDecodeError:
        raise UndecodableError("is not UTF-8") from None
    except (tomllib.TOMLDecodeError, RecursionError):
        raise UndecodableError("is not valid TOML") from None
