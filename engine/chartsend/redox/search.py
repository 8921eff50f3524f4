"""Is a document there? The search that asks a FHIR destination, and what its answer proves.

The one rule: "absent" lets somebody send again, and "found" lets somebody stop, so both need proof;
whatever is not proof is unclear, and costs a look at the logs, never a duplicate or a lost document.
Which message brought a document is another question than whether one is there: `traces.py`.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlencode

from .json_body import is_array, is_object, member, parse
from .traces import Trace, trace_of

if TYPE_CHECKING:
    from ..document import Api, Model
    from ..ports import Reply

FORM: Final = "application/x-www-form-urlencoded"
REPLY_CAP_BYTES: Final = 1024 * 1024
"""Entries may be whole resources, where a destination does not know `_elements`."""

ELEMENTS: Final = "identifier,masterIdentifier"
ELEMENTS_WITH_TIMES: Final = f"{ELEMENTS},date,meta"
ELEMENTS_WITH_TRACES: Final = f"{ELEMENTS_WITH_TIMES},content"
"""`content` has the file itself where a destination gives it away, so it may be too large an answer."""

_SPECIAL: Final = re.compile(r"[,|$\\]")
"""FHIR R4 search gives these a meaning in a value, and escapes them with a backslash. A server that
does not undo that would find nothing, which would look like an absence."""


class Presence(enum.Enum):
    """What is known of a document at its destination."""

    FOUND = "found"
    """An entry has our identifier."""
    ABSENT = "absent"
    """The destination searched, and has no such document that it shows us."""
    UNCLEAR = "unclear"
    """Anything else."""


class Finding(NamedTuple):
    """What an answer says.

    Attributes:
        presence: Whether a document with the identifier is there.
        traces: Of each such document, what tells which message brought it.
    """

    presence: Presence
    traces: tuple[Trace, ...] = ()


def can_ask(document_id: str, *, api: Api, model: Model) -> bool:
    """Whether a search can tell: of a DocumentReference, by a plain identifier.

    The Data Model API has no such search, and a DiagnosticReport is no DocumentReference: looking for
    one there would find nothing, and prove nothing. The same holds for an identifier that a server
    may read otherwise than we write it: special characters, blanks around it, what is not printable.
    """
    if api != "fhir" or model != "document-reference":
        return False
    is_plain = document_id.isprintable() and _SPECIAL.search(document_id) is None
    return is_plain and document_id != "" and document_id == document_id.strip()


def search_form(document_id: str, elements: str = ELEMENTS) -> bytes:
    """The body of `DocumentReference/_search`: our identifier, whatever its system.

    Nothing of the patient is in it, and nothing but these elements is asked for.
    """
    return urlencode({"identifier": document_id, "_elements": elements}).encode()


def read_search(reply: Reply, *, document_id: str, system: str | None) -> Finding:
    """What a complete answer to a search proves.

    Found: an entry is a DocumentReference that has the identifier. Absent: a searchset that counts 0
    and is complete. A next page, a total without entries, entries without our identifier, a warning,
    anything that is not a searchset: unclear.

    Args:
        reply: The answer.
        document_id: What was asked for.
        system: The system that our identifiers have at this destination; None where they have none.
            The same value in another system is another document.
    """
    bundle = parse(reply.body) if reply.status == 200 else None
    is_bundle = member(bundle, "resourceType") == "Bundle" and member(bundle, "type") == "searchset"
    entries = member(bundle, "entry")
    if not is_bundle or not (entries is None or is_array(entries)):
        return Finding(Presence.UNCLEAR)
    ours = [one for one in entries or () if _is_it(one, document_id, system)]
    if ours:
        return Finding(Presence.FOUND, tuple(trace_of(member(one, "resource")) for one in ours))
    total = member(bundle, "total")
    is_none = type(total) is int and total == 0 and not entries
    return Finding(Presence.ABSENT if is_none and not _has_more(bundle) else Presence.UNCLEAR)


def _is_it(entry: object, document_id: str, system: str | None) -> bool:
    resource = member(entry, "resource")
    if member(resource, "resourceType") != "DocumentReference":
        return False
    others = member(resource, "identifier")
    identifiers = [member(resource, "masterIdentifier"), *(others if is_array(others) else [])]
    return any(_is_ours(one, document_id, system) for one in identifiers)


def _is_ours(identifier: object, document_id: str, system: str | None) -> bool:
    if not is_object(identifier) or identifier.get("value") != document_id:
        return False
    theirs = identifier.get("system")
    return system is None or theirs is None or theirs == system


def _has_more(bundle: object) -> bool:
    """Whether there is a further page, or links that cannot be read."""
    links = member(bundle, "link")
    if links is None:
        return False
    if not is_array(links):
        return True
    return any(member(link, "relation") not in {"self", "first", "last"} for link in links)
