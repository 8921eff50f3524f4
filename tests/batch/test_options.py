"""What is asked of a batch: a word that is none of its set is refused, whoever says it."""

from __future__ import annotations

import pytest

from chartsend import BatchOptions
from chartsend.errors import ConfigError


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"on_unknown": "hodl"}, "on_unknown is one of hold, verify, resend"),
        ({"on_unknown": "Hold"}, "on_unknown is one of"),
        ({"on_unknown": None}, "on_unknown is one of"),
        ({"on_unknown": ["hold"]}, "on_unknown is one of"),
        ({"method": "uplod"}, "method is one of auto, upload, embed"),
        ({"model": "notez"}, "model is one of document-reference, diagnostic-report, notes"),
        ({"model": ["notes"]}, "model is one of"),
        ({"api": "hl7"}, "api is one of fhir, data-model"),
        ({"api": ""}, "api is one of"),
    ],
    ids=str,
)
def test_a_word_that_is_none_of_its_set_is_refused_before_anything_is_opened(given, said):
    with pytest.raises(ConfigError, match=said):
        BatchOptions(**given)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"on_unknown": "hold"},
        {"on_unknown": "verify"},
        {"on_unknown": "resend"},
        {"api": "data-model", "method": "auto", "model": "notes"},
        {"api": "fhir", "method": "embed", "model": "diagnostic-report"},
    ],
    ids=str,
)
def test_every_word_of_the_sets_is_taken(given):
    options = BatchOptions(**given)

    assert all(getattr(options, name) == value for name, value in given.items())
