"""The composition root: settings in, an engine out that sends one document, or many.

The one rule: whoever opens closes. Everything the engine opens is opened by entering its block
and has gone when the block has been left.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from .aio import Deadline
from .document import Document, Receipt
from .errors import TransferError
from .opened import Opened
from .ports import NoJournal
from .send import Asking
from .settings.parts import one_of
from .transport.meter import Statistics
from .workers.count import check_workers

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
    )
    from typing import Any, Literal, Self

    from .document import Api, Model
    from .ports import Journal, Priority, Progress
    from .redox.search import Finding, Presence
    from .send import Ask, Earlier, Plan
    from .send.finding import Finder
    from .settings import Settings

_Answer = TypeVar("_Answer")

__all__ = ["DEADLINE_S", "Engine", "Statistics"]

DEADLINE_S = 600.0
"""Per document, 10 minutes: several attempts of 30 MB on a slow line."""


class Engine:
    """Sends documents through Redox. Use it with `async with`, in one event loop.

    Args:
        settings: Everything it needs to know; see `Settings.load`.
        journal: Told of every step that changes what the server may hold; nothing by default.
        priority: `realtime` may use the whole request quota, and hears of an outage at once;
            `backfill` leaves a part of the quota free, and waits while a destination is down, until
            each document's deadline.
        workers: Processes that send files; 1 for none but this one. They share the slots, the budget
            for buffers, the quota, tokens and the journal, and end with this process. `workers_for`
            tells how many a job is worth. What is in memory, or a stream, is sent from here.

    Raises:
        ConfigError: `priority` is another word, or `workers` no whole number from 1 to 64.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        journal: Journal | None = None,
        priority: Priority = "realtime",
        workers: int = 1,
    ) -> None:
        check_workers(workers)
        one_of("priority", str(priority), ("realtime", "backfill"))
        self._settings = settings
        self._priority: Priority = priority
        self._workers = workers
        self._journal: Journal = journal if journal is not None else NoJournal()
        self._open: Opened | None = None

    async def __aenter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError("the engine is open already")
        self._open = await Opened.make(
            self._settings, self._journal, priority=self._priority, workers=self._workers
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            await opened.closing.aclose()

    async def send(  # noqa: PLR0913  # options of one call, all by keyword
        self,
        document: Document,
        *,
        to: str,
        api: Api | None = None,
        method: Literal["auto", "upload", "embed"] | None = None,
        model: Model | None = None,
        note_text: bool | None = None,
        deadline_s: float | None = DEADLINE_S,
        row: str | None = None,
        message_at: dt.datetime | None = None,
        earlier: Earlier | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Receipt:
        """Send one document, and return when Redox has accepted it.

        Accepted is not yet filed: the receiver takes it from Redox's queue; look for the log ids.

        Cancelled, it leaves no task, connection or descriptor behind. If the message had left
        whole by then, its outcome is unknown: the journal is told so, and a warning is logged.

        Args:
            document: What to send.
            to: Name of a destination in the settings, or a slug or id.
            api: `fhir` or `data-model`; default from the settings.
            method: `auto`, `upload` or `embed`; default from the settings.
            model: Default `document-reference` or `notes`, by API.
            note_text: Send text files as searchable text in Notes.
            deadline_s: Seconds for everything, waiting for a slot included; None for no limit.
            row: An opaque name for logs and the journal.
            message_at: The time that stands in the message; default: now.
            earlier: Its file, if that was uploaded already by an earlier send and has the same
                size still: then only the message is sent.
            on_progress: Called on the event loop a few times a second; must not block.

        Returns:
            The receipt, `status` always `accepted`.

        Raises:
            TransferError: Anything else. Its `verdict` tells whether it may be repeated, its
                `receipt` what is known. What the journal raises, too; but for a document that was
                accepted, or may have been, it is then the cause of an `OutcomeUnknownError`.
            RuntimeError: The engine is not open, or was opened in another event loop.
        """
        opened = self._opened()
        asking = Asking.of(
            self._settings, to=to, api=api, method=method, model=model, note_text=note_text
        )
        return await opened.one(
            document,
            asking,
            opened.send,
            deadline=Deadline.after(deadline_s),
            row=row,
            message_at=message_at,
            earlier=earlier,
            on_progress=on_progress,
        )

    @asynccontextmanager
    async def send_many(  # noqa: PLR0913
        self,
        documents: Iterable[Document] | AsyncIterable[Document],
        *,
        to: str,
        api: Api | None = None,
        method: Literal["auto", "upload", "embed"] | None = None,
        model: Model | None = None,
        note_text: bool | None = None,
        deadline_s: float | None = DEADLINE_S,
        fail_fast: bool = False,
        is_over: Callable[[], bool] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> AsyncGenerator[AsyncIterator[Receipt]]:
        """Send documents from an iterable of any length; give receipts as they finish.

        `async with engine.send_many(documents, to=...) as receipts: async for receipt in receipts`.
        At most the engine's slots are in flight, shared with `send`. A slow server slows the
        producer, a slow consumer slows the sends. A synchronous iterable is advanced on the event
        loop and must not block; the same document twice is sent twice. Leaving the block early, or
        being cancelled, cancels what is in flight; a message that had left whole is then in doubt,
        and the journal is told.

        Args:
            documents: A sync or async iterable.
            to: As for `send`; one destination for all.
            api: As for `send`.
            method: As for `send`.
            model: As for `send`.
            note_text: As for `send`.
            deadline_s: Seconds for each document, from the moment it gets its slot.
            fail_fast: After the first failure start no more documents; sends under way end, and
                the iterator gives their receipts before it raises that failure.
            is_over: Asked before each document is taken, and again when it has its slot; once true
                it must stay so. Then nothing more is started, sends under way end, and the iterator
                ends after their receipts. A document that was taken and not started has none.
            on_progress: As for `send`.

        Yields:
            An async iterator of receipts, each `accepted`, `failed` or `in_doubt`.

        Raises:
            ConfigError: The destination, API or model is wrong. Nothing was sent.
            TransferError: With `fail_fast`, the first failure.
        """
        opened = self._opened()
        asking = Asking.of(
            self._settings, to=to, api=api, method=method, model=model, note_text=note_text
        )
        failures: list[TransferError] = []

        def is_stopped() -> bool:
            return bool(failures) or (is_over is not None and is_over())

        async def work(document: Document) -> Receipt | None:
            async with opened.pool.slot(Deadline.after(None)):
                if is_stopped():  # while it waited for its slot
                    return None
                ask: Ask | None = None
                try:
                    ask = asking.ask(
                        document, deadline=Deadline.after(deadline_s), on_progress=on_progress
                    )
                    return await opened.send(ask)
                except TransferError as error:
                    if fail_fast:
                        failures.append(error)
                    return asking.ended(document, ask, error)

        async with opened.pool.many(documents, work, is_over=is_stopped) as receipts:
            yield _Receipts(receipts, failures)

    async def delete(
        self,
        document: Document,
        *,
        to: str,
        model: Literal["notes", "media"],
        deadline_s: float | None = DEADLINE_S,
    ) -> Receipt:
        """Ask the receiver to delete a document (Data Model only).

        Args:
            document: Its `document_id` is the one to delete; the fields that the model requires
                of a deletion (type, provider, patient) must be there, a source need not.
            to: As for `send`.
            model: `notes` or `media`.
            deadline_s: As for `send`.

        Raises:
            TransferError: As for `send`.
        """
        opened = self._opened()
        asking = Asking.of(
            self._settings, to=to, api="data-model", method=None, model=model, note_text=None
        )
        deadline = Deadline.after(deadline_s)
        return await opened.one(document, asking, opened.parts.sender.delete, deadline=deadline)

    async def plan(
        self,
        document: Document,
        *,
        to: str,
        api: Api | None = None,
        method: Literal["auto", "upload", "embed"] | None = None,
        model: Model | None = None,
        note_text: bool | None = None,
    ) -> Plan:
        """What `send` would do: route, sizes, warnings. Opens the file; no network, no token.

        Raises:
            TransferError: What `send` would raise before its first request.
        """
        opened = self._opened()
        asking = Asking.of(
            self._settings, to=to, api=api, method=method, model=model, note_text=note_text
        )
        return await opened.parts.sender.plan(asking.ask(document, deadline=Deadline.after(None)))

    async def find(
        self,
        document_id: str,
        *,
        to: str,
        api: Api | None = None,
        model: Model | None = None,
        deadline_s: float | None = DEADLINE_S,
    ) -> Presence:
        """Ask a destination whether it has a document, by its id (FHIR `DocumentReference/_search`).

        For a send whose outcome is unknown. `FOUND` says that a document with this id is there, and
        nothing of its bytes: where the id was sent before, as with a corrected file of the same path,
        it may be the one from then. Redox takes messages before it delivers them,
        so a document may be there some time after its message was taken: ask late rather than soon,
        before `ABSENT` is a reason to send again. Nothing but the id is sent.

        Args:
            document_id: As in the receipt.
            to: As for `send`.
            api: As for `send`; the Data Model API has no such search: `UNCLEAR`.
            model: As for `send`; only DocumentReferences can be searched, others are `UNCLEAR`.
            deadline_s: As for `send`.

        Raises:
            TransferError: No answer for now (verdict RETRY), or the credentials were refused.
            RuntimeError: As for `send`.
        """
        return await self._asked(
            lambda finder, ask: finder.find(ask),
            Document(document_id=document_id),
            to=to, api=api, model=model, deadline_s=deadline_s,
        )  # fmt: skip

    async def trace(
        self,
        document_id: str,
        *,
        to: str,
        api: Api | None = None,
        model: Model | None = None,
        deadline_s: float | None = DEADLINE_S,
    ) -> Finding:
        """As `find`, with what the destination shows of which message brought the document.

        Args:
            document_id: As for `find`; so are the others.
            to: As for `find`.
            api: As for `find`.
            model: As for `find`.
            deadline_s: As for `find`.

        Raises:
            TransferError: As for `find`.
            RuntimeError: As for `send`.
        """
        return await self._asked(
            lambda finder, ask: finder.trace(ask),
            Document(document_id=document_id),
            to=to, api=api, model=model, deadline_s=deadline_s,
        )  # fmt: skip

    async def _asked(
        self,
        question: Callable[[Finder, Ask], Awaitable[_Answer]],
        document: Document,
        *,
        deadline_s: float | None,
        **options: Any,
    ) -> _Answer:
        """Ask a destination about a document, in a slot."""
        opened = self._opened()
        asking = Asking.of(self._settings, method=None, note_text=None, **options)
        ask = asking.ask(document, deadline=Deadline.after(deadline_s))
        async with opened.pool.slot(ask.deadline):
            return await question(opened.parts.finder, ask)

    def statistics(self) -> Statistics:
        """What the engine did and does now.

        Raises:
            RuntimeError: The engine is not open.
        """
        return self._opened().statistics()

    def _opened(self) -> Opened:
        opened = self._open
        if opened is None:
            raise RuntimeError("the engine is not open: use `async with Engine(settings) as engine`")
        if opened.loop is not asyncio.get_running_loop():
            raise RuntimeError("the engine was opened in another event loop; open one in each loop")
        return opened


class _Receipts:
    """Receipts as they finish; at the end the failure that stopped the intake, if there was one.

    What was not started has none: it arrives here as None and is left out.
    """

    def __init__(self, receipts: AsyncIterator[Receipt | None], failures: list[TransferError]) -> None:
        self._receipts = receipts
        self._failures = failures

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Receipt:
        try:
            while True:
                receipt = await anext(self._receipts)
                if receipt is not None:
                    return receipt
        except StopAsyncIteration:
            if self._failures:
                raise self._failures[0] from None
            raise
