"""Bodies that come in chunks: where the data is, and where it ends (RFC 9112, 7.1).

The one rule: data is given as views of what was read, never copied; only the lines between are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .heads import BadHeadError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LONGEST_LINE = 1024


class Chunks:
    """Takes one body out of its chunks.

    Attributes:
        is_over: Whether the last chunk and its trailers have come.
        rest: Once over: how many bytes of the last piece belong to what follows.
    """

    def __init__(self) -> None:
        self.is_over = False
        self.rest = 0
        self._left = 0  # data bytes of this chunk
        self._line = bytearray()  # a size, the end of a chunk, or a trailer, as far as it has come
        self._is_trailer = False
        self._follows_data = False

    def feed(self, piece: memoryview) -> Iterator[memoryview]:
        """Give the data in a piece; iterate to the end.

        Raises:
            BadHeadError: These are no chunks.
        """
        at = 0
        while at < len(piece) and not self.is_over:
            if self._left:
                data = piece[at : at + self._left]
                self._left -= len(data)
                self._follows_data = not self._left
                at += len(data)
                yield data
            else:
                at += self._take_line(piece[at : at + _LONGEST_LINE])
        self.rest = len(piece) - at

    def _take_line(self, piece: memoryview) -> int:
        text = bytes(piece)
        end = text.find(b"\n")
        if end < 0:
            self._line += text
            if len(self._line) > _LONGEST_LINE:
                raise BadHeadError("a chunk's line is too long")
            return len(text)
        self._line += text[: end + 1]
        line = bytes(self._line).strip()
        self._line.clear()
        self._understand(line)
        return end + 1

    def _understand(self, line: bytes) -> None:
        if self._follows_data:
            if line:
                raise BadHeadError("a chunk is longer than it says")
            self._follows_data = False
        elif self._is_trailer:
            self.is_over = not line
        else:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise BadHeadError("a chunk has no size") from None
            self._is_trailer = not self._left
