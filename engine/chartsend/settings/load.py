"""Reads settings: defaults < profile < `CHARTSEND_…` variables < arguments, each with its origin.

The one rule: every value is checked before anything else happens, and an error names the key and
where it stands, never the value. typed-settings lists the options, names the variables and merges;
msgspec converts without guessing.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from typed_settings.cls_utils import deep_options
from typed_settings.dict_utils import merge_settings, set_path
from typed_settings.loaders import EnvLoader
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo

from ..errors import ConfigError
from .parts import Destination
from .profile import Profile, is_table, read_profile, settings_class, unknown_keys
from .quantity import parse_duration, parse_size
from .shape import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

PROFILE_VARIABLE: Final = "CHARTSEND_PROFILE"
_PREFIX: Final = "CHARTSEND_"
_DEFAULT: Final = "default"
_ENVIRONMENT: Final = "environment"
_ARGUMENT: Final = "argument"
_PATHS: Final = frozenset({"auth.key_file", "auth.secret_file", "ca_file"})
_SWITCHES: Final = {
    "1": True, "true": True, "yes": True, "on": True,
    "0": False, "false": False, "no": False, "off": False,
}  # fmt: skip
_KINDS: Final[dict[object, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    tuple: "a list of texts",
    dict: "a table of texts",
}


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each of their values came from.

    Attributes:
        settings: The validated whole.
        origins: Dotted name (`auth.client_id`, `destinations.memorial-ehr.slug`) to `default`,
            `profile NAME in FILE`, `environment CHARTSEND_…` or `argument`. Of destinations, the
            keys that were given.
        document: The profile's `[document]` table: defaults for descriptions, already checked.
        profile: The profile as it was asked for, or None.
        file: The file it stands in, or None.
    """

    settings: Settings
    origins: Mapping[str, str]
    document: Mapping[str, Any] = field(default_factory=dict[str, Any])
    profile: str | None = None
    file: Path | None = None


def load_settings(
    profile: str | os.PathLike[str] | None,
    overrides: Mapping[str, object],
    *,
    use_environment: bool = True,
) -> Loaded:
    """Read a profile, the environment and arguments into one validated object.

    Args:
        profile: A table in `config.toml` (see `profile.config_file`), or, with a `/` or ending in
            `.toml`, a file whose top level is that table; a `Path` is always a file. None:
            `CHARTSEND_PROFILE`, else no profile.
        overrides: Fields of `Settings` by name; a nested one as a mapping of the fields to
            change, or as the whole object. Destinations are added to the profile's by name.
        use_environment: False ignores every `CHARTSEND_…` variable, for a profile that must
            stand alone, such as a private sandbox's.

    Raises:
        ConfigError: A file, key or value is missing, unknown or wrong.
        InsecureConfigError: The profile's file can be written by everybody, or a value would
            send data to an unsafe place.
    """
    name = profile if isinstance(profile, str | None) else str(Path(profile).absolute())
    if name is None and use_environment:
        name = os.environ.get(PROFILE_VARIABLE) or None
    read = Profile({}, {}) if name is None else read_profile(name)
    options = {option.path: option for option in deep_options(Settings)}
    arguments = _arguments(overrides)
    layers = [LoadedSettings(dict(read.table), LoaderMeta(read.label))]
    if use_environment:
        layers.append(LoadedSettings(_from_environment(options), LoaderMeta(_ENVIRONMENT)))
    layers.append(LoadedSettings(arguments, LoaderMeta(_ARGUMENT)))

    values: dict[str, Any] = {}
    origins = dict.fromkeys(options, _DEFAULT)
    merged = merge_settings(tuple(options.values()), layers)
    merged.pop("destinations", None)
    for path, loaded in merged.items():
        origin = loaded.loader_meta.name
        base = read.file.parent if read.file and origin == read.label else None
        if origin == _ENVIRONMENT:
            origin = f"{_ENVIRONMENT} {EnvLoader(_PREFIX).get_envvar(options[path])}"
        origins[path] = origin
        set_path(values, path, _converted(options[path], loaded.value, origin, base))
    values["destinations"] = _destinations(read, arguments, origins)
    settings = _made(values, origins)
    if use_environment:
        _check_variables(options, settings)
    return Loaded(settings, MappingProxyType(origins), read.document, name, read.file)


def _from_environment(options: Mapping[str, OptionInfo]) -> dict[str, Any]:
    """The variables that are set and not empty: `${X:-}` in a compose file means "not given"."""
    found: dict[str, Any] = {}
    for path, option in options.items():
        variable = EnvLoader(_PREFIX).get_envvar(option)
        text = os.environ.get(variable, "")
        if text and path == "destinations":
            raise ConfigError(f"{variable}: destinations stand in a profile only")
        if text:
            set_path(found, path, text)
    return found


