"""Incremental encoders: any chunking of the input gives the same output as one shot.

The one rule: what is carried between chunks is at most a few bytes, so memory does not grow with
the file.
"""

from __future__ import annotations

import codecs
from typing import Protocol

import orjson
import pybase64


class Encoder(Protocol):
    """Turns raw chunks into what goes on the wire."""

    def encode(self, chunk: memoryview) -> bytes | memoryview:
        """The encoded form of the next chunk; may be shorter by what is carried over.

        The answer may share `chunk`'s memory: whoever passes it on must not overwrite it.
        """
        ...

    def finish(self) -> bytes:
        """What is left at the end."""
        ...


def encoded_length(raw_bytes: int) -> int:
    """Length of the base64 text of `raw_bytes` bytes, padding included (RFC 4648 section 4).

    Raises:
        ValueError: `raw_bytes` is negative.
    """
    if raw_bytes < 0:
        raise ValueError("a length is not negative")
    return (raw_bytes + 2) // 3 * 4


class Base64Encoder:
    """Standard base64 with padding and without line breaks (RFC 4648 section 4)."""

    __slots__ = ("_carry",)

    def __init__(self) -> None:
        self._carry = b""

    def encode(self, chunk: memoryview) -> bytes:
        """Encode all whole groups of three bytes; carry at most two."""
        head = b""
        if self._carry:
            taken = 3 - len(self._carry)
            self._carry += chunk[:taken]
            if len(self._carry) < 3:
                return b""
            head, self._carry = pybase64.b64encode(self._carry), b""
            chunk = chunk[taken:]
        odd = len(chunk) % 3
        if odd:
            self._carry = bytes(chunk[-odd:])
            chunk = chunk[:-odd]
        text = pybase64.b64encode(chunk)
        return head + text if head else text

    def finish(self) -> bytes:
        """The last group, padded."""
        tail, self._carry = pybase64.b64encode(self._carry), b""
        return tail


class IdentityEncoder:
    """The bytes as they are."""

    __slots__ = ()

    def encode(self, chunk: memoryview) -> memoryview:
        """The same memory: not copied."""
        return chunk

    def finish(self) -> bytes:
        """Nothing is left."""
        return b""


class JsonTextEncoder:
    """UTF-8 text as the inside of a JSON string, escaped by orjson.

    Escaping works character by character, so chunks cut anywhere give the same text; a character
    cut in two is carried by the decoder (at most three bytes).
    """

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")

    def encode(self, chunk: memoryview) -> bytes:
        """Escape all whole characters.

        Raises:
            UnicodeDecodeError: The bytes are not UTF-8.
        """
        return orjson.dumps(self._decoder.decode(chunk))[1:-1]

    def finish(self) -> bytes:
        """Nothing, or the error that the text ends within a character.

        Raises:
            UnicodeDecodeError: The text ends within a character.
        """
        return orjson.dumps(self._decoder.decode(b"", final=True))[1:-1]
