"""A profile: one table of `config.toml`, or a TOML file of its own; found, read, its keys checked.

The one rule: a key that is not known is an error with a suggestion, in every table, so that a
typing error can never quietly leave a default in force.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeGuard, get_type_hints

from typed_settings.exceptions import ConfigFileLoadError
from typed_settings.loaders import TomlFormat

from ..document import Document
from ..errors import ConfigError, InsecureConfigError, InvalidDocumentError
from ..shape import parse_shape
from .parts import Destination
from .shape import Settings

# Each of these names one document; as a default it would give many documents one identity.
NOT_A_DEFAULT: Final = ("path", "document_id", "replaces")


@dataclass(frozen=True, slots=True)
class Profile:
    """What stood in a profile, its keys checked and its values not yet converted.

    Attributes:
        table: The settings, without `[document]`.
        document: Defaults for descriptions, checked.
        label: How origins and errors call it.
        file: Where it stands; None for no profile.
    """

    table: Mapping[str, Any]
    document: Mapping[str, Any]
    label: str = ""
    file: Path | None = None


def is_table(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Whether a decoded value is a table."""
    return isinstance(value, Mapping)


def settings_class(hint: object) -> type | None:
    """The annotation itself when it is one of the settings' tables, such as `Auth`."""
    return hint if isinstance(hint, type) and dataclasses.is_dataclass(hint) else None


def config_file() -> Path:
    """Where named profiles stand: `$XDG_CONFIG_HOME/chartsend/config.toml`, or in `~/.config`.

    Raises:
        ConfigError: There is no home directory.
    """
    base = os.environ.get("XDG_CONFIG_HOME", "")
    if base.startswith("/"):  # the XDG specification: a relative path is to be ignored
        return Path(base) / "chartsend" / "config.toml"
    try:
        return Path.home() / ".config" / "chartsend" / "config.toml"
    except RuntimeError:
        raise ConfigError(
            "no home directory: set HOME or XDG_CONFIG_HOME, or give the profile as a file"
        ) from None


def profile_names() -> list[str]:
    """The named profiles, sorted; none when the file is absent.

    Raises:
        ConfigError: The file is there and cannot be read.
    """
    file = config_file()
    if not file.exists():
        return []
    return sorted(key for key, value in _read_toml(file).items() if is_table(value))


def read_profile(name: str) -> Profile:
    """Read a profile: with a `/` or ending in `.toml` a file, otherwise a table of `config.toml`.

    Raises:
        ConfigError: It is not there, is not TOML, or has a key that is not known.
        InsecureConfigError: Everybody can write the file.
    """
    if "/" in name or name.endswith(".toml"):
        file = Path(name).expanduser().absolute()
        table, label = _read_toml(file), f"profile {file}"
    else:
        file = config_file()
        table, label = _named(_read_toml(file), name, file), f"profile {name} in {file}"
    settings = {key: value for key, value in table.items() if key != "document"}
    problems = unknown_keys(settings)
    if problems:
        raise ConfigError(f"{label}: {'; '.join(problems)}")
    return Profile(settings, _document_defaults(table.get("document", {}), label), label, file)


def unknown_keys(table: Mapping[str, Any]) -> list[str]:
    """One text for each key that is unknown, or holds no table where one is needed."""
    return _unknown(table, Settings, "")


def _read_toml(file: Path) -> Mapping[str, Any]:
    try:
        status = file.stat()
        # A profile names hosts and commands: who can write it can send the files elsewhere.
        if status.st_mode & stat.S_IWOTH:
            raise InsecureConfigError(f"{file} can be written by everybody: chmod o-w it")
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{file} is not a regular file")
        return TomlFormat(None)(file, Settings, ())
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(
            f"there is no file {file}; write the profile there, or give another with --profile"
        ) from None
    except ConfigFileLoadError as exc:
        if isinstance(exc.__cause__, OSError):
            raise ConfigError(f"{file} cannot be read: {exc.__cause__.strerror}") from None
        raise ConfigError(f"{file} is not valid TOML: {exc}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file} is not UTF-8") from None
    except OSError as exc:
        raise ConfigError(f"{file} cannot be read: {exc.strerror}") from None


def _named(config: Mapping[str, Any], name: str, file: Path) -> Mapping[str, Any]:
    table = config.get(name)
    if is_table(table):
        return table
    tables = sorted(key for key, value in config.items() if is_table(value))
    near = difflib.get_close_matches(name, tables, n=1)
    if near:
        hint = f"did you mean `{near[0]}`?"
    elif any(key in config for key in _fields(Settings)):
        hint = f"every profile is a table of its own: put its settings under [{name}]"
    else:
        hint = f"it has {', '.join(tables) or 'none'}"
    raise ConfigError(f"there is no profile `{name}` in {file}; {hint}")


def _document_defaults(table: object, label: str) -> Mapping[str, Any]:
    if not is_table(table):
        raise ConfigError(f"{label}: `document` is a table, [document]")
    for key in NOT_A_DEFAULT:
        if key in table:
            raise ConfigError(f"{label}: `document.{key}` names one document, it is no default")
    try:
        parse_shape(Document, table)
    except InvalidDocumentError as exc:
        raise ConfigError(f"{label}, [document]: {exc.message}") from None
    return MappingProxyType(dict(table))


def _fields(kind: type) -> dict[str, Any]:
    """Field names and types of a settings class; a destination's name is that of its table."""
    hidden = {"name"} if kind is Destination else set[str]()
    return {name: hint for name, hint in get_type_hints(kind).items() if name not in hidden}


def _unknown(table: Mapping[str, Any], kind: type, path: str) -> list[str]:
    known = _fields(kind)
    problems: list[str] = []
    for key, value in table.items():
        if key not in known:
            problems.append(f"unknown key `{path}{key}`{_suggestion(key, path, known)}")
        elif settings_class(known[key]) is not None:
            problems.extend(_inside(value, known[key], f"{path}{key}"))
        elif key == "destinations" and is_table(value):
            for name, each in value.items():
                problems.extend(_inside(each, Destination, f"{path}{key}.{name}"))
        elif key == "destinations":
            problems.append("`destinations` holds one table per name: [destinations.NAME]")
    return problems


def _inside(value: object, kind: type, path: str) -> list[str]:
    if not is_table(value):
        return [f"`{path}` is a table, [{path}]"]
    return _unknown(value, kind, f"{path}.")


def _suggestion(key: str, path: str, known: Mapping[str, Any]) -> str:
    """The nearest known key: of this table, else the same name in another table."""
    near = difflib.get_close_matches(key.replace("-", "_"), known, n=1)
    if near:
        return f"; did you mean `{path}{near[0]}`?"
    for name, hint in _fields(Settings).items():
        kind = settings_class(hint)
        if kind is not None and key in _fields(kind):
            return f"; did you mean `{name}.{key}`?"
    return ""
