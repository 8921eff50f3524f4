"""A pattern that says what the names of files mean, such as `{mrn}_{type}_{id}.pdf`.

The one rule: a name that can be divided in more than one way is divided in none. With the pattern
`{type}_{id}.pdf`, nobody knows what the id of `Consent_Form_77.pdf` is.

Theory of operation. A pattern is texts with fields between them. Placing each text as far left as it
can be gives the division with the shortest fields in front; as far right, the one with the longest.
Every other division lies between the two, so there is only one if they are the same. Both take one
pass, whatever the name.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from ...errors import ConfigError
from .columns import PATH, Field, Filling, did_you_mean, field_named, gap_in
from .rows import ROW_KEYS

if TYPE_CHECKING:
    from collections.abc import Sequence

_PART: Final = re.compile(r"\{(?P<field>[^{}]*)\}|(?P<text>[^{}]+)|(?P<stray>[{}])")
_IGNORED: Final = "_"
_MRN: Final = "patient.identifiers.0.id"
_MRN_TYPE: Final = "patient.identifiers.0.type"
_SHORT: Final = {
    "mrn": _MRN,
    "id": "document_id",
    "visit": "visit.number",
    "order": "order.id",
}


class AmbiguousNameError(ValueError):
    """A name fits the pattern in more than one way."""


class Pattern:
    """What the names of files mean.

    A pattern without `/` is about the file's own name, wherever in the folder it lies; with slashes
    it is about as many names at the path's end.

    Args:
        text: Texts, and fields in braces: `{mrn}` (an identifier of the patient, of type MR), `{id}`
            (document_id), `{visit}`, `{order}`, any other field of a document by its dotted name, and
            `{_}` for what means nothing. A field is at least one character, and none of it a slash.

    Raises:
        ConfigError: It names an unknown field, one field twice, or two fields without a text between.
    """

    def __init__(self, text: str) -> None:
        if not all(text.split("/")):
            raise ConfigError("the pattern has a slash with no name on one side of it")
        self._levels = [_Level(level) for level in text.split("/")]
        fields = [field for level in self._levels for field in level.fields if field is not None]
        self._has_mrn = any("mrn" in level.names for level in self._levels)
        _check([field.name for field in fields] + ([_MRN_TYPE] if self._has_mrn else []))
        gap = gap_in(fields)
        if gap is not None:
            raise ConfigError(f"the pattern: the items of `{gap}` count from 0 without a gap")
        self._filling = Filling(fields)

    def described(self, path: str) -> dict[str, Any] | None:
        """What a path says of its file; None when it does not fit.

        Args:
            path: Relative to the folder.

        Raises:
            AmbiguousNameError: It fits in more than one way.
        """
        names = path.split("/")[-len(self._levels) :]
        if len(names) < len(self._levels):
            return None
        found: list[str] = []
        for level, name in zip(self._levels, names, strict=True):
            parts = level.parts(name)
            if parts is None:
                return None
            found.extend(parts)
        described = self._filling.described(found)
        if self._has_mrn:
            described["patient"]["identifiers"][0]["type"] = "MR"
        return described


class _Level:
    """The pattern of one name: a text, then a field and a text, again and again."""

    def __init__(self, pattern: str) -> None:
        self.names: list[str] = []
        self._texts = [""]
        was_field = False
        for part in _PART.finditer(pattern):
            if part["stray"] is not None:
                raise ConfigError("the pattern has a brace without its other one; write {field}")
            if part["field"] is None:
                self._texts[-1] += part["text"]
            elif was_field:
                raise ConfigError(
                    "the pattern has two fields without a text between them: nothing divides them"
                )
            else:
                self.names.append(part["field"])
                self._texts.append("")
            was_field = part["field"] is not None
        self.fields = [_field(name) for name in self.names]

    def parts(self, name: str) -> list[str] | None:
        """The parts of a name that mean something; None when it does not fit."""
        first, last = self._texts[0], self._texts[-1]
        if not self.names:
            return [] if name == first else None
        if not name.startswith(first) or not name[len(first) :].endswith(last):
            return None
        inner, texts = name[len(first) : len(name) - len(last)], self._texts[1:-1]
        left = _from_left(inner, texts)
        if left is None:
            return None
        right = _from_right(inner, texts)
        known = [at for at, field in enumerate(self.fields) if field is not None]
        if any(left[at] != right[at] for at in known):
            raise AmbiguousNameError
        return [inner[slice(*left[at])] for at in known]


def _from_left(inner: str, texts: Sequence[str]) -> list[tuple[int, int]] | None:
    """Where each field begins and ends with every text as far left as it can be; None if they cannot."""
    spans: list[tuple[int, int]] = []
    at = 0
    for text in texts:
        found = inner.find(text, at + 1)
        if found < 0:
            return None
        spans.append((at, found))
        at = found + len(text)
    return [*spans, (at, len(inner))] if at < len(inner) else None


def _from_right(inner: str, texts: Sequence[str]) -> list[tuple[int, int]]:
    """The same as far right; they can be placed, as it was possible from the left."""
    spans: list[tuple[int, int]] = []
    end = len(inner)
    for text in reversed(texts):
        found = inner.rfind(text, 0, end - 1)
        spans.append((found + len(text), end))
        end = found
    return [(0, end), *reversed(spans)]


def _field(name: str) -> Field | None:
    """The field of a name in braces; None for one that means nothing."""
    if name == _IGNORED:
        return None
    field = field_named(_SHORT.get(name, name))
    if field is None or field.name == PATH or field.name in ROW_KEYS:
        known = ", ".join(f"{{{each}}}" for each in _SHORT)
        raise ConfigError(
            f"the pattern has an unknown field {{{name}}}{did_you_mean(name)} (there are {known}, {{_}}"
            " and every field of a document)"
        )
    return field


def _check(names: Sequence[str]) -> None:
    if not names:
        raise ConfigError("the pattern has no field: write one, such as {mrn}_{type}_{id}.pdf")
    for name, count in Counter(names).items():
        if count > 1:
            raise ConfigError(f"the pattern has `{name}` {count} times ({{mrn}} is one of type MR)")
