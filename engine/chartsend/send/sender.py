"""One document through every step: open, check, choose, upload, message, receipt.

The one rule: every step that changes what the server may hold is told to the journal first, and
whatever ends a send, its receipt says what is known: accepted, failed, or in doubt.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import anyio

from ..encoding.envelope import render
from ..errors import (
    PayloadRejectedError,
    Phase,
    SourceChangedError,
    TransferError,
    Verdict,
)
from ..ports import Intent, Operation, Uploaded
from ..redox import endpoints, message, replies
from ..redox.route import check_request_size
from ..sources import open_source
from ..transport.verdicts import unknown
from . import bodies
from .ask import Plan, Tally
from .choosing import Chosen, choose_for, facts_of
from .exchange import Step
from .noting import Noting, own

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from ..aio import Lane
    from ..document import Receipt
    from ..encoding.envelope import Envelope
    from ..ports import Journal, Source
    from ..redox.message import Facts
    from ..redox.replies import Accepted
    from ..redox.route import Route
    from ..settings import Settings
    from .ask import Ask
    from .bodies import Framed
    from .exchange import Exchanger

SOURCE_TRIES: Final = 3
SETTLE_S: Final = 0.5
"""A file that is still being written gets two more chances, this long apart."""

_NO_DIGITS: Final = {ord(digit): None for digit in "0123456789"}

_log = logging.getLogger("chartsend")


class Sender:
    """Sends documents, one call each; everything shared is given by the engine.

    Args:
        settings: Limits and identities.
        exchanger: Speaks to the server.
        journal: Told of every step.
        lane: Threads for reads that block.
        chunk_bytes: How much of a source is read at a time; a multiple of 3.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        exchanger: Exchanger,
        journal: Journal,
        lane: Lane,
        chunk_bytes: int,
    ) -> None:
        self._settings = settings
        self._exchanger = exchanger
        self._journal = journal
        self._noting = Noting(journal)
        self._lane = lane
        self._chunk_bytes = chunk_bytes
        self._warned: set[str] = set()

    async def send(self, ask: Ask) -> Receipt:
        """Send one document.

        Cancelled, it leaves nothing open; if its message had left whole, the journal is told,
        shielded, that the outcome is unknown.

        Raises:
            TransferError: With `receipt` set.
        """
        return await self._told(ask, self._from_source)

    async def delete(self, ask: Ask) -> Receipt:
        """Ask the receiver to delete a document (Data Model Notes and Media).

        Raises:
            TransferError: With `receipt` set.
        """
        return await self._told(ask, self._deletion)

    async def plan(self, ask: Ask) -> Plan:
        """What `send` would do, without a request and without a token.

        Raises:
            TransferError: What `send` would raise before its first request.
        """
        async with self._opened(ask) as source:
            facts, route, envelope = self._choose(ask, source)
            framed = await self._framed(route, facts, source, envelope)
            return Plan(
                document_id=ask.document_id,
                source=ask.document.shown,
                bytes=source.size_bytes,
                api=route.api,
                method=route.method,
                model=route.model,
                content_type=facts.content_type,
                requests=route.requests,
                request_bytes=framed.frame.declared_bytes,
                warnings=route.warnings,
            )

    async def _told(self, ask: Ask, work: Callable[[Ask, Tally], Awaitable[Accepted]]) -> Receipt:
        """Do the work; make the receipt; tell the journal before the caller hears."""
        tally = Tally()
        try:
            accepted = await work(ask, tally)
        except TransferError as raised:
            error = own(raised)
            error.document_id = ask.document_id
            error.receipt = receipt = tally.ended(ask, error)
            await self._noting.result(ask, receipt, error)
            if error is raised:
                raise
            raise error from raised
        except BaseException:
            if tally.may_be_applied:
                doubt = unknown("the send was cancelled after its last byte", phase=Phase.BODY_SENT)
                _log.warning("%s: %s", ask.shown_as, doubt.message)
                await self._noting.result(ask, tally.ended(ask, doubt), doubt)
            else:
                self._noting.not_applied(ask)
            raise
        receipt = tally.accepted(ask, accepted)
        await self._noting.result(ask, receipt)
        return receipt

    async def _from_source(self, ask: Ask, tally: Tally) -> Accepted:
        for attempt in range(1, SOURCE_TRIES + 1):
            try:
                async with self._opened(ask) as source:
                    tally.raw_bytes = source.size_bytes
                    return await self._routed(ask, tally, source)
            except SourceChangedError as error:
                is_last = attempt == SOURCE_TRIES or error.verdict is not Verdict.RETRY
                if is_last or ask.deadline.remaining_s < SETTLE_S:
                    raise
            await anyio.sleep(SETTLE_S)
        raise AssertionError("the loop returns or raises")

    def _opened(self, ask: Ask) -> AbstractAsyncContextManager[Source]:
        return open_source(
            ask.document,
            lane=self._lane,
            read_s=self._settings.timeouts.read_s,
            allow_empty=self._settings.limits.allow_empty,
            small_bytes=self._chunk_bytes,
        )

    def _warn(self, ask: Ask, warnings: Iterable[str]) -> None:
        """Say what the route advises against, once of each kind: a job may have a million of them."""
        for warning in warnings:
            kind = warning.translate(_NO_DIGITS)
            is_first = kind not in self._warned
            self._warned.add(kind)
            level = logging.WARNING if is_first else logging.DEBUG
            _log.log(level, "%s: %s%s", ask.shown_as, warning, " (said once)" if is_first else "")

    async def _routed(self, ask: Ask, tally: Tally, source: Source) -> Accepted:
        earlier = ask.earlier
        if earlier is not None and earlier.size_bytes == source.size_bytes:
            ask = replace(ask, wish=replace(ask.wish, method="upload", note_text=False))
            facts, route, _ = self._choose(ask, source)
            tally.method, tally.sha256 = "upload", earlier.sha256
            tally.reference_url = earlier.reference_url
            return await self._refer(ask, tally, facts, route, earlier.reference_url)
        facts, route, envelope = self._choose(ask, source)
        self._warn(ask, route.warnings)
        tally.method = route.method
        framed = await self._framed(route, facts, source, envelope)
        if route.method == "embed":
            try:
                return await self._message(ask, tally, framed, source)
            except PayloadRejectedError:
                # The server takes less than it documents; the file can still go first.
                if ask.wish.method != "auto" or route.text is not None:
                    raise
            uploading = replace(ask, wish=replace(ask.wish, method="upload"))
            facts, route, envelope = self._choose(uploading, source)
            tally.method = route.method
            framed = await self._framed(route, facts, source, envelope)
        reference = await self._upload(ask, tally, framed, source)
        return await self._refer(ask, tally, facts, route, reference)

    async def _refer(
        self, ask: Ask, tally: Tally, facts: Facts, route: Route, reference: str
    ) -> Accepted:
        """Send the message that refers to the uploaded file."""
        text = render(message.compose(ask.document, facts, route, reference))
        check_request_size(len(text), destination=ask.destination, settings=self._settings)
        return await self._message(ask, tally, bodies.in_memory(text, ask.api))

    def _choose(self, ask: Ask, source: Source) -> Chosen:
        return choose_for(ask, head=source.head, size_bytes=source.size_bytes, settings=self._settings)

    async def _framed(self, route: Route, facts: Facts, source: Source, envelope: Envelope) -> Framed:
        """The body that carries the file on this route."""
        chunk_bytes = self._chunk_bytes
        if route.method == "embed":
            kind = bodies.message_type(route.api)
            if route.text is None:
                return bodies.embedded(source, envelope, kind, chunk_bytes)
            framed = await bodies.embedded_text(source, envelope, kind, chunk_bytes)
            check_request_size(
                framed.frame.declared_bytes,
                destination=facts.destination,
                settings=self._settings,
            )
            return framed
        if route.api == "data-model":
            return bodies.form(source, facts.name, facts.content_type, chunk_bytes)
        if self._settings.binary_body == "fhir_json":
            return bodies.fhir_binary(source, facts.content_type, chunk_bytes)
        return bodies.raw(source, facts.content_type, chunk_bytes)

    async def _upload(self, ask: Ask, tally: Tally, framed: Framed, source: Source) -> str:
        """Send the file, and return its reference."""
        settings = self._settings
        url = endpoints.upload_url(settings, api=ask.api)

        async def gate(sha256: str | None) -> None:
            await self._journal.intent(
                Intent(
                    step="upload",
                    row=ask.row,
                    document_id=ask.document_id,
                    attempt=tally.attempts,
                    raw_bytes=source.size_bytes,
                    sha256=sha256,
                )
            )

        step = Step(
            operation=Operation.UPLOAD,
            url=url,
            headers=endpoints.base_headers(settings, api=ask.api),
            framed=framed,
            source=source,
            gate=gate,
        )
        reference = await self._exchanger.run(
            step,
            ask,
            tally,
            lambda reply: replies.read_upload(
                reply, api=ask.api, request_url=url, allowed_hosts=settings.reference_hosts
            ),
        )
        tally.reference_url = reference
        await self._journal.uploaded(Uploaded(ask.row, ask.document_id, reference, settings.source_id))
        return reference

    async def _message(
        self,
        ask: Ask,
        tally: Tally,
        framed: Framed,
        source: Source | None = None,
    ) -> Accepted:
        """Send the message, whose outcome decides."""
        frame = framed.frame
        around = hashlib.sha256(frame.prefix + frame.suffix, usedforsecurity=False).hexdigest()

        async def gate(sha256: str | None) -> None:
            await self._journal.intent(
                Intent(
                    step="message",
                    row=ask.row,
                    document_id=ask.document_id,
                    attempt=tally.attempts,
                    raw_bytes=tally.raw_bytes or 0,
                    sha256=sha256,
                    message_sha256=around,
                    message_at=ask.message_at,
                    reference_url=tally.reference_url,
                )
            )

        step = Step(
            operation=Operation.MESSAGE,
            url=endpoints.message_url(
                self._settings, api=ask.api, model=ask.model, destination=ask.destination
            ),
            headers=endpoints.base_headers(self._settings, api=ask.api),
            framed=framed,
            source=source,
            gate=gate,
        )
        return await self._exchanger.run(
            step, ask, tally, lambda reply: replies.read_message(reply, api=ask.api)
        )

    async def _deletion(self, ask: Ask, tally: Tally) -> Accepted:
        facts = facts_of(ask, "application/octet-stream", 0, self._settings)
        deletion = message.check(ask.document, facts, api=ask.api, model=ask.model, deleting=True)
        text = render(deletion)
        return await self._message(ask, tally, bodies.in_memory(text, ask.api))
