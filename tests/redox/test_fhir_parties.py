"""FHIR bundles: people, visits, identifiers, times, in the words of R4."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from chartsend.document import Coding, Identifier, Location, Patient, Provider, Visit
from chartsend.encoding.envelope import render
from chartsend.redox.message import check, compose
from chartsend.redox.route import Route
from chartsend.settings import Destination


def made(document, given):
    """The checked message as the receiver reads it, with a reference to the file."""
    check(document, given, api="fhir", model="document-reference")
    route = Route("fhir", "upload", "document-reference", None, ())
    return json.loads(render(compose(document, given, route, "https://blob.redoxengine.com/1")))


def resource(bundle, kind):
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def test_who_wrote_and_signed_stands_there_once(full, facts):
    bundle = made(full(authenticator=full().provider), facts())
    reference = resource(bundle, "DocumentReference")

    assert reference["author"] == [reference["authenticator"]]
    assert sum(e["resource"]["resourceType"] == "Practitioner" for e in bundle["entry"]) == 1


def test_parties_of_whom_nothing_is_said_are_left_out(bare, facts):
    document = bare(provider=Provider(), authenticator=Provider(), visit=Visit(location=Location()))

    kinds = [e["resource"]["resourceType"] for e in made(document, facts())["entry"]]

    assert kinds == ["MessageHeader", "DocumentReference", "Patient"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (Identifier(id="1", type="MR"), {"system": "urn:redox:health-one:MR", "value": "1"}),
        (Identifier(id="1", type="MR", system="urn:own"), {"system": "urn:own", "value": "1"}),
        (Identifier(id="1", type="SSN"), {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "1"}),
        (Identifier(id="1", type="EHRID"), {"type": {"text": "EHRID"}, "value": "1"}),
        (Identifier(id="1"), {"value": "1"}),
    ],
)
def test_identifier_systems(bare, facts, given, expected):
    bundle = made(bare(patient=Patient(identifiers=(given,))), facts())

    assert resource(bundle, "Patient")["identifier"] == [expected]


def test_a_destination_names_the_systems_of_documents_and_visits(bare, facts):
    to = Destination(
        name="m",
        slug="m",
        identifier_systems={"document": "urn:d", "visit": "urn:v", "account": "urn:a"},
    )
    document = bare(replaces="4410", visit=Visit(number="V", account_number="A"))

    bundle = made(document, facts(destination=to))
    reference = resource(bundle, "DocumentReference")
    encounter = resource(bundle, "Encounter")

    assert reference["masterIdentifier"] == {"system": "urn:d", "value": "4411"}
    assert reference["relatesTo"][0]["target"]["identifier"] == {"system": "urn:d", "value": "4410"}
    assert encounter["identifier"] == [{"system": "urn:v", "value": "V"}]
    assert encounter["account"] == [{"identifier": {"system": "urn:a", "value": "A"}}]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Inpatient", "IMP"),
        ("outpatient", "AMB"),
        ("Emergency", "EMER"),
        ("imp", "IMP"),
        ("ACUTE", "ACUTE"),
    ],
)
def test_known_visit_classes_are_coded(bare, facts, given, expected):
    encounter = resource(made(bare(visit=Visit(number="V", class_=given)), facts()), "Encounter")

    assert encounter["class"]["code"] == expected


def test_an_unknown_visit_class_is_said_in_words_and_an_absent_one_as_unknown(bare, facts):
    named = resource(made(bare(visit=Visit(class_="Day Surgery")), facts()), "Encounter")
    absent = resource(made(bare(visit=Visit(number="V")), facts()), "Encounter")

    assert named["class"] == {"display": "Day Surgery"}
    assert absent["class"]["code"] == "UNK"


@pytest.mark.parametrize(
    ("sex", "gender"),
    [
        ("Female", "female"),
        ("Male", "male"),
        ("Nonbinary", "other"),
        ("Other", "other"),
        ("Unknown", "unknown"),
    ],
)
def test_sex_in_the_words_of_fhir(bare, facts, sex, gender):
    bundle = made(bare(patient=Patient.identified("1", "MR", sex=sex)), facts())

    assert resource(bundle, "Patient")["gender"] == gender


def test_a_code_alone_is_type_enough(bare, facts):
    reference = resource(
        made(bare(type=None, type_codings=(Coding(code="X"),)), facts()), "DocumentReference"
    )

    assert reference["type"] == {"coding": [{"code": "X"}]}


def test_the_destination_may_call_a_type_otherwise(bare, facts):
    reference = resource(made(bare(type="Wound"), facts()), "DocumentReference")

    assert reference["type"]["text"] == "Wound Photo"


@pytest.mark.parametrize(
    ("source", "endpoint"),
    [
        ("3F1C9A52-8F0E-4E53-9F0B-2A7B2D7D9E10", "urn:uuid:3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10"),
        ("harbor.1", "urn:redox:source:harbor.1"),
    ],
)
def test_the_endpoint_of_the_header_is_always_a_url(bare, facts, source, endpoint):
    header = resource(made(bare(), facts(source_id=source)), "MessageHeader")

    assert header["source"]["endpoint"] == endpoint


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "2026-01-01T00:00:00.000Z"),
        (
            dt.datetime(2026, 1, 1, 1, 30, tzinfo=dt.timezone(dt.timedelta(hours=5, minutes=30))),
            "2025-12-31T20:00:00.000Z",
        ),
        (
            dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=14))),
            "0001-01-01T00:00:00.000+14:00",
        ),
    ],
)
def test_times_stand_in_utc_wherever_the_calendar_allows(bare, facts, given, text):
    reference = resource(made(bare(documented_at=given), facts()), "DocumentReference")

    assert reference["date"] == text
