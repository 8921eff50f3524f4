"""The body of one request, counted on its way in. Whoever reads a body reads it through here.

A body that ends before its declared length, or has more, raises; so nothing of it is ever committed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import anyio
from aiohttp import ClientPayloadError, web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

_SLOW_PIECE_S: Final = 0.05


class BrokenBodyError(Exception):
    """The body did not come whole. `is_gone` tells that nobody is left to be answered."""

    def __init__(self, reason: str, *, is_gone: bool) -> None:
        super().__init__(reason)
        self.is_gone = is_gone


class TooLargeError(Exception):
    """The body is longer than allowed."""


class Body:
    """The bytes of one request's body.

    Args:
        request: Whose body.
        limit_bytes: The attribute of this name.
        patience_s: How long to wait for the next bytes.

    Attributes:
        limit_bytes: More than this raises `TooLargeError`. Set before reading.
        bytes_per_s: A pace that is not exceeded; None for as fast as they come.
        received_bytes: How many came so far.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        *,
        limit_bytes: int,
        patience_s: float,
    ) -> None:
        self._request = request
        self._patience_s = patience_s
        self._triggers: list[tuple[int, Callable[[], Awaitable[None]]]] = []
        self.limit_bytes = limit_bytes
        self.bytes_per_s: float | None = None
        self.received_bytes = 0

    @property
    def declared_bytes(self) -> int | None:
        """The Content-Length; None for a chunked body."""
        return self._request.content_length

    def at_byte(self, position: int, act: Callable[[], Awaitable[None]]) -> None:
        """Call `act` when so many bytes were read, or at the end if the body is shorter."""
        self._triggers.append((position, act))
        self._triggers.sort(key=lambda trigger: trigger[0])

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Give the body piece by piece.

        Raises:
            BrokenBodyError: It did not come whole.
            TooLargeError: It is longer than `limit_bytes`.
        """
        if (self.declared_bytes or 0) > self.limit_bytes:
            raise TooLargeError
        began_at = time.monotonic()
        while True:
            await self._pull_triggers()
            piece = await self._read_some()
            if not piece:
                break
            self.received_bytes += len(piece)
            if self.received_bytes > self.limit_bytes:
                raise TooLargeError
            yield piece
            if self.bytes_per_s is not None:
                due_at = began_at + self.received_bytes / self.bytes_per_s
                await anyio.sleep(max(0.0, due_at - time.monotonic()))
        await self._pull_triggers(at_end=True)
        if self.declared_bytes is not None and self.received_bytes != self.declared_bytes:
            raise BrokenBodyError("not as long as its Content-Length", is_gone=False)

    async def read(self, limit_bytes: int) -> bytes:
        """Give the whole body, which must be small.

        Raises:
            BrokenBodyError: It did not come whole.
            TooLargeError: It is longer than `limit_bytes`.
        """
        self.limit_bytes = limit_bytes
        return b"".join([piece async for piece in self.pieces()])

    async def drain(self) -> None:
        """Read the rest and drop it, as fast as it comes; nothing more strikes at a byte of it."""
        self._triggers.clear()
        self.bytes_per_s = None
        try:
            while await self._read_some():
                pass
        except BrokenBodyError:
            return

    async def _pull_triggers(self, *, at_end: bool = False) -> None:
        while self._triggers and (at_end or self._triggers[0][0] <= self.received_bytes):
            await self._triggers.pop(0)[1]()

    async def _read_some(self) -> bytes:
        wanted: list[int] = []
        if self._triggers:
            wanted.append(max(1, self._triggers[0][0] - self.received_bytes))
        if self.bytes_per_s is not None:
            wanted.append(max(1, int(self.bytes_per_s * _SLOW_PIECE_S)))
        content = self._request.content
        try:
            with anyio.fail_after(self._patience_s):
                return await (content.read(min(wanted)) if wanted else content.readany())
        except TimeoutError:
            raise BrokenBodyError("the body stopped coming", is_gone=False) from None
        except (web.RequestPayloadError, ClientPayloadError) as exc:
            raise BrokenBodyError(str(exc), is_gone=self._request.transport is None) from None
        except (ConnectionError, RuntimeError) as exc:
            raise BrokenBodyError(str(exc), is_gone=True) from None
