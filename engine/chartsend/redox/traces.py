"""Which message brought a document that is there: what a search shows of it, beside what was sent.

The one rule: an id that is there does not prove a message, since a corrected file goes under the id of
the one before. Only what no other message can have proves ours; what contradicts it proves another one.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import enum
import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from .json_body import is_array, member

if TYPE_CHECKING:
    from collections.abc import Iterable

SKEW: Final = dt.timedelta(minutes=1)
"""How far the clock of a receiver may be behind ours before its times are taken at their word."""
_SHA256_BYTES: Final = 32


class Tie(enum.Enum):
    """Whether a message brought the document that was found."""

    OURS = "ours"
    """Its time or its file's reference is in it; no other message has them."""
    OTHERS = "others"
    """It was there before, or has another file."""
    UNTOLD = "untold"
    """Nothing that is shown tells."""


class Trace(NamedTuple):
    """What tells of a document which message brought it; nothing that is not shown, or not readable.

    Attributes:
        date: `DocumentReference.date`.
        changed: `meta.lastUpdated`.
        urls: Where its files lie.
        sizes: Of its files.
        digests: Hex SHA-256 of its files. R4 means SHA-1 by `hash`, which nobody here knows of a file.
    """

    date: dt.datetime | None = None
    changed: dt.datetime | None = None
    urls: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()
    digests: tuple[str, ...] = ()


class SentMessage(NamedTuple):
    """A message that may have arrived.

    Attributes:
        at: The time that stands in it; None when that is not known.
        shows_time: Whether `DocumentReference.date` has that time, not one that the document came with.
        reference_url: Of its uploaded file.
        size_bytes: Of its file.
        sha256: Of its file, hex.
    """

    at: dt.datetime | None = None
    shows_time: bool = True
    reference_url: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None


def trace_of(resource: object) -> Trace:
    """What a DocumentReference shows."""
    contents = member(resource, "content")
    files = [member(one, "attachment") for one in (contents if is_array(contents) else ())]
    urls = (member(one, "url") for one in files)
    sizes = (member(one, "size") for one in files)
    digests = (_digest(one) for one in files)
    return Trace(
        date=_moment(member(resource, "date")),
        changed=_moment(member(member(resource, "meta"), "lastUpdated")),
        urls=tuple(one for one in urls if isinstance(one, str)),
        sizes=tuple(one for one in sizes if isinstance(one, int) and not isinstance(one, bool)),
        digests=tuple(one for one in digests if one is not None),
    )


def tie(traces: Iterable[Trace], sent: SentMessage) -> Tie:
    """Whether a message brought one of the documents that were found under its id.

    The same bytes alone are no tie: a file that is sent again with another patient has them too.
    """
    ties = {_tie(one, sent) for one in traces}
    return next((one for one in (Tie.OURS, Tie.OTHERS) if one in ties), Tie.UNTOLD)


def _tie(seen: Trace, sent: SentMessage) -> Tie:
    if sent.reference_url is not None and sent.reference_url in seen.urls:
        return Tie.OURS
    if sent.shows_time and sent.at is not None and seen.date == sent.at:
        return Tie.OURS
    return Tie.OTHERS if _was_before(seen, sent) or _has_another_file(seen, sent) else Tie.UNTOLD


def _was_before(seen: Trace, sent: SentMessage) -> bool:
    """Whether it was there before the message; later times may be of its filing, or of a change."""
    if sent.at is None:
        return False
    if seen.changed is not None and seen.changed < sent.at - SKEW:
        return True
    # A receiver may keep whole seconds only.
    is_dated = sent.shows_time and seen.date is not None
    return is_dated and seen.date is not None and seen.date < sent.at.replace(microsecond=0)


def _has_another_file(seen: Trace, sent: SentMessage) -> bool:
    if seen.sizes and sent.size_bytes is not None and sent.size_bytes not in seen.sizes:
        return True
    if seen.digests and sent.sha256 is not None and sent.sha256 not in seen.digests:
        return True
    if sent.reference_url is None:
        return False
    # Another upload; an address of the receiver's own says nothing.
    place = sent.reference_url.rpartition("/")[0] + "/"
    return any(url.startswith(place) for url in seen.urls)


def _digest(attachment: object) -> str | None:
    """SHA-256 of a file that is given away, or the one that is told of it."""
    content = _decoded(member(attachment, "data"))
    if content:
        return hashlib.sha256(content).hexdigest()
    told = _decoded(member(attachment, "hash"))
    return told.hex() if told is not None and len(told) == _SHA256_BYTES else None


def _decoded(text: object) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _moment(text: object) -> dt.datetime | None:
    """A time with its zone; a mere day says too little."""
    if not isinstance(text, str):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if found.tzinfo is None else found
