"""The base of every described thing: immutable, and valid from the moment it exists.

The one rule: what is wrong is named by its field, and its value is never shown.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import re
import types
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec

from .errors import InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Mapping

Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]
"""A date and time with its offset from UTC; a naive one would mean another time elsewhere."""

# CR, LF, NUL and the other control characters make header and log injection possible; lone
# surrogates cannot be written as JSON. Tabs and line ends are welcome in free text only.
UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_UNSAFE_IN_PROSE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_PROSE = frozenset({"description"})
# A path is what the file system says; it stays on this machine, so only NUL is impossible.
_LOCAL = frozenset({"path"})
MAX_TEXT_CHARS = 4096
"""Longest text of one field; far above any clinical title, far below a denial of service."""


@functools.cache
def _fields(kind: type[Shape]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """The fields of a shape; msgspec evaluates the annotations anew at every call (0.1 ms)."""
    return msgspec.structs.fields(kind)


class Shape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of every described thing: immutable, and valid from the moment it exists.

    Raises:
        InvalidDocumentError: A field has the wrong type, a control character, or is too long.
            The text names the field, never its value.
    """

    python_only: ClassVar[frozenset[str]] = frozenset()
    """Fields that JSON, TOML and manifest rows cannot give."""

    def __repr__(self) -> str:
        """The names of the fields that are set, never a value: this may stand in a traceback."""
        given = [f.name for f in _fields(type(self)) if getattr(self, f.name)]
        return f"<{type(self).__name__} with {', '.join(given) or 'nothing'}>"

    def __post_init__(self) -> None:
        problems: list[str] = []
        for field in _fields(type(self)):
            value: object = getattr(self, field.name)
            if _is_sequence(value):
                value = tuple(value)
                msgspec.structs.force_setattr(self, field.name, value)
            problem = _problem(field.encode_name, value, field.type)
            if problem is not None:
                problems.append(problem)
        if problems:
            raise InvalidDocumentError(
                f"the description is not valid: {'; '.join(problems)}", problems=tuple(problems)
            )


def _is_sequence(value: object) -> TypeGuard[list[object] | tuple[object, ...]]:
    return isinstance(value, list | tuple)


def _problem(name: str, value: object, expected: object) -> str | None:
    """What is wrong with one field's value, without the value; None when nothing is."""
    if isinstance(value, str) and name not in _LOCAL:
        unsafe = _UNSAFE_IN_PROSE if name in _PROSE else UNSAFE
        if unsafe.search(value):
            return f"{name} has a control character"
        if len(value) > MAX_TEXT_CHARS:
            return f"{name} has {len(value)} characters, at most {MAX_TEXT_CHARS} are taken"
    if not _is_a(value, expected):
        return f"{name} is of the wrong type or not one of the allowed values"
    return None


def _is_a(value: object, expected: object) -> bool:
    """Whether `value` is of the annotated type; the few forms this file uses."""
    origin, args = get_origin(expected), get_args(expected)
    if expected == Moment:
        return isinstance(value, dt.datetime) and value.tzinfo is not None
    if origin in {Union, types.UnionType}:
        return any(_is_a(value, option) for option in args)
    if origin is Literal:
        return value in args
    if origin is tuple:
        return _is_sequence(value) and all(_is_a(item, args[0]) for item in value)
    if expected is dt.date and isinstance(value, dt.datetime):
        return False  # a datetime is a date to Python, and not to a chart
    return isinstance(expected, type) and isinstance(value, expected)


S = TypeVar("S", bound=Shape)
_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")


def parse_shape(kind: type[S], mapping: Mapping[str, Any]) -> S:
    """Make a shape from JSON or TOML data, with errors that name fields and never show values.

    Args:
        kind: The shape to make, such as `Document`.
        mapping: Decoded JSON or TOML, keys in snake_case.

    Raises:
        InvalidDocumentError: An unknown key (with a did-you-mean), a wrong type, or a value
            that the shape itself refuses.
    """
    hidden = next((name for name in kind.python_only if name in mapping), None)
    if hidden is not None:
        raise InvalidDocumentError(f"unknown key `{hidden}`{_did_you_mean(hidden, kind)}")
    try:
        return msgspec.convert(mapping, kind)
    except msgspec.ValidationError as exc:
        if isinstance(exc.__cause__, InvalidDocumentError):
            raise exc.__cause__ from None
        raise InvalidDocumentError(_explain(str(exc), kind)) from None


def _explain(text: str, kind: type[Shape]) -> str:
    """The words of msgspec about a failure, without any value it quotes."""
    at = _AT.search(text)
    path = at.group("path") if at else ""
    reason = text[: at.start()] if at else text
    where = f"`{path}`: " if path else ""
    unknown = _UNKNOWN.search(reason)
    if unknown:
        name = unknown.group("name")
        full = f"{path}.{name}" if path else name
        return f"unknown key `{full}`{_did_you_mean(name, kind)}"
    if reason.startswith("Invalid enum value"):
        return f"{where}not one of the allowed values"
    return where + re.sub(r"'[^']*'", "…", reason)


def _did_you_mean(name: str, kind: type[Shape]) -> str:
    near = difflib.get_close_matches(name, _known_names(kind), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def _known_names(kind: type[Shape]) -> list[str]:
    """Every key of a shape and of the shapes inside it, for a did-you-mean."""
    names: list[str] = []
    for field in _fields(kind):
        if field.name not in kind.python_only:
            names.append(field.encode_name)
        names.extend(n for part in _parts(field.type) for n in _known_names(part))
    return names


def _parts(annotation: object) -> list[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return [annotation]
    return [part for option in get_args(annotation) for part in _parts(option)]
