"""The chain of receipts: each link proves its receipt and, through the link before, all earlier ones.

The one rule: a link is a keyed hash, so whoever lacks the key can neither change, remove or reorder a
receipt nor cut off the last ones without being noticed. A receipt that was purged keeps the hash of
what it said, so the chain can still be proved.

    link(n) = HMAC-SHA256(key, link(n-1) | seq | row | status | milliseconds | digest(body))
    head    = HMAC-SHA256(key, "head" | seq of the last | receipts purged | link of the last)
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Final, NamedTuple

import msgspec

from ..row import RowReceipt, State

FIRST: Final = bytes(32)
"""What the first link is linked to."""

STATUS: Final[dict[str, int]] = {"accepted": 2, "failed": 3, "in_doubt": 4}
"""Numbers of a receipt's status in the ledger; they never change meaning."""

STATE_OF: Final = {
    STATUS["accepted"]: State.DONE,
    STATUS["failed"]: State.FAILED,
    STATUS["in_doubt"]: State.IN_DOUBT,
}
"""The state of a row whose last receipt has this status."""

_FIXED: Final = struct.Struct("<qqqq")
_ENDS: Final = struct.Struct("<qq")
_HEAD: Final = b"head"
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(RowReceipt)


class Entry(NamedTuple):
    """A line of the table `receipts`; either `body` or, once purged, `digest` is None."""

    seq: int
    row: int
    status: int
    milliseconds: int
    body: bytes | None
    digest: bytes | None
    link: bytes


def encode(receipt: RowReceipt) -> bytes:
    """A receipt as it stands in the ledger."""
    return _encoder.encode(receipt)


def decode(body: bytes) -> RowReceipt:
    """The receipt that `encode` made into `body`.

    Raises:
        msgspec.DecodeError: It is none.
    """
    return _decoder.decode(body)


def digest(body: bytes) -> bytes:
    """What stays of a purged receipt: 32 bytes that stand for its body."""
    return hashlib.blake2b(body, digest_size=32).digest()


def link(key: bytes, before: bytes, entry: Entry) -> bytes:
    """The link that an entry must have, given the one before."""
    said = entry.digest if entry.body is None else digest(entry.body)
    fixed = _FIXED.pack(entry.seq, entry.row, entry.status, entry.milliseconds)
    return hmac.digest(key, b"".join((before, fixed, said or b"")), "sha256")


class Head(NamedTuple):
    """Where the chain ends: what makes a cut tail, or a receipt emptied by somebody else, noticed."""

    seq: int = 0
    purged: int = 0
    link: bytes = FIRST


def seal(key: bytes, head: Head) -> bytes:
    """Proves the head."""
    return hmac.digest(key, b"".join((_HEAD, _ENDS.pack(head.seq, head.purged), head.link)), "sha256")


def made(key: bytes, head: Head, receipt: RowReceipt) -> Entry:
    """The entry that appends a receipt."""
    status = STATUS[receipt.status]
    bare = Entry(head.seq + 1, receipt.row, status, receipt.milliseconds, encode(receipt), None, b"")
    return bare._replace(link=link(key, head.link, bare))


def is_linked(key: bytes, before: bytes, entry: Entry) -> bool:
    """Whether an entry has the link that it must have; not, when its columns hold other things."""
    try:
        return hmac.compare_digest(entry.link, link(key, before, entry))
    except (struct.error, TypeError):
        return False


def is_sealed(key: bytes, head: Head, sealed: bytes) -> bool:
    """Whether the head is proved; not, when its columns hold other things."""
    try:
        return hmac.compare_digest(sealed, seal(key, head))
    except (struct.error, TypeError):
        return False


def name_of(key: bytes) -> bytes:
    """Tells keys apart without telling the key."""
    return hashlib.blake2b(b"chartsend ledger", key=key, digest_size=8).digest()
