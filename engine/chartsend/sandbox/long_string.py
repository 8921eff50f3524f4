"""A JSON string too long for memory: decoded as base64 while it comes, or kept as text.

Nobody knows which of the two it is before the document has been read to its end, so it is taken for
base64 until a character says otherwise; what was decoded is then turned back into its text.
"""

from __future__ import annotations

import base64
import codecs
from typing import TYPE_CHECKING, Final

from .base64_stream import Base64Decoder, NotBase64Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from .store import FileWriter, StoredFile

_BEGINNING_BYTES: Final = 80


class LongString:
    """The content of one long string, already free of JSON's escapes, in a file of the store.

    After `finish()` it is taken once, with `as_base64` or `as_text`; `close()` deletes it otherwise.
    """

    def __init__(self, new_file: Callable[[], FileWriter]) -> None:
        self._new_file = new_file
        self._file = new_file()
        self._base64: Base64Decoder | None = Base64Decoder()
        self._last_bytes = b""
        self._utf8 = codecs.getincrementaldecoder("utf-8")()
        self.size_bytes = 0
        """Length of the string in UTF-8."""
        self.beginning = ""
        """Its first characters, for showing it."""

    def feed(self, text: bytes) -> None:
        """Append UTF-8 text, cut anywhere.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        if not self.size_bytes:
            self.beginning = text[:_BEGINNING_BYTES].decode("utf-8", "ignore")
        self.size_bytes += len(text)
        if self._base64 is None:
            self._write_text(text)
            return
        try:
            self._file.write(self._base64.feed(text))
        except NotBase64Error:
            self._turn_to_text(self._base64.pending)

    def finish(self) -> None:
        """Say that the string has ended.

        Raises:
            UnicodeDecodeError: It is not UTF-8.
        """
        if self._base64 is not None:
            try:
                self._last_bytes = self._base64.finish()
            except NotBase64Error:
                self._turn_to_text(self._base64.pending)
        self._utf8.decode(b"", final=True)

    def as_base64(self) -> StoredFile:
        """Keep and give the bytes that the string encodes.

        Raises:
            NotBase64Error: The string is not base64.
        """
        if self._base64 is None:
            raise NotBase64Error("a character outside the base64 alphabet, or wrong padding")
        self._file.write(self._last_bytes)
        return self._file.finish()

    def as_text(self) -> StoredFile:
        """Keep and give the string itself, in UTF-8."""
        if self._base64 is not None:
            self._turn_to_text(self._base64.pending)
        return self._file.finish()

    def close(self) -> None:
        """Delete the file, unless it was taken."""
        self._file.discard()

    def _write_text(self, text: bytes) -> None:
        self._utf8.decode(text)
        self._file.write(text)

    def _turn_to_text(self, rest: bytes) -> None:
        decoded, self._file, self._base64 = self._file, self._new_file(), None
        # Everything decoded so far came from whole groups without padding, and such text and its
        # bytes determine each other. So encoding the bytes gives back exactly what was sent.
        left = b""
        for piece in decoded.pieces():
            joined = left + piece
            whole = len(joined) // 3 * 3
            self._write_text(base64.b64encode(joined[:whole]))
            left = joined[whole:]
        decoded.discard()
        self._write_text(rest)
