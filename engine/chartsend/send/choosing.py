"""Everything that is decided about a document before a request: facts, checks, route, envelope.

The one rule: it needs the file's first bytes and its size, no network and no event loop, so that a
plan of a million rows and a send of one decide alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..encoding.base64 import encoded_length
from ..encoding.envelope import HOLE, Envelope, split_at_hole
from ..redox import endpoints, message
from ..redox.content_type import resolve_content_type
from ..redox.facts import Facts
from ..redox.route import check_request_size, choose

if TYPE_CHECKING:
    from ..redox.route import Route
    from ..settings import Settings
    from .ask import Ask


class Chosen(NamedTuple):
    """What was decided: facts, route, and the message around its hole."""

    facts: Facts
    route: Route
    envelope: Envelope


def choose_for(ask: Ask, *, head: bytes, size_bytes: int, settings: Settings) -> Chosen:
    """Check a document and choose its route.

    Args:
        ask: What is asked for.
        head: The first bytes of its source, for telling the type; may be empty.
        size_bytes: Raw size of its source.
        settings: Limits and identities.

    Raises:
        TransferError: It lacks something, contradicts itself, or fits no route.
    """
    document = ask.document
    content_type = resolve_content_type(name=document.name, head=head, given=document.content_type)
    facts = facts_of(ask, content_type, size_bytes, settings)
    envelope = split_at_hole(message.check(document, facts, api=ask.api, model=ask.model))
    route = choose(
        ask.wish,
        size_bytes=size_bytes,
        content_type=content_type,
        overhead_bytes=envelope.length_bytes,
        destination=ask.destination,
        settings=settings,
    )
    if route.text is not None:
        envelope = split_at_hole(message.compose(document, facts, route, HOLE))
    return Chosen(facts, route, envelope)


def largest_request_bytes(chosen: Chosen, ask: Ask, settings: Settings) -> int:
    """The largest request of a route, as far as it is known without reading the file.

    An upload's framing (some 200 bytes) and the escapes of a text are not counted.

    Raises:
        TooLargeError: The request is over its limit.
    """
    facts, route, envelope = chosen
    if route.method == "upload":
        return facts.size_bytes
    inside = facts.size_bytes if route.text is not None else encoded_length(facts.size_bytes)
    check_request_size(envelope.length_bytes + inside, destination=ask.destination, settings=settings)
    return envelope.length_bytes + inside


def facts_of(ask: Ask, content_type: str, size_bytes: int, settings: Settings) -> Facts:
    """What a message says beyond its description."""
    return Facts(
        document_id=ask.document_id,
        name=ask.document.name,
        content_type=content_type,
        size_bytes=size_bytes,
        at=ask.message_at,
        destination=ask.destination,
        environment=endpoints.environment(settings),
        source_id=settings.source_id,
        source_name=settings.source_name,
        note_content_type_for_uri=settings.note_content_type_for_uri,
    )
