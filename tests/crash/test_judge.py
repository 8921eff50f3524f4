"""The judge itself: sound evidence passes, and each thing that can be wrong with it is seen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judge import Entry, Evidence, Row, judge


def blob(number, reference):
    return {"kind": "blob", "sha256": f"sha-{number}", "bytes": 10, "reference": reference,
            "document_id": None, "method": "upload"}  # fmt: skip


def message(number, **changes):
    method = "upload" if number % 2 else "embed"
    return {
        "kind": "message",
        "document_id": f"doc-{number}",
        "sha256": f"sha-{number}",
        "bytes": 10,
        "method": method,
        "reference": f"url-{number}" if method == "upload" else None,
    } | changes


ROWS = tuple(
    Row(
        number=number,
        document_id=f"doc-{number}",
        sha256=f"sha-{number}",
        size_bytes=10,
        method="upload" if number % 2 else "embed",
        is_bad=number == 5,
    )
    for number in range(1, 6)
)
ENTRIES = (
    Entry(number=1, state="done", receipts=("accepted",)),
    Entry(number=2, state="done", receipts=("accepted",)),
    Entry(number=3, state="in_doubt", orphans=1, receipts=("in_doubt",)),
    Entry(number=4, state="failed", receipts=("failed",)),
    Entry(number=5, state="rejected"),
)
SOUND = Evidence(
    rows=ROWS,
    entries=ENTRIES,
    counts={"done": 2, "in_doubt": 1, "failed": 1, "rejected": 1, "queued": 0},
    events=(
        {"kind": "token", "document_id": None, "sha256": None},
        blob(1, "url-1"),
        message(1),
        message(2),
        blob(3, "url-0"),
        blob(3, "url-3"),
        message(3),
        message(77),  # another batch's
    ),
    told=((1, "accepted"), (3, "in_doubt"), (4, "failed")),
    kills=1,
    slots=1,
)


def changed(number, **changes):
    return tuple(replace(each, **changes) if each.number == number else each for each in ENTRIES)


def test_sound_evidence_passes():
    assert judge(SOUND) == []
    # Whether a message in doubt arrived or not is both right.
    assert judge(replace(SOUND, events=SOUND.events[:-2])) == []


def test_a_sanctioned_duplicate_passes():
    entries = changed(2, maybe_duplicate=1, receipts=("in_doubt", "accepted"))
    events = (*SOUND.events, message(2))
    assert judge(replace(SOUND, entries=entries, events=events, policy="resend", kills=2)) == []
    assert judge(replace(SOUND, entries=entries, events=events, policy="resend")) == [
        "2 rows were in doubt, and only 1 answers can have been missed"
    ]
    wrong = judge(replace(SOUND, entries=entries, events=events, kills=2))
    assert wrong == ["row 2: it was sent again knowingly, and the policy is to hold"]
    entries = changed(2, maybe_duplicate=1)
    wrong = judge(replace(SOUND, entries=entries, events=events, policy="resend", kills=2))
    assert wrong == ["row 2: it was sent again knowingly, and no receipt says that it was in doubt"]


def test_a_batch_that_is_not_over_may_have_rows_under_way():
    states = {1: "referencing", 2: "referencing", 4: "uploaded"}
    entries = tuple(
        replace(each, state=states[each.number], receipts=()) if each.number in states else each
        for each in ENTRIES[1:]  # and rows that are not planned yet
    )
    counts = {"referencing": 1, "in_doubt": 1, "uploaded": 1, "rejected": 1}
    events = SOUND.events[3:]
    told = ((3, "in_doubt"),)
    evidence = replace(SOUND, entries=entries, counts=counts, events=events, told=told, is_over=False)
    assert judge(evidence) == []
    assert judge(replace(evidence, is_over=True))


WRONG = [
    ("lost", {"entries": ENTRIES[1:], "events": SOUND.events[3:], "told": ()}, "row 1: it is lost"),
    ("sent and not there", {"entries": ENTRIES[1:]}, "row 1: it was sent, and the ledger does not"),
    ("twice in the ledger", {"entries": (*ENTRIES, ENTRIES[0])}, "row 1: it stands 2 times"),
    ("a row too many", {"entries": (*ENTRIES, Entry(number=9, state="done"))}, "has no such row"),
    ("counters", {"counts": SOUND.counts | {"done": 3}}, "the counters say"),
    ("counters' sum", {"counts": SOUND.counts | {"done": 3}}, "add up to 6 rows"),
    ("not final", {"entries": changed(1, state="uploaded")}, "row 1: the run is over and left it"),
    ("done without event", {"events": SOUND.events[:3]}, "row 2: it is done, and there is no message"),
    ("failed with event", {"events": (*SOUND.events, message(4))}, "the ledger says failed"),
    ("rejected and sent", {"events": (*SOUND.events, message(5))}, "row 5: it had to be rejected"),
    ("rejected without need", {"entries": changed(4, state="rejected", receipts=())}, "without need"),
    ("bad row not rejected", {"entries": changed(5, state="failed", receipts=("failed",))},
     "row 5: it had to be rejected, and is failed"),
    ("sent twice", {"events": (*SOUND.events, message(2))}, "row 2: 2 message events"),
    ("in doubt and sent twice", {"events": (*SOUND.events, message(3))}, "row 3: 2 message events"),
    ("once too often", {"events": (*SOUND.events, message(2), message(2)), "policy": "resend", "entries":
     changed(2, maybe_duplicate=1, receipts=("in_doubt", "accepted"))}, "row 2: 3 message events"),
    ("other bytes", {"events": (*SOUND.events, message(3, sha256="x"))}, "row 3: the receiver got"),
    ("other size", {"events": (*SOUND.events, message(3, bytes=9))}, "row 3: the receiver got"),
    ("other way", {"events": (*SOUND.events[:3], message(2, method="upload"), *SOUND.events[4:])},
     "row 2: it went by upload"),
    ("somebody's upload", {"events": (*SOUND.events, message(1, reference="url-0"))},
     "row 1: its message refers to an upload that is not its own"),
    ("orphan not counted", {"entries": changed(3, orphans=0)}, "row 3: 2 uploads, and 0 orphans"),
    ("embedded and uploaded", {"events": (*SOUND.events, blob(2, "url-2"))}, "row 2: it is embedded"),
    ("too many uploads", {"kills": 0, "cuts": 0, "entries": changed(3, orphans=1)}, "3 uploads of 2"),
    ("too many in doubt", {"kills": 0}, "1 rows were in doubt, and only 0"),
    ("told too early", {"told": ((4, "accepted"),)}, "row 4: the caller was told accepted"),
    ("told of nobody", {"told": ((8, "accepted"),)}, "row 8: the caller was told accepted"),
    ("told twice", {"told": ((1, "accepted"), (1, "accepted"))}, "row 1: the caller was told acc"),
    ("receipt missing", {"entries": changed(1, receipts=())}, "row 1: it is done, and its last receipt"),
    ("receipt differs", {"entries": changed(1, receipts=("failed",))}, "its last receipt says failed"),
    ("accepted twice", {"entries": changed(1, receipts=("accepted",) * 2)}, "counted as accepted twice"),
    ("ledger complains", {"complaints": ("page 7",)}, "the ledger's own verification: page 7"),
    ("token refused", {"refused_tokens": 1}, "1 token requests were refused"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "text"), [pytest.param(*rest, id=name) for name, *rest in WRONG])
def test_what_is_wrong_is_seen(changes, text):
    wrong = judge(replace(SOUND, **changes))
    assert any(text in said for said in wrong), wrong
    assert not any("doc-" in said for said in wrong)
