"""Identity: the same again for the same, and never the same for another."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given, strategies as st

from chartsend.errors import InvalidDocumentError
from chartsend.redox import identity
from chartsend.redox.identity import NAMESPACE, document_id, message_id

TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\udc80\udcff\ud800:-0123"), max_size=12)


def test_a_given_id_stands_verbatim():
    assert document_id(given="Ä 44/11", source_id="s", destination="d", key="/a") == "Ä 44/11"


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_id_is_refused(empty):
    with pytest.raises(InvalidDocumentError, match="empty"):
        document_id(given=empty, source_id=None, destination="d", key="/a")


def test_bytes_and_streams_need_an_id():
    with pytest.raises(InvalidDocumentError, match="set document_id") as caught:
        document_id(given=None, source_id="s", destination="d", key=None)

    assert caught.value.missing == ("document_id",)


def test_the_derivation_is_pinned():
    """A change of this value would make every document of the past a stranger."""
    made = document_id(given=None, source_id="src", destination="memorial", key="/scans/é.pdf")

    assert made == str(uuid.uuid5(NAMESPACE, "8:document3:src8:memorial13:/scans/\u00c3\u00a9.pdf"))
    assert made == "aa95f907-aaac-567f-bc82-51dd4b518bdc"
    assert uuid.UUID(made).version == 5


def test_message_ids_are_pinned():
    made = message_id("4411", "bundle", destination="m", api="fhir", model="document-reference")

    joined = "7:message4:44116:bundle1:m4:fhir18:document-reference"
    assert made == str(uuid.uuid5(NAMESPACE, joined))
    assert made == "013dcbc0-12cf-5dd1-aa76-33eca7822aa7"


def test_an_absent_source_is_not_a_source_without_a_name():
    absent = document_id(given=None, source_id=None, destination="d", key="k")
    empty = document_id(given=None, source_id="", destination="d", key="k")

    assert absent != empty


KEYS = st.tuples(st.none() | TEXT, TEXT, TEXT)


@given(st.lists(KEYS, min_size=2, max_size=8, unique=True))
def test_other_parts_make_another_id_however_they_are_joined(keys):
    ids = {document_id(given=None, source_id=s, destination=d, key=k) for s, d, k in keys}

    assert len(ids) == len(keys)


def test_every_part_destination_api_and_model_has_its_own_message_id():
    ids = {
        message_id(document, part, destination=to, api=api, model=model)
        for document in ("a", "b")
        for part in ("bundle", "header")
        for to in ("x", "y")
        for api in ("fhir", "data-model")
        for model in ("notes", "media")
    }

    assert len(ids) == 32


def test_a_path_that_is_not_utf8_has_an_identity_of_its_own():
    ids = {
        document_id(given=None, source_id=None, destination="d", key=key)
        for key in ("/a/\udcff.pdf", "/a/\udcfe.pdf", "/a/ÿ.pdf")
    }

    assert len(ids) == 3


@given(st.lists(st.none() | TEXT, min_size=1, max_size=4))
def test_ids_are_uuid5_of_their_parts(parts):
    joined = b"".join(
        b"-" if part is None else b"%d:%s" % (len(raw), raw)
        for part in parts
        for raw in [b"" if part is None else part.encode("utf-8", "surrogatepass")]
    )
    expected = uuid.uuid5(NAMESPACE, joined.decode("latin-1"))
    assert identity._uuid(identity._joined(*parts)) == str(expected)


@given(TEXT, TEXT, TEXT)
def test_a_part_keeps_its_id_whatever_was_identified_before(document, part, to):
    def made():
        return message_id(document, part, destination=to, api="fhir", model="notes")

    first = made()
    identity._start.cache_clear()
    identity._shared.cache_clear()

    joined = identity._joined("message", document, part, to, "fhir", "notes")
    assert made() == made() == first == identity._uuid(joined)
