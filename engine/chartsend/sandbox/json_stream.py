"""A JSON document of any size, read as it comes: long strings go to files, the rest is small.

Theory of operation. The reader looks only for the quotes that open and close strings. Everything is
collected as it is (the skeleton), except that a string longer than the threshold is replaced by a
marker and its content, with the escapes resolved, goes to a `LongString`. At the end orjson parses
the skeleton, which is where all of JSON's other rules are enforced, and the markers are exchanged for
the long strings. A marker carries a random number, so no document can contain one.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final, Self

import orjson

from .json_escapes import BadStringError, Unescaper
from .long_string import LongString

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .json_tree import JsonValue
    from .store import FileWriter

THRESHOLD_BYTES: Final = 64 * 1024
"""Strings above this go to a file."""

SKELETON_LIMIT_BYTES: Final = 4 * 1024 * 1024
"""What a document may be without its long strings. A message about one patient has some kilobytes."""

DEPTH_LIMIT: Final = 128
"""How deep a document may nest; far below what Python's own stack bears."""

_QUOTE: Final = ord('"')


class BadJsonError(ValueError):
    """The document is not JSON, or not JSON that the sandbox reads."""


class JsonReader:
    """Reads one JSON document that arrives in pieces cut anywhere.

    Used in a `with` block: what nobody took from the document is deleted when it is left.
    """

    def __init__(
        self,
        new_file: Callable[[], FileWriter],
        *,
        threshold_bytes: int = THRESHOLD_BYTES,
        skeleton_limit_bytes: int = SKELETON_LIMIT_BYTES,
    ) -> None:
        self._new_file = new_file
        self._threshold_bytes = threshold_bytes
        self._skeleton_limit_bytes = skeleton_limit_bytes
        self._skeleton = bytearray()
        self._marker = secrets.token_hex(16)
        self._long_strings: list[LongString] = []
        self._is_in_string = False
        self._after_backslash = False
        self._string_start = 0
        self._long: LongString | None = None
        self._unescaper = Unescaper()

    def feed(self, piece: bytes) -> None:
        """Read the next bytes of the document.

        Raises:
            BadJsonError: A long string is malformed, or the document has too much beside them.
        """
        position = 0
        while position < len(piece):
            if self._is_in_string:
                position = self._read_string(piece, position)
            else:
                position = self._read_outside(piece, position)
        if len(self._skeleton) > self._skeleton_limit_bytes:
            raise BadJsonError(
                f"more than {self._skeleton_limit_bytes} bytes of JSON beside the long strings",
            )

    def finish(self) -> JsonValue:
        """Parse what was read.

        Raises:
            BadJsonError: It is not JSON, it nests too deep, or a key is longer than the threshold.
        """
        if self._is_in_string:
            raise BadJsonError("the document ends inside a string")
        try:
            value: JsonValue = orjson.loads(self._skeleton)
        except (orjson.JSONDecodeError, RecursionError) as exc:
            raise BadJsonError(str(exc)) from None
        return self._with_long_strings(value, 0)

    def close(self) -> None:
        """Delete the long strings that nobody took."""
        for long_string in self._long_strings:
            long_string.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _read_outside(self, piece: bytes, position: int) -> int:
        quote = piece.find(b'"', position)
        end = len(piece) if quote < 0 else quote + 1
        self._skeleton += piece[position:end]
        if quote >= 0:
            self._is_in_string = True
            self._string_start = len(self._skeleton)
        return end

    def _read_string(self, piece: bytes, position: int) -> int:
        """Read to the end of the string or of the piece, whichever comes first."""
        start = position
        quote = backslash = -1
        while position < len(piece):
            if self._after_backslash:
                self._after_backslash = False
                position += 1
                continue
            # Both positions are kept while they lie ahead, so that a string full of backslashes
            # does not search the whole piece again for each of them.
            if quote < position:
                quote = _find(piece, b'"', position)
            if backslash < position:
                backslash = _find(piece, b"\\", position)
            if quote < backslash:
                self._take(piece[start:quote])
                self._end_string()
                return quote + 1
            self._after_backslash = backslash < len(piece)
            position = backslash + 1
        self._take(piece[start:])
        return len(piece)

    def _take(self, content: bytes) -> None:
        if self._long is None:
            self._skeleton += content
            if len(self._skeleton) - self._string_start <= self._threshold_bytes:
                return
            content = bytes(self._skeleton[self._string_start :])
            del self._skeleton[self._string_start :]
            self._long = LongString(self._new_file)
            self._skeleton += f"{self._marker}:{len(self._long_strings)}".encode()
            self._long_strings.append(self._long)
            self._unescaper = Unescaper()
        try:
            self._long.feed(self._unescaper.feed(content))
        except (BadStringError, UnicodeDecodeError) as exc:
            raise BadJsonError(str(exc)) from None

    def _end_string(self) -> None:
        self._is_in_string = False
        self._skeleton.append(_QUOTE)
        long_string, self._long = self._long, None
        if long_string is None:
            return
        try:
            self._unescaper.finish()
            long_string.finish()
        except (BadStringError, UnicodeDecodeError) as exc:
            raise BadJsonError(str(exc)) from None

    def _with_long_strings(self, value: JsonValue, depth: int) -> JsonValue:
        if depth > DEPTH_LIMIT:
            raise BadJsonError(f"more than {DEPTH_LIMIT} levels of nesting")
        match value:
            case str() if value.startswith(self._marker):
                return self._long_strings[int(value.rpartition(":")[2])]
            case list():
                return [self._with_long_strings(item, depth + 1) for item in value]
            case dict():
                if any(key.startswith(self._marker) for key in value):
                    raise BadJsonError(f"a key is longer than {self._threshold_bytes} bytes")
                return {key: self._with_long_strings(item, depth + 1) for key, item in value.items()}
            case _:
                return value


def _find(piece: bytes, what: bytes, position: int) -> int:
    found = piece.find(what, position)
    return len(piece) if found < 0 else found