def _check_variables(options: Mapping[str, OptionInfo], settings: Settings) -> None:
    """Refuse a variable that is nearly one of ours.

    Others that begin alike are left alone: Kubernetes sets `CHARTSEND_SERVICE_HOST` for a
    service of that name.
    """
    known = {EnvLoader(_PREFIX).get_envvar(option) for option in options.values()}
    known |= {PROFILE_VARIABLE}
    ours = {settings.auth.key_env, settings.auth.secret_env}
    endings = sorted(name.removeprefix(_PREFIX) for name in known)
    for name in os.environ:
        if not name.startswith(_PREFIX) or name in known or name in ours:
            continue
        ending = name.removeprefix(_PREFIX)
        near = [each for each in endings if each.endswith(f"_{ending}")]
        near = near or difflib.get_close_matches(ending, endings, n=1, cutoff=0.8)
        if near:
            raise ConfigError(f"unknown variable {name}; did you mean {_PREFIX}{near[0]}?")


def _arguments(overrides: Mapping[str, object]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in overrides.items():
        if key == "destinations" and is_table(value):
            plain[key] = {name: _plain(each) for name, each in value.items()}
        else:
            plain[key] = _plain(value)
    problems = unknown_keys(plain)
    if problems:
        raise ConfigError(f"argument: {'; '.join(problems)}")
    return plain


def _plain(value: object) -> object:
    """A settings object as a mapping of its fields, so that it merges like a table."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    names = [each.name for each in dataclasses.fields(value)]
    if isinstance(value, Destination):  # its name is that of its table
        names.remove("name")
    return {name: getattr(value, name) for name in names}


def _converted(option: OptionInfo, value: object, origin: str, base: Path | None) -> object:
    """The value in its field's type.

    Raises:
        ConfigError: It is of another type; the text names the key and the origin only.
    """
    in_environment = origin.startswith(f"{_ENVIRONMENT} ")
    try:
        if isinstance(value, str):
            value = _read_text(option, value, in_environment=in_environment)
        kind: Any = option.cls
        converted: object = msgspec.convert(value, kind, strict=not in_environment)
    except ConfigError as exc:
        raise ConfigError(f"{option.path} ({origin}): {exc.message}") from None
    except msgspec.ValidationError:
        raise ConfigError(f"{option.path} ({origin}) {_expected(option.cls)}") from None
    if option.path in _PATHS and isinstance(converted, str):
        path = Path(converted).expanduser()
        return str(base / path if base else path)
    return converted


def _read_text(option: OptionInfo, text: str, *, in_environment: bool) -> object:
    """What a text means where it is not meant as a text: sizes, durations, lists and switches."""
    if option.path.endswith("_bytes"):
        return parse_size(text)
    if option.path.endswith("_s") and option.cls is float:
        return parse_duration(text)
    if in_environment and option.cls is bool:
        return _SWITCHES.get(text.lower(), text)
    if in_environment and get_origin(option.cls) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _expected(hint: object) -> str:
    choices = [hint, *get_args(hint)]
    for each in choices:
        if get_origin(each) is Literal:
            return f"is one of: {', '.join(get_args(each))}"
    known = [each for each in (*choices, get_origin(hint)) if each in _KINDS]
    return f"is {_KINDS[known[-1] if get_origin(hint) in _KINDS else known[0]]}"


def _destinations(
    read: Profile, arguments: Mapping[str, Any], origins: dict[str, str]
) -> dict[str, Destination]:
    """Destinations of the profile and of the arguments; a name in both is merged key by key."""
    given: dict[str, dict[str, Any]] = {}
    options = {option.path: option for option in deep_options(Destination)}
    for table, label in ((read.table, read.label), (arguments, _ARGUMENT)):
        for name, keys in table.get("destinations", {}).items():
            here = given.setdefault(name, {})
            for key, value in keys.items():
                dotted = f"destinations.{name}.{key}"
                named = dataclasses.replace(options[key], path=dotted)
                here[key] = _converted(named, value, label, None)
                origins[dotted] = label
    origins.pop("destinations", None)
    made: dict[str, Destination] = {}
    for name, keys in given.items():
        try:
            made[name] = Destination(name=name, **keys)
        except ConfigError as exc:
            origin = read.label if name in read.table.get("destinations", {}) else _ARGUMENT
            raise type(exc)(f"destinations.{name}: {exc.message} ({origin})") from None
    return made


def _made(values: Mapping[str, Any], origins: Mapping[str, str]) -> Settings:
    """The settings; a refusal gets the place of the value that it names first."""
    hints = get_type_hints(Settings)
    fields: dict[str, Any] = {}
    try:
        for name, value in values.items():
            kind = settings_class(hints[name])
            fields[name] = value if kind is None else kind(**value)
        return Settings(**fields)
    except ConfigError as exc:
        origin = origins.get(exc.message.partition(" ")[0])
        raise type(exc)(f"{exc.message} ({origin})" if origin else exc.message) from None
