"""Data Model messages, each compared with one written by hand after Redox's examples."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest

from chartsend.document import Order
from chartsend.encoding.envelope import HOLE, render, split_at_hole
from chartsend.errors import ConfigError
from chartsend.redox.message import check, compose, compose_delete
from chartsend.redox.route import Route

URL = "https://blob.redoxengine.com/14652614"
FILE = b"%PDF-1.7 the file"
EMBEDDED = base64.b64encode(FILE).decode()

META = {
    "EventDateTime": "2026-07-02T14:05:11.250Z",
    "Test": True,
    "Source": {"ID": "3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10", "Name": "Harbor Forms"},
    "Destinations": [{"ID": "af394f14-b34a-464f-8d24-895f370af4c9"}],
}
PATIENT = {
    "Identifiers": [{"ID": "0000991234", "IDType": "MR"}, {"ID": "E-7", "IDType": "EHRID"}],
    "Demographics": {
        "FirstName": "Marla",
        "LastName": "Quillfeather",
        "DOB": "1971-03-09",
        "Sex": "Female",
        "PhoneNumber": {"Home": "+16085550123"},
        "EmailAddresses": ["marla@example.org"],
        "Address": {
            "StreetAddress": "1 Pier Rd",
            "City": "Monroe",
            "State": "WI",
            "ZIP": "53566",
            "County": "Green",
            "Country": "US",
        },
    },
}
PROVIDER = {"ID": "9999999995", "IDType": "NPI", "FirstName": "Tess", "LastName": "Oduya"}
SIGNER = {"ID": "A-2", "IDType": "STAFF", "LastName": "Brandt"}
VISIT = {
    "VisitNumber": "V-20260702-17",
    "AccountNumber": "AC-9",
    "PatientClass": "Outpatient",
    "Location": {
        "Type": "Inpatient",
        "Facility": "Harbor",
        "Department": "3 West",
        "Room": "136",
        "Bed": "B",
    },
}
LINKED = [{"ID": "ORD-5", "Name": "Consent for surgery"}]


def meta(model, event, **changes):
    return {"DataModel": model, "EventType": event, **META, **changes}


def route(model, method="embed", text=None):
    return Route("data-model", method, model, text, ())


def sent(message):
    """What the receiver reads: the message with the file's base64 where the hole was."""
    envelope = split_at_hole(message)
    return json.loads(envelope.prefix + EMBEDDED.encode() + envelope.suffix)


def referred(message):
    return json.loads(render(message))


def checked(document, facts, model, **options):
    check(document, facts, api="data-model", model=model, **options)
    return document


def test_notes_new_embedded(full, facts):
    document = checked(full(status="Authenticated"), facts(), "notes")

    assert sent(compose(document, facts(), route("notes"), HOLE)) == {
        "Meta": meta("Notes", "New"),
        "Patient": PATIENT,
        "Visit": VISIT,
        "Orders": LINKED,
        "Note": {
            "ContentType": "Base64 Encoded",
            "FileName": "consent-4411.pdf",
            "FileType": "PDF",
            "FileContents": EMBEDDED,
            "DocumentType": "Consent Form",
            "DocumentID": "4411",
            "DocumentDescription": "Signed consent, visit of 2 July",
            "Status": "Authenticated",
            "Availability": "Available",
            "DocumentationDateTime": "2026-07-02T14:04:55.000Z",
            "ServiceDateTime": "2026-07-02T13:30:00.000Z",
            "Provider": PROVIDER,
            "Authenticator": SIGNER,
        },
    }


def test_the_least_notes_new(bare, facts):
    given = facts(source_id=None, source_name=None, environment="Production")
    document = checked(bare(), given, "notes")

    assert referred(compose(document, given, route("notes", "upload"), URL)) == {
        "Meta": {
            "DataModel": "Notes",
            "EventType": "New",
            "EventDateTime": "2026-07-02T14:05:11.250Z",
            "Test": False,
            "Destinations": [{"ID": "af394f14-b34a-464f-8d24-895f370af4c9"}],
        },
        "Patient": {"Identifiers": [{"ID": "0000991234", "IDType": "MR"}]},
        "Note": {
            "ContentType": "Base64 Encoded",
            "FileName": "consent-4411.pdf",
            "FileType": "PDF",
            "FileContents": URL,
            "DocumentType": "Consent Form",
            "DocumentID": "4411",
            "Availability": "Available",
            "Provider": {"ID": "9999999995"},
        },
    }


