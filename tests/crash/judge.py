"""What must be true of a batch, however often it was killed: manifest, ledger, words, events.

The one rule: the sandbox's own log is believed first. The judge reads evidence and nothing else; it
starts no process, opens no file, and names rows by number.

The invariants: nothing lost, no unsanctioned duplicate, the right bytes, exact totals.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FINAL: Final = frozenset({"done", "failed", "in_doubt", "rejected"})
MAY_BE_THERE: Final = frozenset({"done", "in_doubt", "referencing"})
"""States in which the ledger admits that the message may have been applied."""
STATE_OF: Final = {"accepted": "done", "failed": "failed", "in_doubt": "in_doubt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of the manifest.

    Attributes:
        number: Its line.
        document_id: The identity that its events carry.
        sha256: Of its file, in hex; no two rows have the same.
        size_bytes: Of its file.
        method: `upload` or `embed`.
        is_bad: It must be rejected while planning.
    """

    number: int
    document_id: str
    sha256: str
    size_bytes: int
    method: str
    is_bad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the ledger says of a row.

    Attributes:
        number: Of the row.
        state: In lower case, such as `in_doubt`.
        maybe_duplicate: How often it was listed as a possible duplicate.
        orphans: Uploads that nothing refers to.
        receipts: Statuses of its receipts, in the order in which they were made.
    """

    number: int
    state: str
    maybe_duplicate: int = 0
    orphans: int = 0
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that is known of one batch at one moment.

    Attributes:
        rows: The manifest.
        entries: Every row that the ledger holds.
        counts: What the ledger's counters say: rows by state, in lower case.
        complaints: What the ledger's own verification finds wrong with it.
        events: The sandbox's log; events of other batches are none of this judge's business.
        told: What was said of rows as they settled, in order, over all lives: number and status.
        kills: How many lives ended by SIGKILL.
        slots: Sends that could be in flight in each.
        cuts: Answers to requests that were done and that the sandbox's script cut or falsified.
        refused_tokens: Token requests that the sandbox refused.
        policy: `hold`, `verify` or `resend`.
        is_over: The last life ended by itself and said that nothing is left.
    """

    rows: Sequence[Row]
    entries: Sequence[Entry]
    counts: Mapping[str, int]
    events: Sequence[Mapping[str, Any]]
    complaints: Sequence[str] = ()
    told: Sequence[tuple[int, str]] = ()
    kills: int = 0
    slots: int = 1
    cuts: int = 0
    refused_tokens: int = 0
    policy: str = "hold"
    is_over: bool = True

    @property
    def excused(self) -> int:
        """Requests whose outcome nobody could know: so many rows at most may be in doubt."""
        return self.kills * self.slots + self.cuts


@dataclass(frozen=True, slots=True)
class _Case:
    """The evidence on one row."""

    row: Row
    entry: Entry | None
    messages: list[Mapping[str, Any]] = field(default_factory=list)
    uploads: list[Mapping[str, Any]] = field(default_factory=list)


def judge(evidence: Evidence) -> list[str]:
    """What is wrong, one sentence each; nothing when all is well."""
    cases = _cases(evidence)
    wrong = [*_whole(evidence), *_strangers(evidence)]
    for case in cases:
        said = (*_state(case, evidence), *_copies(case, evidence), *_bytes(case), *_uploads(case))
        wrong += [f"row {case.row.number}: {each}" for each in said]
    wrong += [*_words(evidence), *_bounds(evidence)]
    wrong += [f"the ledger's own verification: {said}" for said in evidence.complaints]
    return wrong


def _cases(evidence: Evidence) -> list[_Case]:
    entries = {entry.number: entry for entry in evidence.entries}
    good = [row for row in evidence.rows if not row.is_bad]
    cases = {row.document_id: _Case(row, entries.get(row.number)) for row in good}
    by_bytes = {row.sha256: cases[row.document_id] for row in good}
    for event in evidence.events:
        if event["kind"] == "message" and event["document_id"] in cases:
            cases[event["document_id"]].messages.append(event)
        if event["kind"] == "blob" and event["sha256"] in by_bytes:
            by_bytes[event["sha256"]].uploads.append(event)
    return list(cases.values())


def _whole(evidence: Evidence) -> Iterator[str]:
    """Every row is there, once, and the counters say so."""
    numbers = Counter(entry.number for entry in evidence.entries)
    planned = {row.number for row in evidence.rows}
    for number in sorted(set(numbers) - planned):
        yield f"row {number}: the manifest has no such row"
    for number, times in numbers.items():
        if times > 1:
            yield f"row {number}: it stands {times} times in the ledger"
    if evidence.is_over:
        for number in sorted(planned - set(numbers)):
            yield f"row {number}: it is lost, the ledger does not have it"
    tally = Counter(entry.state for entry in evidence.entries)
    said = {state: count for state, count in evidence.counts.items() if count}
    if said != dict(tally):
        yield f"the counters say {said}, the rows {dict(tally)}"
    if evidence.is_over and sum(said.values()) != len(evidence.rows):
        yield f"the counters add up to {sum(said.values())} rows, the manifest has {len(evidence.rows)}"


