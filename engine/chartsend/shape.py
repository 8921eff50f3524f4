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
    NamedTuple,
    Protocol,
    TypeGuard,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

import msgspec

from .errors import InvalidDocumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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
MAX_KEY_CHARS = 64
"""Longest unknown key for which a known one is looked for."""


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
        # A manifest has millions of rows: what is plainly right costs one quick look, and only the
        # rest is judged.
        for value, (field, may_be_absent, is_text, is_plainly_right) in zip(
            msgspec.structs.astuple(self), _checks(type(self)), strict=True
        ):
            if value is None:
                is_right = may_be_absent
            elif is_text:
                # No control character, line separator or surrogate is printable.
                is_right = type(value) is str and value.isprintable() and len(value) <= MAX_TEXT_CHARS
            else:
                is_right = is_plainly_right(value)
            problem = None if is_right else self._judge(field, value)
            if problem is not None:
                problems.append(problem)
        if problems:
            raise InvalidDocumentError(
                f"the description is not valid: {'; '.join(problems)}", problems=tuple(problems)
            )

    def _judge(self, field: msgspec.structs.FieldInfo, value: object) -> str | None:
        """What is wrong with one field, if anything; a list is frozen on the way."""
        if _is_sequence(value):
            value = tuple(value)
            msgspec.structs.force_setattr(self, field.name, value)
        return _problem(field.encode_name, value, field.type)


class _Check(NamedTuple):
    """How one field of a shape is checked, worked out once for the class.

    Attributes:
        field: Which one.
        may_be_absent: Whether None is right.
        is_text: Whether it is a text that control characters are looked for in.
        is_plainly_right: For all others: a cheap test that only values without a problem pass; what
            fails it may be right all the same.
    """

    field: msgspec.structs.FieldInfo
    may_be_absent: bool
    is_text: bool
    is_plainly_right: Callable[[Any], bool]


@functools.cache
def _checks(kind: type[Shape]) -> tuple[_Check, ...]:
    """The checks of a shape's fields, in their order."""
    return tuple(_check(field) for field in _fields(kind))


def _check(field: msgspec.structs.FieldInfo) -> _Check:
    may_be_absent = _problem(field.encode_name, None, field.type) is None
    expected = _without_none(field.type)
    is_text = expected is str and field.encode_name not in _LOCAL
    return _Check(field, may_be_absent, is_text, _quick_look(expected))


def _without_none(expected: object) -> object:
    options = [option for option in get_args(expected) if option is not types.NoneType]
    is_optional = get_origin(expected) in {Union, types.UnionType} and len(options) == 1
    return options[0] if is_optional else expected


def _quick_look(expected: Any) -> Callable[[Any], bool]:
    if expected == Moment:
        return lambda value: type(value) is dt.datetime and value.tzinfo is not None
    if get_origin(expected) is Literal:
        allowed = frozenset(get_args(expected))
        return lambda value: type(value) is str and value in allowed
    if get_origin(expected) is tuple:
        item = get_args(expected)[0]
        return lambda value: _is_sequence(value) and _are_all(value, item)
    return lambda value: type(value) is expected


def _are_all(value: list[object] | tuple[object, ...], kind: Any) -> bool:
    return type(value) is tuple and all(type(each) is kind for each in value)


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


class FilePath(Protocol):
    """A path that is not a text, such as `pathlib.Path`: what `os.PathLike[str]` is."""

    def __fspath__(self) -> str: ...


def spelled_out(given: object) -> str:
    """A path as a text; bytes have no one meaning as a text, and a number is a descriptor."""
    spelling = getattr(type(given), "__fspath__", None)
    path = given if spelling is None else spelling(given)
    if not isinstance(path, str):
        raise TypeError(f"a path is a str or a pathlib.Path, not {type(given).__name__}")
    return path


S = TypeVar("S", bound=Shape)
_AT = re.compile(r" - at `(?:key in )?\$\.?(?P<path>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>[^`]*)`")
_WORD = re.compile(r"[^\[\].\d]+")


