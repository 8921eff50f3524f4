"""One request while it is handled: what its handler needs, and the ways in which it can be over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from .connection import Connection
    from .faults import Subject
    from .streams import Body


class AnsweredError(Exception):
    """The exchange is over: a fault has answered, or has made any answer impossible.

    Attributes:
        keep_alive: Whether the connection may carry another request.
    """

    def __init__(self, *, keep_alive: bool = False) -> None:
        super().__init__()
        self.keep_alive = keep_alive


class NoAnswer(web.StreamResponse):
    """What aiohttp is given when everything that should be sent has been sent already."""

    def __init__(self, *, keep_alive: bool) -> None:
        super().__init__()
        self._may_stay = keep_alive

    @property
    def keep_alive(self) -> bool:
        """Whether aiohttp may wait for another request on this connection."""
        return self._may_stay

    async def prepare(self, request: web.BaseRequest) -> None:
        """Send nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Send nothing."""


@dataclass(slots=True)
class Exchange:
    """One request while it is handled.

    Attributes:
        connection: Where it came from.
        body: Its body; the only way to read it.
        path: The parts of its path, decoded.
        subject: What is known of it by now, for the faults.
        trace_id: What the answer carries as `Redox-Trace-Id`.
        count: Counts the status of its answer, `none` for no answer. Called once, when the answer
            begins or when it is clear that there will be none.
        identify: Says what the body turned out to be. Called once, when the body was read whole
            and before anything is committed; here strike the faults that come after the body.
        reference: The URL that the upload got, once it has one.
        after_commit: What faults asked to be done between the commit and the answer.
    """

    request: web.BaseRequest
    connection: Connection
    body: Body
    path: tuple[str, ...]
    subject: Subject
    trace_id: str
    count: Callable[[str], None]
    identify: Callable[[Subject], Awaitable[None]]
    reference: str = ""
    after_commit: list[Callable[[], Awaitable[None]]] = field(
        default_factory=list["Callable[[], Awaitable[None]]"],
    )
