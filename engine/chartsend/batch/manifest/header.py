"""The header of a CSV manifest: which field each column fills.

The one rule: a header that is not understood to the last column refuses the whole manifest, before a
row of it is read; and as it may be no header but somebody's data, nothing of it is repeated.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from ...errors import ManifestError
from .cells import split
from .columns import PATH, Field, did_you_mean, field_named, gap_in

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_COLUMNS: Final = 1000
_OTHER_COMMAS: Final = (b";", b"\t", b"|")


def read_header(line: bytes, number: int) -> tuple[Field, ...]:
    """The fields of the columns, in their order.

    Args:
        line: The header without its line end.
        number: Of its line.

    Raises:
        ManifestError: A column is unknown, or stands there twice; `path` is missing; or the line is
            no header.
    """
    found = split(line)
    if not found.is_whole:
        what = found.problem or "a quote that is not closed on the line"
        raise ManifestError(f"line {number}, the header, has {what} in column {len(found.cells) + 1}")
    if len(found.cells) > MAX_COLUMNS:
        raise ManifestError(f"line {number}, the header, has more than {MAX_COLUMNS} columns")
    try:
        names = [cell.decode() for cell in found.cells]
    except UnicodeDecodeError:
        raise ManifestError(f"line {number}, the header, is not UTF-8") from None
    fields = [field_named(name) for name in names]
    if not any(fields):
        raise ManifestError(_no_header(line, number))
    problems = _unknown(names, fields)
    known = [field for field in fields if field is not None]
    problems += _wrong_together(known)
    if problems:
        raise ManifestError(f"line {number}, the header: {'; '.join(problems)}")
    return tuple(known)


def _no_header(line: bytes, number: int) -> str:
    hint = ""
    if b"\r" in line:
        hint = "; lines end with LF or CR LF, not with CR"
    elif b"," not in line and any(each in line for each in _OTHER_COMMAS):
        hint = "; columns are divided by commas"
    return f"line {number} is no header: it names none of the columns that there are, such as path{hint}"


def _unknown(names: Sequence[str], fields: Sequence[Field | None]) -> list[str]:
    return [
        f"column {at} is unknown{did_you_mean(name)}" if name else f"column {at} has no name"
        for at, (name, field) in enumerate(zip(names, fields, strict=True), start=1)
        if field is None
    ]


def _wrong_together(fields: Sequence[Field]) -> list[str]:
    problems = [
        f"`{name}` stands there {count} times"
        for name, count in Counter(field.name for field in fields).items()
        if count > 1
    ]
    if all(field.name != PATH for field in fields):
        problems.append(f"there is no column `{PATH}`")
    gap = gap_in(fields)
    if gap is not None:
        problems.append(f"the items of `{gap}` count from 0 without a gap")
    return problems
