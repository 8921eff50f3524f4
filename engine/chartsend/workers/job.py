"""One send that a worker does, as the engine sees it.

The one rule: what is known of it here is enough for a true receipt, should the worker die.
"""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from ..send.ask import Tally
from .wire import NeedIntent, NeedToken, NeedUploaded

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..document import Receipt
    from ..errors import TransferError
    from ..ports import Intent, Progress
    from ..send import Ask
    from .wire import Ended

_log = logging.getLogger("chartsend")


class Job:
    """A send under way in a worker.

    Args:
        number: Tells it from the worker's others.
        ask: What is to be sent.
        waits: Whether the worker waits for what it asks of the journal; else it only tells.

    Attributes:
        failure: What the journal raised, if it did: then that ends the send.
        refusal: What the journal or the token source raised that the sender judges.
        may_be_whole: Whether the last chunk of a message may have been released.
        has_ended: Whether the worker has said how it ended, or has gone.
        end: What the worker said then.
    """

    def __init__(self, number: int, ask: Ask, *, waits: bool) -> None:
        self.number = number
        self.ask = ask
        self.failure: Exception | None = None
        self.refusal: TransferError | None = None
        self.may_be_whole = False
        self._waits = waits
        self._tells_progress = True
        self.has_ended = False
        self.end: Ended | None = None
        self._answering = anyio.CancelScope()
        self._tally = Tally()
        self._heard: deque[NeedIntent | NeedUploaded | NeedToken | Ended | None] = deque()
        self._news = anyio.Event()

    def hear(self, message: NeedIntent | NeedUploaded | NeedToken | Ended | None) -> None:
        """What the worker says of it; None: the worker has gone.

        What a dead worker's job is judged by is noted when it is heard, not when it is answered.
        """
        if isinstance(message, NeedIntent):
            self._intends(message.intent)
        elif isinstance(message, NeedUploaded):
            self._tally.reference_url = message.uploaded.reference_url
        elif not isinstance(message, NeedToken):
            self.has_ended, self.end = True, message
            self._answering.cancel()
        if self._waits or not isinstance(message, NeedIntent | NeedUploaded):
            self._heard.append(message)
            self._news.set()

    def progressed(self, progress: Progress) -> None:
        """Tell whoever listens; what that raises decides nothing."""
        if self.ask.on_progress is not None and self._tells_progress:
            try:
                self.ask.on_progress(progress)
            except Exception as exc:  # noqa: BLE001  # a display must not decide what becomes of a document
                self._tells_progress = False
                _log.warning("on_progress raised %s; this send goes on without it", type(exc).__name__)

    @contextmanager
    def answering(self, late_at: float) -> Generator[None]:
        """Answer the worker in the block; it is left when the send has ended, and at `late_at`."""
        with anyio.CancelScope(deadline=late_at) as self._answering:
            if self.has_ended:
                self._answering.cancel()
            yield

    async def next(self) -> NeedIntent | NeedUploaded | NeedToken | Ended | None:
        """The next thing that the worker says of it."""
        while not self._heard:
            self._news = anyio.Event()
            await self._news.wait()
        return self._heard.popleft()

    async def until_ended(self) -> None:
        """Wait for its end, or the worker's; what else is asked meanwhile stays without an answer."""
        while not self.has_ended:
            await self.next()

    def allow(self, intent: Intent) -> None:
        """The last chunk may be released."""
        self.may_be_whole = intent.step == "message"

    def _intends(self, intent: Intent) -> None:
        tally = self._tally
        tally.raw_bytes, tally.attempts = intent.raw_bytes, intent.attempt
        tally.sha256 = intent.sha256 or tally.sha256
        earlier = self.ask.earlier
        if earlier is not None and earlier.reference_url == intent.reference_url:
            tally.sha256 = earlier.sha256
        tally.reference_url = intent.reference_url or tally.reference_url
        tally.method = "upload" if intent.step == "upload" or tally.reference_url else "embed"
        self.may_be_whole = False  # what was released before was refused, or this were no new attempt
        if not self._waits:
            self.allow(intent)

    def ended(self, error: TransferError) -> Receipt:
        """The receipt of a send whose worker has gone."""
        return self._tally.ended(self.ask, error)
