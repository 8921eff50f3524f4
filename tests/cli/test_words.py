"""Numbers with their nouns: one is one, and a list of rows says how many it leaves out."""

from __future__ import annotations

import pytest

from chartsend.batch.row import Recovered
from chartsend.batch.status import Rows
from chartsend.batch.verify import Verified
from chartsend.cli.batch.summing import taken_over
from chartsend.cli.batch.verify import lines_of
from chartsend.cli.words import counted, numbers, verb


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1_000_000, "1,000,000 rows")]
)
def test_a_number_has_the_noun_that_fits(number, text):
    assert counted(number, "row") == text


def test_a_noun_and_a_verb_may_have_forms_of_their_own():
    assert counted(2, "try", "tries") == "2 tries"
    assert (verb(1, "is", "are"), verb(0, "is", "are")) == ("is", "are")


@pytest.mark.parametrize(
    ("rows", "total", "text"),
    [
        ((3,), None, "row 3"),
        ((3, 17), None, "rows 3, 17"),
        ((3, 17, 20, 21), None, "rows 3, 17, 20 and more"),
        ((3, 17, 20), 9, "rows 3, 17, 20 and 6 more"),
        ((3, 17, 20), 3, "rows 3, 17, 20"),
    ],
)
def test_a_list_of_rows_says_how_many_it_leaves_out(rows, total, text):
    assert numbers(rows, shown=3, total=total) == text


def test_what_was_taken_over_is_said_of_what_there_was():
    assert list(taken_over(Recovered())) == []
    (one,) = taken_over(Recovered(in_doubt=1))
    assert one == "Taken over from a run that was cut off: 1 message is in doubt."
    (all_three,) = taken_over(Recovered(released=2, orphans=1, in_doubt=3))
    assert all_three.endswith("2 rows begin again, 1 upload is made again, 3 messages are in doubt.")


def _verified(rows, **found):
    counts = Rows(done=rows, failed=0, in_doubt=0, rejected=0, pending=0)
    common = {"head": None, "damage": (), "differences": {}, "examples": {}}
    return Verified(rows=counts, manifest_rows=rows, **common | found)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (1, "1 row of the manifest stands in the ledger, once and unchanged, and agrees with its "),
        (
            2,
            "2 rows of the manifest stand in the ledger, each once and unchanged, and agree with their ",
        ),
    ],
)
def test_a_proof_of_one_row_speaks_of_one(rows, text):
    receipts, looked_at = ("receipt.", "1 file was") if rows == 1 else ("receipts.", "2 files were")

    assert list(lines_of(_verified(rows, files=rows))) == [text + receipts, f"{looked_at} looked at."]


def test_rows_that_differ_are_named_whatever_their_number():
    differences = {"changed": 1, "only_in_ledger": 12}
    examples = {"changed": (3,), "only_in_ledger": tuple(range(1, 13))}

    lines = list(lines_of(_verified(20, differences=differences, examples=examples)))

    some = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    assert lines == [
        "Rows that have another line in the manifest than was planned: row 3",
        f"Rows that stand in the ledger and not in the manifest: rows {some} and 2 more",
    ]
