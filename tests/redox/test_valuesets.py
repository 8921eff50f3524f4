"""Value sets: published spellings, and no value of ours outside of them."""

from __future__ import annotations

from typing import get_args

import pytest

from chartsend.document import Availability, Sex
from chartsend.redox import valuesets


def test_the_documents_own_literals_are_the_published_sets():
    assert get_args(Availability) == valuesets.AVAILABILITIES
    assert set(get_args(Sex)) == set(valuesets.GENDERS)


@pytest.mark.parametrize(
    ("model", "values"),
    [
        ("document-reference", valuesets.DOCUMENT_REFERENCE_STATUSES),
        ("diagnostic-report", valuesets.DIAGNOSTIC_REPORT_STATUSES),
        ("notes", valuesets.NOTE_STATUSES),
        ("media", valuesets.MEDIA_AUTHENTICATED),
        ("results", valuesets.RESULT_STATUSES),
    ],
)
def test_every_status_is_sent_in_its_published_spelling(model, values):
    sent = {valuesets.status_for(model, given.swapcase()) for given in valuesets.statuses(model)}

    assert sent == set(values)
    assert valuesets.status_for(model, "Finished") is None
    assert valuesets.status_for(model, None) in {None, *values}


def test_the_defaults():
    defaults = {model: valuesets.status_for(model, None) for model in valuesets.DEFAULT_STATUS}

    assert defaults == {
        "document-reference": "current",
        "diagnostic-report": "final",
        "notes": None,
        "media": None,
        "results": "Final",
    }


def test_an_orders_status_follows_its_result_within_both_sets():
    assert set(valuesets.RESULTS_STATUS_OF) <= set(valuesets.RESULT_STATUSES)
    assert set(valuesets.RESULTS_STATUS_OF.values()) <= set(valuesets.ORDER_RESULTS_STATUSES)