def parse_shape(kind: type[S], mapping: Mapping[str, Any], *, shows_keys: bool = True) -> S:
    """Make a shape from JSON or TOML data, with errors that name fields and never show values.

    Args:
        kind: The shape to make, such as `Document`.
        mapping: Decoded JSON or TOML, keys in snake_case.
        shows_keys: Whether an error repeats a key that is not known; where keys come from strangers'
            data, it names the nearest known one only.

    Raises:
        InvalidDocumentError: An unknown key (with a did-you-mean), a wrong type, or a value
            that the shape itself refuses.
    """
    if not kind.python_only.isdisjoint(mapping):
        hidden = next(name for name in kind.python_only if name in mapping)
        raise InvalidDocumentError(_unknown_key(hidden, "", kind, shows_keys=shows_keys))
    try:
        return msgspec.convert(mapping, kind)
    except msgspec.ValidationError as exc:
        if isinstance(exc.__cause__, InvalidDocumentError):
            raise exc.__cause__ from None
        raise InvalidDocumentError(_explain(str(exc), kind, shows_keys=shows_keys)) from None


def _explain(text: str, kind: type[Shape], *, shows_keys: bool) -> str:
    """The words of msgspec about a failure, without any value it quotes."""
    at = _AT.search(text)
    path = at.group("path") if at else ""
    reason = text[: at.start()] if at else text
    if not shows_keys and not set(_WORD.findall(path)) <= {*_known_names(kind), ""}:
        path, reason = "", text  # the key of a stranger that looks like a path
    unknown = _UNKNOWN.match(reason)
    if unknown:
        return _unknown_key(unknown.group("name"), path, kind, shows_keys=shows_keys)
    where = f"`{path}`: " if path else ""
    if reason.startswith("Invalid enum value"):
        return f"{where}not one of the allowed values"
    return where + re.sub(r"'[^']*'", "…", reason)


def _unknown_key(name: str, path: str, kind: type[Shape], *, shows_keys: bool) -> str:
    hint = _did_you_mean(name, kind)
    if shows_keys:
        return f"unknown key `{path}.{name}`{hint}" if path else f"unknown key `{name}`{hint}"
    return f"unknown key in `{path}`{hint}" if path else f"unknown key{hint}"


def unexpected(kind: type[Shape], given: Iterable[str], error: TypeError) -> TypeError:
    """What to raise when a shape was called with these keywords and would not have one of them.

    Args:
        kind: The shape.
        given: Names of the keywords.
        error: What the call raised; given back when every keyword is a field.
    """
    for name in given:
        if name not in kind.__struct_fields__:
            own = difflib.get_close_matches(name, kind.__struct_fields__, n=1)
            hint = f"; did you mean `{own[0]}`?" if own else ""
            return TypeError(f"{kind.__name__} has no field `{name}`{hint}")
    return error


# Rows of one manifest repeat the same mistake, and looking for what was meant takes a third of a
# millisecond.
@functools.lru_cache(maxsize=256)
def _did_you_mean(name: str, kind: type[Shape]) -> str:
    near = difflib.get_close_matches(name, _known_names(kind), n=1) if len(name) <= MAX_KEY_CHARS else []
    return f"; did you mean `{near[0]}`?" if near else ""


@functools.cache
def _known_names(kind: type[Shape]) -> tuple[str, ...]:
    """Every key of a shape and of the shapes inside it, for a did-you-mean."""
    names: list[str] = []
    for field in _fields(kind):
        if field.name not in kind.python_only:
            names.append(field.encode_name)
        names.extend(n for part in _parts(field.type) for n in _known_names(part))
    return tuple(names)


def _parts(annotation: object) -> list[type[Shape]]:
    if isinstance(annotation, type) and issubclass(annotation, Shape):
        return [annotation]
    return [part for option in get_args(annotation) for part in _parts(option)]
