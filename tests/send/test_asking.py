"""What is asked of one call: words that are none of their set are refused; logs name rows as rows."""

from __future__ import annotations

import re

import pytest

from chartsend import Document, Settings
from chartsend.aio import Deadline
from chartsend.errors import ConfigError
from chartsend.send import Asking

NOTHING = {"api": None, "method": None, "model": None, "note_text": None}


def asking(**given) -> Asking:
    return Asking.of(Settings(source_id="s"), to="memorial-ehr", **(NOTHING | given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "uplod"}, "method is one of auto, upload, embed"),
        ({"model": "notez"}, "model is one of document-reference"),
        ({"api": "hl7"}, "api is one of fhir, data-model"),
        ({"api": "hl7", "model": "notes"}, "api is one of"),
    ],
    ids=str,
)
def test_a_word_that_is_none_of_its_set_is_refused(given, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        asking(**given)


async def test_logs_call_a_row_a_row_and_a_document_a_document():
    document = Document(path="a.pdf", document_id="CD-0048")
    deadline = Deadline.after(None)

    assert asking().ask(document, deadline=deadline, row="50").shown_as == "row 50"
    assert asking().ask(document, deadline=deadline).shown_as == "document CD-0048"