def test_the_content_type_of_an_uploaded_note_is_a_setting_that_embedding_ignores(bare, facts):
    given = facts(note_content_type_for_uri="Plain Text")

    uploaded = compose(bare(), given, route("notes", "upload"), URL)
    embedded = compose(bare(), given, route("notes"), HOLE)

    assert referred(uploaded)["Note"]["ContentType"] == "Plain Text"
    assert sent(embedded)["Note"]["ContentType"] == "Base64 Encoded"


@pytest.mark.parametrize("text", ["Plain Text", "Rich Text"])
def test_notes_as_text_say_so(bare, facts, text):
    message = compose(bare(), facts(), route("notes", text=text), HOLE)

    assert sent(message)["Note"]["ContentType"] == text


def test_notes_replace_names_the_document_replaced(bare, facts):
    document = checked(bare(replaces="4410"), facts(), "notes")

    message = referred(compose(document, facts(), route("notes", "upload"), URL))

    assert message["Meta"]["EventType"] == "Replace"
    assert message["Note"]["OriginalDocumentID"] == "4410"
    assert message["Note"]["DocumentID"] == "4411"
    assert message["Note"]["FileContents"] == URL


def test_notes_delete_has_no_file(full, facts):
    document = checked(full(), facts(), "notes", deleting=True)

    assert referred(compose_delete(document, facts(), "notes")) == {
        "Meta": meta("Notes", "Delete"),
        "Patient": PATIENT,
        "Visit": VISIT,
        "Orders": LINKED,
        "Note": {
            "ContentType": "Base64 Encoded",
            "DocumentType": "Consent Form",
            "DocumentID": "4411",
            "DocumentDescription": "Signed consent, visit of 2 July",
            "Availability": "Available",
            "DocumentationDateTime": "2026-07-02T14:04:55.000Z",
            "ServiceDateTime": "2026-07-02T13:30:00.000Z",
            "Provider": PROVIDER,
            "Authenticator": SIGNER,
        },
    }


def test_media_new_embedded(full, facts):
    given = facts(name="wound.jpeg", content_type="image/jpeg")
    document = checked(full(type="Wound", status="False", availability="Unavailable"), given, "media")

    assert sent(compose(document, given, route("media"), HOLE)) == {
        "Meta": meta("Media", "New"),
        "Patient": PATIENT,
        "Visit": VISIT,
        "Orders": LINKED,
        "Media": {
            "FileType": "JPEG",
            "FileName": "wound.jpeg",
            "FileContents": EMBEDDED,
            "DocumentType": "Wound Photo",
            "DocumentID": "4411",
            "DocumentDescription": "Signed consent, visit of 2 July",
            "Authenticated": "False",
            "Availability": "Unavailable",
            "CreationDateTime": "2026-07-02T14:04:55.000Z",
            "ServiceDateTime": "2026-07-02T13:30:00.000Z",
            "Provider": PROVIDER,
            "Authenticator": SIGNER,
        },
    }


def test_the_least_media_new_by_reference(bare, facts):
    document = checked(bare(), facts(), "media")

    message = referred(compose(document, facts(), route("media", "upload"), URL))

    assert message["Media"] == {
        "FileType": "PDF",
        "FileName": "consent-4411.pdf",
        "FileContents": URL,
        "DocumentType": "Consent Form",
        "DocumentID": "4411",
        "Availability": "Available",
        "Provider": {"ID": "9999999995"},
    }


def test_media_replace_and_delete(bare, facts):
    replacing = checked(bare(replaces="4410"), facts(), "media")
    deleting = checked(bare(), facts(), "media", deleting=True)

    replace = referred(compose(replacing, facts(), route("media", "upload"), URL))
    delete = referred(compose_delete(deleting, facts(), "media"))

    assert replace["Meta"]["EventType"] == "Replace"
    assert replace["Media"]["OriginalDocumentID"] == "4410"
    assert delete == {
        "Meta": meta("Media", "Delete"),
        "Patient": {"Identifiers": [{"ID": "0000991234", "IDType": "MR"}]},
        "Media": {
            "FileType": "PDF",
            "FileName": "consent-4411.pdf",
            "DocumentType": "Consent Form",
            "DocumentID": "4411",
            "Availability": "Available",
            "Provider": {"ID": "9999999995"},
        },
    }


@pytest.mark.parametrize(
    ("given", "sent_as"),
    [
        ("True", "True"),
        ("false", "False"),
        ("Authenticated", "True"),
        ("In progress", "False"),
        ("in PROGRESS", "False"),
    ],
)
def test_media_takes_its_own_spelling_and_that_of_notes(full, facts, given, sent_as):
    document = checked(full(status=given), facts(), "media")

    message = sent(compose(document, facts(), route("media"), HOLE))

    assert message["Media"]["Authenticated"] == sent_as


