"""Asks a destination whether it has a document.

The one rule: a doubt is never turned into a "no": what cannot be asked, and what the destination
refuses to search, is unclear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..encoding.base64 import IdentityEncoder
from ..errors import AuthRejectedError, Phase, ResponseTooLargeError, TransferError, Verdict
from ..ports import Operation
from ..redox import endpoints, search
from ..redox.search import Finding, Presence
from ..transport.body import Frame
from .ask import Tally
from .bodies import Framed
from .exchange import Step

if TYPE_CHECKING:
    from ..settings import Settings
    from .ask import Ask
    from .exchange import Exchanger


class Finder:
    """Searches destinations for documents.

    Args:
        settings: Addresses and headers.
        exchanger: Speaks to the server.
    """

    def __init__(self, settings: Settings, exchanger: Exchanger) -> None:
        self._settings = settings
        self._exchanger = exchanger

    async def find(self, ask: Ask) -> Presence:
        """Whether a document with the id is there; read-only, so it may be cancelled at any time.

        Raises:
            TransferError: There is no answer for now, after retries (verdict RETRY), or the
                credentials were refused.
        """
        return (await self._search(ask, search.ELEMENTS)).presence

    async def trace(self, ask: Ask) -> Finding:
        """The same, with what tells which message brought it.

        Raises:
            TransferError: As for `find`.
        """
        try:
            return await self._search(ask, search.ELEMENTS_WITH_TRACES)
        except ResponseTooLargeError:  # the files themselves are in it
            return await self._search(ask, search.ELEMENTS_WITH_TIMES)

    async def _search(self, ask: Ask, elements: str) -> Finding:
        if not search.can_ask(ask.document_id, api=ask.api, model=ask.model):
            return Finding(Presence.UNCLEAR)
        form = search.search_form(ask.document_id, elements)
        step = Step(
            operation=Operation.QUERY,
            url=endpoints.search_url(self._settings, ask.destination),
            headers=endpoints.base_headers(self._settings, api="fhir"),
            framed=Framed(Frame.of_bytes(form, search.FORM), IdentityEncoder),
            source=None,
            gate=None,
            reply_cap_bytes=search.REPLY_CAP_BYTES,
        )
        system = ask.destination.identifier_systems.get("document")
        try:
            return await self._exchanger.run(
                step,
                ask,
                Tally(),
                lambda reply: search.read_search(reply, document_id=ask.document_id, system=system),
            )
        except TransferError as error:
            is_refusal = error.phase is Phase.ANSWERED and error.verdict is Verdict.GIVE_UP
            if is_refusal and not isinstance(error, AuthRejectedError):
                return Finding(Presence.UNCLEAR)  # it does not search, or not for us
            error.document_id = ask.document_id
            raise
