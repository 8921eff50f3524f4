"""Hostile and foreign text: it arrives as it was given, and nothing else changes."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from chartsend.document import Document, Identifier, Order, Patient, Provider, Visit
from chartsend.encoding.envelope import HOLE, split_at_hole
from chartsend.errors import InvalidDocumentError
from chartsend.redox.message import check, compose
from chartsend.redox.route import Route

NASTY = [
    'a "quoted" title.pdf',
    "back\\slash\\.pdf",
    '","data":"AAAA","x":"',
    '"}],"entry":[{"resource":{}}]',
    "\\u0000\\u0022",
    "😀 scan 👩‍⚕️.pdf",
    "\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe\N{POP DIRECTIONAL FORMATTING}",
    "תוצאות בדיקה.pdf",
    "検査結果.pdf",
    "</script><script>",
    "${jndi:ldap://x}",
    "%00%0d%0a",
    "é" + "é",
]
MODELS = [
    ("fhir", "document-reference"),
    ("fhir", "diagnostic-report"),
    ("data-model", "notes"),
    ("data-model", "media"),
    ("data-model", "results"),
]


def document_of(text):
    """A document with this text in every place that takes text."""
    return Document(
        path="/scans/a.pdf",
        type=text,
        title=text,
        patient=Patient(identifiers=(Identifier(id=text, type=text),), first_name=text, last_name=text),
        provider=Provider(id=text, first_name=text),
        visit=Visit(number=text, class_=text),
        order=Order(id=text, code=text, description=text),
    )


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner)


def shape(value):
    """A message without its texts: its keys and nesting."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def decoded(document, given, api, model):
    envelope = split_at_hole(compose(document, given, Route(api, "embed", model, None, ()), HOLE))
    whole = envelope.prefix + b"QUFBQQ==" + envelope.suffix
    assert json.loads(whole) == orjson.loads(whole)
    return json.loads(whole)


@pytest.mark.parametrize(("api", "model"), MODELS)
@pytest.mark.parametrize("text", NASTY)
def test_no_text_changes_the_message_around_it(facts, api, model, text):
    given = facts(name=text, document_id=text, content_type="application/pdf")
    plain = decoded(document_of("plain"), facts(name="plain", document_id="plain"), api, model)

    nasty = decoded(document_of(text), given, api, model)

    assert shape(nasty) == shape(plain)
    assert list(strings(nasty)).count(text) == list(strings(plain)).count("plain")
    assert list(strings(nasty)).count("QUFBQQ==") == 1


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(min_size=1, max_size=40), pair=st.sampled_from(MODELS))
def test_any_text_that_a_description_takes_arrives_verbatim(facts, text, pair):
    try:
        document = document_of(text)
    except InvalidDocumentError:
        return
    api, model = pair
    given = facts(name=text)
    if not text.strip():
        with pytest.raises(InvalidDocumentError):
            check(document, given, api=api, model=model)
        return

    check(document, given, api=api, model=model)

    assert text in list(strings(decoded(document, given, api, model)))


@pytest.mark.parametrize(("api", "model"), MODELS)
def test_no_empty_thing_stands_in_a_message(bare, facts, api, model):
    def nothing_empty(value):
        if isinstance(value, dict | list):
            assert len(value) > 0
            for inner in value.values() if isinstance(value, dict) else value:
                nothing_empty(inner)
        else:
            assert value not in {None, ""}

    nothing_empty(decoded(bare(provider=None, order=Order(id="O", code="C")), facts(), api, model))
