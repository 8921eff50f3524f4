"""A JSON document with one hole, split into what stands before it and what stands after.

The one rule: every string is escaped by orjson, and the exact length is known before a byte moves.

The hole is marked by a NUL byte. JSON text cannot hold one (orjson escapes it), so
there is exactly one in the output, wherever the hole stands and whatever the strings say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

HOLE: Final = orjson.Fragment(b'"\x00"')
"""Stands in a message where the file's text will stream, between two quotation marks."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What surrounds the hole.

    Attributes:
        prefix: Bytes up to the hole, the opening quotation mark included.
        suffix: Bytes after the hole, from the closing quotation mark on.
    """

    prefix: bytes
    suffix: bytes

    @property
    def length_bytes(self) -> int:
        """Bytes of the document with its hole empty."""
        return len(self.prefix) + len(self.suffix)


def split_at_hole(message: Mapping[str, object]) -> Envelope:
    """Render a message that has `HOLE` exactly once.

    Raises:
        ValueError: The hole is missing, or stands there more than once.
        TypeError: Something in the message cannot be written as JSON.
    """
    prefix, *rest = orjson.dumps(message).split(b"\x00")
    if len(rest) != 1:
        raise ValueError(f"a message has one hole; this one has {len(rest)}")
    return Envelope(prefix, rest[0])


def render(message: Mapping[str, object]) -> bytes:
    """Render a message without a hole.

    Raises:
        ValueError: There is a hole in it.
        TypeError: Something in the message cannot be written as JSON.
    """
    text = orjson.dumps(message)
    if b"\x00" in text:
        raise ValueError("the message has a hole")
    return text
