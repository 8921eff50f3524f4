"""The first page of the quota's file: everything but the times themselves.

The one rule: it is written whole, in one call, with a checksum, so that a process that is killed at
any moment leaves the page before or the page after; anything else is recognised as damage.

Format, little-endian, version 1:

    offset  bytes
         0      8  magic
         8      2  version
        10      2  number of slots that follow
        12      4  CRC-32 of everything before it and after it
        16     16  id of the boot whose clock the times are on
        32      8  times written since the file was begun
        40      8  the time at or before which everything was answered that is not written
        48     56  pace: see `Pace`
       104     32  each process: token, start time, pid namespace, pid, requests in flight

The times follow at offset 4096, 8 bytes each, in a ring.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

from .clock import LONG_AGO_NS
from .pace import Pace

PAGE_BYTES: Final = 4096
VERSION: Final = 1
MAGIC: Final = b"csquota\n"
_BEGIN: Final = struct.Struct("<8sHH")
_CHECKSUM: Final = struct.Struct("<I")
_STATE: Final = struct.Struct("<16sQqqqqqIIIIQ")
_SLOT: Final = struct.Struct("<QQQII")
_STATE_AT: Final = _BEGIN.size + _CHECKSUM.size
_SLOTS_AT: Final = _STATE_AT + _STATE.size
MOST_SLOTS: Final = (PAGE_BYTES - _SLOTS_AT) // _SLOT.size
"""So many processes (more exactly: engines) can share one quota at a time."""


class DamagedError(Exception):
    """The page, or a time, is not what chartsend wrote there."""


class OtherVersionError(Exception):
    """The page was written by another version of chartsend."""


@dataclass(slots=True)
class Slot:
    """One process that shares the quota; all zero for a free one.

    Attributes:
        token: Random, so that a process can tell its own slot.
        started: The process's start time as the kernel gives it, 0 where unknown.
        namespace: Its pid namespace, 0 where unknown.
        pid: Its process id.
        in_flight: Its requests that were not answered yet.
    """

    token: int = 0
    started: int = 0
    namespace: int = 0
    pid: int = 0
    in_flight: int = 0


@dataclass(slots=True)
class Page:
    """What the first page says.

    Attributes:
        boot: The boot whose clock the times are on.
        written: Times written so far; the next one has this index.
        floor_ns: Everything that is not written was answered at or before this time.
        pace: Refusals and what follows from them.
        slots: Who shares the quota; the index of a slot never changes.
    """

    boot: bytes
    written: int = 0
    floor_ns: int = LONG_AGO_NS
    pace: Pace = field(default_factory=Pace)
    slots: list[Slot] = field(default_factory=list[Slot])

    @property
    def in_flight(self) -> int:
        """Requests of all processes that were not answered yet."""
        return sum([slot.in_flight for slot in self.slots])

    def encode(self) -> bytes:
        """The bytes of the page, without what is free at its end."""
        while self.slots and not self.slots[-1].token:
            self.slots.pop()
        pace = self.pace
        parts = [
            _STATE.pack(
                self.boot,
                self.written,
                self.floor_ns,
                pace.paused_until_ns,
                pace.probe_at_ns,
                pace.refused_at_ns,
                pace.learned_at_ns,
                pace.share_ppm,
                pace.streak,
                pace.learned,
                pace.learned_for,
                pace.refusals,
            )
        ]
        parts += [
            _SLOT.pack(slot.token, slot.started, slot.namespace, slot.pid, slot.in_flight)
            for slot in self.slots
        ]
        rest = b"".join(parts)
        begin = _BEGIN.pack(MAGIC, VERSION, len(self.slots))
        return begin + _CHECKSUM.pack(zlib.crc32(rest, zlib.crc32(begin))) + rest

    @property
    def size_bytes(self) -> int:
        """How much of the page `encode` fills."""
        return _SLOTS_AT + len(self.slots) * _SLOT.size

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """The page that stands at the beginning of `raw`.

        Raises:
            OtherVersionError: It is whole, of another version.
            DamagedError: It is anything else.
        """
        if len(raw) < _SLOTS_AT:
            raise DamagedError
        magic, version, slots = _BEGIN.unpack_from(raw)
        if magic != MAGIC:
            raise DamagedError
        if version != VERSION:
            raise OtherVersionError
        end = _SLOTS_AT + slots * _SLOT.size
        (checksum,) = _CHECKSUM.unpack_from(raw, _BEGIN.size)
        begin_sum = zlib.crc32(raw[: _BEGIN.size])
        if len(raw) < end or zlib.crc32(raw[_STATE_AT:end], begin_sum) != checksum:
            raise DamagedError
        boot, written, floor_ns, *pace = _STATE.unpack_from(raw, _STATE_AT)
        paused, probe, refused, learned_at, share, streak, learned, learned_for, refusals = pace
        return cls(
            boot,
            written,
            floor_ns,
            Pace(paused, probe, refused, share, streak, refusals, learned, learned_for, learned_at),
            [Slot(*values) for values in _SLOT.iter_unpack(raw[_SLOTS_AT:end])],
        )
