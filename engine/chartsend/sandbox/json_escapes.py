"""The escapes of JSON strings, resolved in text that arrives in pieces (RFC 8259, section 7)."""

from __future__ import annotations

import re
from typing import Final

_CONTROLS: Final = bytes(range(0x20))
_SIMPLE: Final = {
    b'"': b'"',
    b"\\": b"\\",
    b"/": b"/",
    b"b": b"\b",
    b"f": b"\f",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
}
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^u])",
    re.DOTALL,
)
# What the end of a piece may cut: a backslash, \u with fewer than four digits, or the first half of
# a surrogate pair with less than all of its second half.
_CUT_ESCAPE: Final = re.compile(
    rb"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?\Z",
)


class BadStringError(ValueError):
    """A JSON string has a control character or an escape that does not exist."""


class Unescaper:
    """Turns the inside of a JSON string, as it stands between its quotes, into UTF-8 text."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, raw: bytes) -> bytes:
        """Take more of the string and give what can be said of it.

        Raises:
            BadStringError: A control character, an unknown escape or half a surrogate pair.
        """
        if len(raw.translate(None, _CONTROLS)) != len(raw):
            raise BadStringError("a control character inside a string")
        raw = self._pending + raw
        self._pending = b""
        if b"\\" not in raw:
            return raw
        cut = self._cut_of(raw)
        self._pending = raw[cut:]
        return _unescape(raw[:cut])

    def finish(self) -> None:
        """Say that the string has ended.

        Raises:
            BadStringError: It ended inside an escape.
        """
        if self._pending:
            _unescape(self._pending)
            raise BadStringError("a string ends inside an escape or with half a surrogate pair")

    @staticmethod
    def _cut_of(raw: bytes) -> int:
        """Tell where an escape begins that the end of `raw` may have cut."""
        first = max(0, len(raw) - 11)  # the longest cut escape is \ud83d\udc0 with 11 characters
        for match in re.finditer(rb"\\", raw[first:]):
            start = first + match.start()
            if _is_escape_start(raw, start) and _CUT_ESCAPE.match(raw, start):
                return start
        return len(raw)


def _is_escape_start(raw: bytes, position: int) -> bool:
    # A backslash begins an escape when an even number of backslashes precedes it.
    before = raw[:position]
    return (len(before) - len(before.rstrip(b"\\"))) % 2 == 0


def _unescape(raw: bytes) -> bytes:
    parts: list[bytes] = []
    position = 0
    while (backslash := raw.find(b"\\", position)) >= 0:
        parts.append(raw[position:backslash])
        match = _ESCAPE.match(raw, backslash)
        if match is None:
            raise BadStringError("an escape that does not exist in JSON")
        parts.append(_resolve(match.group()[1:]))
        position = match.end()
    parts.append(raw[position:])
    return b"".join(parts)


def _resolve(escape: bytes) -> bytes:
    if not escape.startswith(b"u"):
        try:
            return _SIMPLE[escape]
        except KeyError:
            raise BadStringError("an escape that does not exist in JSON") from None
    code = int(escape[1:5], 16)
    if len(escape) > 5:
        low = int(escape[7:11], 16)
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
    elif 0xD800 <= code <= 0xDFFF:
        raise BadStringError("half a surrogate pair")
    return chr(code).encode()