def test_results_new_answers_an_order(full, facts):
    order = Order(
        id="ORD-5", application_id="LAB-77120", code="PDF_REPORT", codeset="L",
        description="Lab report", status="update",
    )  # fmt: skip
    document = checked(full(order=order, status="Preliminary"), facts(), "results")

    assert sent(compose(document, facts(), route("results"), HOLE)) == {
        "Meta": meta("Results", "New"),
        "Patient": PATIENT,
        "Visit": VISIT,
        "Orders": [
            {
                "ID": "ORD-5",
                "ApplicationOrderID": "LAB-77120",
                "Status": "Update",
                "ResultsStatus": "Preliminary",
                "CollectionDateTime": "2026-07-02T13:30:00.000Z",
                "CompletionDateTime": "2026-07-02T14:04:55.000Z",
                "Procedure": {
                    "Code": "59284-0",
                    "Codeset": "LOINC",
                    "Description": "Consent Document",
                },
                "Provider": PROVIDER,
                "Results": [
                    {
                        "Code": "PDF_REPORT",
                        "Codeset": "L",
                        "Description": "Lab report",
                        "Value": EMBEDDED,
                        "ValueType": "Encapsulated Data",
                        "FileType": "PDF",
                        "Status": "Preliminary",
                        "RelatedGroupID": "4411",
                        "CompletionDateTime": "2026-07-02T14:04:55.000Z",
                        "Notes": ["Signed consent, visit of 2 July"],
                        "PrimaryResultsInterpreter": SIGNER,
                    }
                ],
            }
        ],
    }


def test_the_least_results_new_unsolicited_by_reference(bare, facts):
    document = checked(
        bare(provider=None, order=Order(application_id="LAB-77120", code="PDF_REPORT")),
        facts(),
        "results",
    )

    message = referred(compose(document, facts(), route("results", "upload"), URL))

    assert message["Meta"]["EventType"] == "NewUnsolicited"
    assert message["Orders"] == [
        {
            "ApplicationOrderID": "LAB-77120",
            "Status": "Resulted",
            "ResultsStatus": "Final",
            "Procedure": {"Description": "Consent Form"},
            "Results": [
                {
                    "Code": "PDF_REPORT",
                    "Description": "Consent Form",
                    "Value": URL,
                    "ValueType": "Encapsulated Data",
                    "FileType": "PDF",
                    "Status": "Final",
                    "RelatedGroupID": "4411",
                }
            ],
        }
    ]


def test_a_result_without_a_code_of_its_own_takes_the_first_coding(full, facts):
    document = checked(full(order=Order(id="ORD-5")), facts(), "results")

    result = sent(compose(document, facts(), route("results"), HOLE))["Orders"][0]["Results"][0]

    assert (result["Code"], result["Codeset"]) == ("59284-0", "LOINC")


@pytest.mark.parametrize(
    ("status", "of_order"),
    [("Final", "Final"), ("Incomplete", "In Process"), ("Corrected", "Corrected"), ("Deleted", None)],
)
def test_the_order_says_what_its_result_says_where_it_can(full, facts, status, of_order):
    document = checked(full(status=status), facts(), "results")

    order = sent(compose(document, facts(), route("results"), HOLE))["Orders"][0]

    assert order["Results"][0]["Status"] == status
    assert order.get("ResultsStatus") == of_order


def test_a_document_without_a_type_is_called_what_its_coding_says(full, facts):
    message = sent(compose(full(type=None), facts(), route("notes"), HOLE))

    assert message["Note"]["DocumentType"] == "Consent Document"


@pytest.mark.parametrize("environment", ["Development", "Staging", "Production"])
def test_everything_but_production_is_a_test(bare, facts, environment):
    message = compose(bare(), facts(environment=environment), route("notes"), HOLE)

    assert sent(message)["Meta"]["Test"] is (environment != "Production")


@pytest.mark.parametrize("model", ["results", "document-reference", "diagnostic-report"])
def test_only_notes_and_media_have_a_delete(bare, facts, model):
    with pytest.raises(ConfigError, match="notes or media"):
        compose_delete(bare(), facts(), model)


@pytest.mark.parametrize("model", ["notes", "media", "results"])
def test_the_same_facts_make_the_same_bytes_and_another_time_others(full, facts, model):
    given = facts()
    later = msgspec.structs.replace(given, at=given.at.replace(minute=6))

    first = split_at_hole(compose(full(), given, route(model), HOLE))

    assert split_at_hole(compose(full(), facts(), route(model), HOLE)) == first
    assert split_at_hole(compose(full(), later, route(model), HOLE)) != first
