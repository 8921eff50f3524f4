"""One send that a worker does, as the engine sees it.

The one rule: what is known of it here is enough for a true receipt, should the worker die.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import anyio

from ..send.ask import Tally

if TYPE_CHECKING:
    from ..document import Receipt
    from ..errors import TransferError
    from ..ports import Intent, Uploaded
    from ..send import Ask
    from .wire import Ended, NeedIntent, NeedToken, NeedUploaded


class Job:
    """A send under way in a worker.

    Args:
        number: Tells it from the worker's others.
        ask: What is to be sent.

    Attributes:
        failure: What the journal raised, if it did: then that ends the send.
        may_be_whole: Whether the last chunk of a message may have been released.
    """

    def __init__(self, number: int, ask: Ask) -> None:
        self.number = number
        self.ask = ask
        self.failure: Exception | None = None
        self.may_be_whole = False
        self._tally = Tally()
        self._heard: deque[NeedIntent | NeedUploaded | NeedToken | Ended | None] = deque()
        self._news = anyio.Event()

    def hear(self, message: NeedIntent | NeedUploaded | NeedToken | Ended | None) -> None:
        """What the worker says of it; None: the worker has gone."""
        self._heard.append(message)
        self._news.set()

    async def next(self) -> NeedIntent | NeedUploaded | NeedToken | Ended | None:
        """The next thing that the worker says of it."""
        while not self._heard:
            self._news = anyio.Event()
            await self._news.wait()
        return self._heard.popleft()

    def intends(self, intent: Intent) -> None:
        """A last chunk is about to be released."""
        tally = self._tally
        tally.raw_bytes, tally.attempts = intent.raw_bytes, intent.attempt
        tally.sha256 = intent.sha256 or tally.sha256
        tally.method = "upload" if intent.step == "upload" or tally.reference_url else "embed"
        self.may_be_whole = intent.step == "message"

    def uploaded(self, uploaded: Uploaded) -> None:
        """The file was accepted."""
        self._tally.reference_url = uploaded.reference_url

    def ended(self, error: TransferError) -> Receipt:
        """The receipt of a send whose worker has gone."""
        return self._tally.ended(self.ask, error)
