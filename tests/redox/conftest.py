"""One full document and its facts, which the tests of the messages start from."""

from __future__ import annotations

import datetime as dt

import pytest

from chartsend.document import (
    Address,
    Coding,
    Document,
    Identifier,
    Location,
    Order,
    Patient,
    Provider,
    Visit,
)
from chartsend.redox.message import Facts
from chartsend.settings import Destination

SOURCE = "3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10"


@pytest.fixture
def destination():
    return Destination(
        name="memorial",
        slug="memorial-ehr",
        id="af394f14-b34a-464f-8d24-895f370af4c9",
        identifier_systems={"MR": "urn:redox:health-one:MR"},
        document_types={"Wound": "Wound Photo"},
    )


@pytest.fixture
def facts(destination):
    """Facts of a PDF of 184,213 bytes; keyword arguments replace fields."""

    def make(**fields):
        return Facts(
            **{
                "document_id": "4411",
                "name": "consent-4411.pdf",
                "content_type": "application/pdf",
                "size_bytes": 184_213,
                "at": dt.datetime(2026, 7, 2, 14, 5, 11, 250_999, tzinfo=dt.UTC),
                "destination": destination,
                "environment": "Staging",
                "source_id": SOURCE,
                "source_name": "Harbor Forms",
                "note_content_type_for_uri": "Base64 Encoded",
                **fields,
            }
        )

    return make


@pytest.fixture
def full():
    """A document with every part that Notes, Media and DocumentReference have a place for."""

    def make(**fields):
        return Document(
            **{
                "path": "/scans/consent-4411.pdf",
                "type": "Consent Form",
                "description": "Signed consent, visit of 2 July",
                "documented_at": dt.datetime(
                    2026, 7, 2, 10, 4, 55, tzinfo=dt.timezone(dt.timedelta(hours=-4))
                ),
                "service_at": dt.datetime(2026, 7, 2, 13, 30, tzinfo=dt.UTC),
                "type_codings": (
                    Coding(system="http://loinc.org", code="59284-0", display="Consent Document"),
                ),
                "patient": Patient(
                    identifiers=(
                        Identifier(id="0000991234", type="MR"),
                        Identifier(id="E-7", type="EHRID"),
                    ),
                    first_name="Marla",
                    last_name="Quillfeather",
                    birth_date=dt.date(1971, 3, 9),
                    sex="Female",
                    phone="+16085550123",
                    email="marla@example.org",
                    address=Address(
                        street="1 Pier Rd",
                        city="Monroe",
                        state="WI",
                        zip="53566",
                        county="Green",
                        country="US",
                    ),
                ),
                "provider": Provider(
                    id="9999999995", id_type="NPI", first_name="Tess", last_name="Oduya"
                ),
                "authenticator": Provider(id="A-2", id_type="STAFF", last_name="Brandt"),
                "visit": Visit(
                    number="V-20260702-17",
                    account_number="AC-9",
                    class_="Outpatient",
                    location=Location(
                        type="Inpatient",
                        facility="Harbor",
                        department="3 West",
                        room="136",
                        bed="B",
                    ),
                ),
                "order": Order(id="ORD-5", code="CONSENT", description="Consent for surgery"),
                **fields,
            }
        )

    return make


@pytest.fixture
def bare():
    """The least document that FHIR and, with a provider, the Data Models take."""

    def make(**fields):
        return Document(
            **{
                "path": "/scans/a.pdf",
                "type": "Consent Form",
                "patient": Patient.identified("0000991234", "MR"),
                "provider": Provider(id="9999999995"),
                **fields,
            }
        )

    return make
