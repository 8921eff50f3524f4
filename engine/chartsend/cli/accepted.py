"""`--skip-accepted FILE`: what an earlier run has sent already, from its receipts.

The one rule: a document that may be in the chart is not sent again by accident. Accepted ones are
skipped; those in doubt are held back too, for a person to decide.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import msgspec

from ..errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

Earlier = Literal["accepted", "in_doubt"]


class _Line(msgspec.Struct):
    """The two fields of a receipt that matter here."""

    document_id: str
    status: Literal["accepted", "failed", "in_doubt"]


class EarlierRun:
    """Documents of an earlier run by id; 16 bytes of a digest stand for each."""

    def __init__(self) -> None:
        self._accepted: set[bytes] = set()
        self._in_doubt: set[bytes] = set()

    @classmethod
    def read(cls, lines: Iterable[bytes]) -> EarlierRun:
        """Read NDJSON receipts; blank lines are passed over.

        Raises:
            ConfigError: A line is not a receipt. It may be one that was cut off, and then what
                it said of its document is not known.
        """
        run, decoder = cls(), msgspec.json.Decoder(_Line)
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                receipt = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise ConfigError(
                    f"--skip-accepted: line {number} is not a receipt; if it was cut off, look up"
                    " what became of that document, then remove the line"
                ) from None
            key = digest(receipt.document_id)
            if receipt.status == "accepted":
                run._accepted.add(key)
            elif receipt.status == "in_doubt":
                run._in_doubt.add(key)
        return run

    def status(self, document_id: str) -> Earlier | None:
        """What the earlier run says of a document; None when it did not send it."""
        key = digest(document_id)
        if key in self._accepted:
            return "accepted"
        return "in_doubt" if key in self._in_doubt else None


def digest(document_id: str) -> bytes:
    """16 bytes that stand for an id, so that many ids take little memory."""
    return hashlib.blake2b(document_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
