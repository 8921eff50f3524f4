"""Words and numbers that a person sees."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from chartsend.cli.show import encodable, printable, receipt_line
from chartsend.cli.summary import FewIds, Summary, Times
from chartsend.document import Receipt, ReceiptError


def receipt(status="accepted", **fields):
    given = {
        "document_id": "d-1",
        "source": "scans/a.pdf",
        "bytes": 182_400,
        "sha256": "00",
        "api": "fhir",
        "method": "upload",
        "model": "document-reference",
        "seconds": 0.421,
    }
    return Receipt(**(given | fields), status=status)


def test_an_accepted_document_is_one_line():
    words = " ".join(receipt_line(receipt()).split())

    assert words == "accepted scans/a.pdf 182.4 kB upload 0.42 s"


def test_a_failed_document_says_why():
    error = ReceiptError("too_large", "the file is too large")
    line = receipt_line(receipt("failed", bytes=None, method=None, error=error))

    assert line.split("  ")[0] == "failed"
    assert line.endswith("the file is too large [too_large]")


def test_a_document_in_doubt_shows_its_id():
    line = receipt_line(receipt("in_doubt", error=ReceiptError("outcome_unknown", "no answer")))

    assert line.startswith("in doubt  ")
    assert line.endswith("document d-1: no answer [outcome_unknown]")


def test_a_deletion_has_no_source_and_shows_the_id():
    assert "d-1" in receipt_line(receipt(source=""))


@pytest.mark.parametrize(
    "name",
    ["a\nb.pdf", "a\x1b[31mb.pdf", "a\u202efdp.exe", "a\u2028b", "a\x00b", os.fsdecode(b"a\xffb")],
)
def test_a_name_cannot_steer_a_terminal(name):
    shown = printable(name)

    assert "\N{REPLACEMENT CHARACTER}" in shown
    assert len(shown.splitlines()) == 1
    assert "\x1b" not in shown
    shown.encode()


def test_names_of_every_language_are_shown_as_they_are():
    assert printable("Einverständnis 同意書.pdf") == "Einverständnis 同意書.pdf"


def test_a_name_that_is_not_utf8_can_be_written_as_json():
    assert encodable(os.fsdecode(b"\xff.pdf")) == "\N{REPLACEMENT CHARACTER}.pdf"


def test_percentiles_are_right_within_two_percent():
    times = Times()
    for n in range(1, 1001):
        times.add(n / 100)

    assert times.percentile(50) == pytest.approx(5.0, rel=0.02)
    assert times.percentile(95) == pytest.approx(9.5, rel=0.02)
    assert times.percentile(100) == pytest.approx(10.0)


def test_percentiles_take_the_same_memory_for_any_number_of_documents():
    times = Times()
    for n in range(200_000):
        times.add(0.001 + (n * 7919 % 600_000) / 1000)

    assert len(times.classes) < 1000


def test_only_the_first_few_ids_are_kept():
    ids = FewIds()
    for n in range(1000):
        ids.add(f"id{n}")

    assert str(ids) == "id0, id1, id2, id3, id4 and 995 more"


def lines(*receipts, skipped=None):
    summary = Summary()
    for each in receipts:
        summary.add(each)
    return "\n".join(summary.lines(seconds=2.0, skipped=Counter(skipped or {}), statistics=None))


def test_the_summary_says_what_to_look_for():
    text = lines(receipt(log_ids=("log-1",)), receipt(trace_id="trace-1"))

    assert text.startswith("2 files in 2.00 s: 2 accepted (364.8 kB), 0 failed, 0 in doubt.")
    assert "is not yet filed by the receiver" in text
    assert "log-1, trace-1" in text


def test_the_summary_names_reasons_and_documents_in_doubt_but_no_file():
    text = lines(
        receipt("failed", error=ReceiptError("too_large", "x")),
        receipt("failed", error=ReceiptError("too_large", "x")),
        receipt("in_doubt", document_id="d-9", error=ReceiptError("outcome_unknown", "x")),
    )

    assert "too_large (2)" in text
    assert "d-9" in text
    assert "a.pdf" not in text


def test_the_summary_counts_what_was_left_out():
    text = lines(receipt(), skipped={"links": 1, "dot_files": 2, "special": 0, "sidecars": 5})

    assert "Left out: 1 link, 2 names that begin with a dot." in text