def _strangers(evidence: Evidence) -> Iterator[str]:
    """Nothing may be sent for a row that was refused."""
    bad = [row for row in evidence.rows if row.is_bad]
    documents = {row.document_id for row in evidence.rows if not row.is_bad}
    for row in bad:
        sent = [event for event in evidence.events if event["document_id"] == row.document_id]
        if sent and row.document_id not in documents:
            yield f"row {row.number}: it had to be rejected, and was sent"
    states = {entry.number: entry.state for entry in evidence.entries}
    for row in bad:
        state = states.get(row.number, "rejected")
        if state != "rejected" and evidence.is_over:
            yield f"row {row.number}: it had to be rejected, and is {state}"


def _state(case: _Case, evidence: Evidence) -> Iterator[str]:
    """The state is final when all is over, and agrees with the events and the receipts."""
    entry = case.entry
    if entry is None:
        if case.messages or case.uploads:
            yield "it was sent, and the ledger does not have it"
        return
    if entry.state == "rejected":
        yield "it was rejected without need"
    if evidence.is_over and entry.state not in FINAL:
        yield f"the run is over and left it {entry.state}"
    if entry.state == "done" and not case.messages:
        yield "it is done, and there is no message event"
    if case.messages and entry.state not in MAY_BE_THERE and not entry.maybe_duplicate:
        yield f"there is a message event, and the ledger says {entry.state}"
    yield from _receipts(entry, evidence)


def _receipts(entry: Entry, evidence: Evidence) -> Iterator[str]:
    """Its last receipt says how it ended, and it was accepted once at most."""
    if evidence.is_over and entry.state in STATE_OF.values():
        last = entry.receipts[-1] if entry.receipts else None
        if STATE_OF.get(last or "") != entry.state:
            yield f"it is {entry.state}, and its last receipt says {last}"
    if entry.receipts.count("accepted") > 1:
        yield "it was counted as accepted twice"


def _copies(case: _Case, evidence: Evidence) -> Iterator[str]:
    """A second message only after the first was listed as a possible duplicate."""
    listed = 0 if case.entry is None else case.entry.maybe_duplicate
    if len(case.messages) > 1 + listed:
        yield f"{len(case.messages)} message events, and it was listed as maybe_duplicate {listed} times"
    if listed and evidence.policy == "hold":
        yield "it was sent again knowingly, and the policy is to hold"
    if listed and "in_doubt" not in (() if case.entry is None else case.entry.receipts):
        yield "it was sent again knowingly, and no receipt says that it was in doubt"


def _bytes(case: _Case) -> Iterator[str]:
    """What arrived is what the file holds, and it came the way it should."""
    row = case.row
    for event in case.messages:
        if (event["sha256"], event["bytes"]) != (row.sha256, row.size_bytes):
            yield "the receiver got other bytes than the file has"
        if event["method"] != row.method:
            yield f"it went by {event['method']}, and should by {row.method}"
    references = [event["reference"] for event in case.uploads]
    for event in case.messages:
        if row.method == "upload" and event["reference"] not in references:
            yield "its message refers to an upload that is not its own"


def _uploads(case: _Case) -> Iterator[str]:
    """Every upload but the one in use was counted as an orphan."""
    if case.row.method == "embed":
        if case.uploads:
            yield f"it is embedded, and was uploaded {len(case.uploads)} times"
        return
    counted = 0 if case.entry is None else case.entry.orphans
    if len(case.uploads) > 1 + counted:
        yield f"{len(case.uploads)} uploads, and {counted} orphans were counted"


def _words(evidence: Evidence) -> Iterator[str]:
    """What was said of a row was durable before it was said, and stays true."""
    entries = {entry.number: entry for entry in evidence.entries}
    for (number, status), times in Counter(evidence.told).items():
        if status == "in_doubt":
            continue  # that may change
        entry = entries.get(number)
        if entry is None or entry.state != STATE_OF[status]:
            state = "nothing" if entry is None else entry.state
            yield f"row {number}: the caller was told {status}, and the ledger says {state}"
        if times > 1:
            yield f"row {number}: the caller was told {status} {times} times"


def _bounds(evidence: Evidence) -> Iterator[str]:
    """A crash costs at most what was in flight."""
    doubtful = sum("in_doubt" in (*entry.receipts, entry.state) for entry in evidence.entries)
    if doubtful > evidence.excused:
        yield f"{doubtful} rows were in doubt, and only {evidence.excused} answers can have been missed"
    files = {row.sha256 for row in evidence.rows if row.method == "upload" and not row.is_bad}
    uploads = sum(event["kind"] == "blob" and event["sha256"] in files for event in evidence.events)
    if uploads > len(files) + evidence.excused:
        yield f"{uploads} uploads of {len(files)} files, and only {evidence.excused} can have been lost"
    if evidence.refused_tokens:
        yield f"{evidence.refused_tokens} token requests were refused"
