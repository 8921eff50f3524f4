"""What a person or a script sees while a run goes on: receipts on stdout, progress on stderr.

The one rule: a reader of stdout that is slow or gone never holds up the transfers: lines are written
by a thread, and after a broken pipe there is one clean end.
"""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING, Final

import msgspec

from ..settings.quantity import show_seconds, show_size
from .lines import Lines
from .progress import say

if TYPE_CHECKING:
    from ..document import Receipt
    from ..send import Plan
    from .progress import Bar

_STATUS: Final = {"accepted": "accepted", "failed": "failed", "in_doubt": "in doubt"}
_STYLE: Final = {"accepted": "green", "failed": "red", "in_doubt": "yellow"}
_NAME_CHARS: Final = 32


class Show:
    """Writes to stdout, one whole line at a time.

    Args:
        as_json: NDJSON instead of lines for people.
        bar: The live display on this terminal, through which lines must go; None elsewhere.
    """

    def __init__(self, *, as_json: bool, bar: Bar | None) -> None:
        self._as_json = as_json
        self._bar = bar if bar is not None and sys.stdout.isatty() else None
        self._lines = Lines("receipts")

    @property
    def broken(self) -> str | None:
        """Why stdout takes no more lines; None while it does."""
        return self._lines.broken

    @property
    def is_writing(self) -> bool:
        """Whether a write hangs: then the process cannot end in the usual way."""
        return self._lines.is_writing

    async def aclose(self) -> None:
        """Let the writing thread end; one that hangs is left behind."""
        await self._lines.aclose()

    async def receipt(self, receipt: Receipt) -> None:
        """Show one receipt. Cancelled, its line may still appear."""
        receipt = msgspec.structs.replace(receipt, source=encodable(receipt.source))
        if self._as_json:
            await self._line(receipt.to_json().decode())
        else:
            await self._line(receipt_line(receipt), _STYLE[receipt.status])
        if self.broken is not None:
            say_unwritten(receipt)

    async def plan(self, plan: Plan) -> None:
        """Show what would be sent."""
        if self._as_json:
            fields = {name: getattr(plan, name) for name in plan.__slots__}
            fields["source"] = encodable(plan.source)
            await self._line(msgspec.json.encode(fields).decode())
        else:
            await self._line(plan_line(plan))

    async def _line(self, text: str, style: str = "") -> None:
        if self.broken is not None:
            return
        if self._bar is not None:
            self._bar.above(text, style)
            return
        await self._lines.write(text.encode())


def say_unwritten(receipt: Receipt) -> None:
    """Name on stderr a document whose line stdout did not take."""
    status = _STATUS[receipt.status]
    say(f"document {receipt.document_id}: {status}; its receipt could not be written")


def receipt_line(receipt: Receipt) -> str:
    """One line for people, such as `accepted  consent.pdf  182.4 kB  upload  0.42 s`."""
    name = printable(receipt.source) or receipt.document_id  # a deletion has no source
    parts = [f"{_STATUS[receipt.status]:<8}", f"{name:<{_NAME_CHARS}}"]
    if receipt.bytes is not None:
        parts.append(f"{show_size(receipt.bytes):>8}")
    if receipt.method is not None:
        parts.append(f"{receipt.method:<6}")
    parts.append(f"{show_seconds(receipt.seconds):>7}")
    if receipt.error is not None:
        where = f"document {receipt.document_id}: " if receipt.status == "in_doubt" else ""
        parts.append(f"{where}{receipt.error.message} [{receipt.error.code}]")
    return "  ".join(parts)


def plan_line(plan: Plan) -> str:
    """One line for people: what would be sent, and how."""
    requests = "1 request of" if plan.requests == 1 else f"{plan.requests} requests, up to"
    parts = [
        "would go",
        f"{printable(plan.source):<{_NAME_CHARS}}",
        f"{show_size(plan.bytes):>8}",
        f"{plan.method:<6}",
        f"{requests} {show_size(plan.request_bytes)}",
        f"{plan.api} {plan.model}, {plan.content_type}",
        *(f"note: {warning}" for warning in plan.warnings),
    ]
    return "  ".join(parts)


def encodable(name: str) -> str:
    """A file's name as UTF-8 can hold it: bytes that are none become the replacement character."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def printable(name: str) -> str:
    """A file's name that cannot steer a terminal: control and direction characters replaced."""
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(char) in _UNPRINTABLE else char
        for char in encodable(name)
    )


_UNPRINTABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
