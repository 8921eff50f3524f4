"""The names in one folder, in order, however many there are.

The one rule: some ten thousand names at most are in memory. A larger folder is sorted in pieces, which
lie in a file without a name until they have been merged.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import struct
import tempfile
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE: Final = 32_768
"""Names sorted in memory at a time: about 4 MB."""
_READ_BYTES: Final = 16 * 1024
_LENGTH: Final = struct.Struct("<H")


class Kind(IntEnum):
    """What a name in a folder stands for, links not followed."""

    FILE = 1
    FOLDER = 2
    LINK = 3
    SPECIAL = 4


class Name(NamedTuple):
    """One name in a folder."""

    name: str
    kind: Kind


def names_in(folder: str) -> Iterator[Name]:
    """The names in a folder in the order of their bytes, a folder's as if it ended with a slash.

    The folder is read to its end before the first is given.

    Raises:
        OSError: The folder cannot be read, or the temporary file not written.
    """
    keys = _keys(folder)
    piece = _next_piece(keys)
    if len(piece) < AT_ONCE:
        yield from map(_name_of, piece)
        return
    with tempfile.TemporaryFile() as file:
        starts = [0]
        while piece:
            for key in piece:
                file.write(_LENGTH.pack(len(key)) + key)
            starts.append(file.tell())
            piece = _next_piece(keys)
        file.flush()
        pieces = [_read(file.fileno(), at, end) for at, end in itertools.pairwise(starts)]
        yield from map(_name_of, heapq.merge(*pieces))


def _keys(folder: str) -> Iterator[bytes]:
    """Each name as bytes that sort as it does, its kind behind it."""
    with os.scandir(folder) as entries:
        for entry in entries:
            kind = _kind_of(entry)
            slash = b"/" if kind == Kind.FOLDER else b""
            yield b"%s%s\0%c" % (os.fsencode(entry.name), slash, kind)


def _kind_of(entry: os.DirEntry[str]) -> Kind:
    if entry.is_symlink():
        return Kind.LINK
    if entry.is_dir(follow_symlinks=False):
        return Kind.FOLDER
    return Kind.FILE if entry.is_file(follow_symlinks=False) else Kind.SPECIAL


def _name_of(key: bytes) -> Name:
    name, _, kind = key.rpartition(b"\0")
    return Name(os.fsdecode(name.removesuffix(b"/")), Kind(kind[0]))


def _next_piece(keys: Iterator[bytes]) -> list[bytes]:
    """The next so many, sorted; empty when there are no more."""
    return sorted(itertools.islice(keys, AT_ONCE))


def _read(descriptor: int, at: int, end: int) -> Iterator[bytes]:
    """The keys of one sorted piece, each behind its length."""
    data = b""
    while at < end:
        block = os.pread(descriptor, min(_READ_BYTES, end - at), at)
        if not block:
            raise OSError(errno.EIO, "the temporary file ends too soon")
        at += len(block)
        data += block
        start = 0
        while start + _LENGTH.size <= len(data):
            key = start + _LENGTH.size
            stop = key + int(_LENGTH.unpack_from(data, start)[0])
            if stop > len(data):
                break
            yield data[key:stop]
            start = stop
        data = data[start:]
