"""FHIR bundles, each compared with one written by hand after Redox's example."""

from __future__ import annotations

import base64
import datetime as dt
import json

from chartsend.document import Order
from chartsend.encoding.envelope import HOLE, render, split_at_hole
from chartsend.redox.fhir import binary
from chartsend.redox.identity import NAMESPACE, message_id
from chartsend.redox.message import check, compose
from chartsend.redox.route import Route

URL = "https://blob.redoxengine.com/upload/7d0a5a9e-4f0e-4f1e-8b6c-0a9c5a1f2d33"
EMBEDDED = base64.b64encode(b"%PDF-1.7 the file").decode()
BASE = "https://fhir.redoxengine.com/memorial-ehr"


def ids(model):
    """What the parts of a message are called."""

    def of(part):
        return message_id("4411", part, destination="memorial-ehr", api="fhir", model=model)

    return of


def route(model, method="embed"):
    return Route("fhir", method, model, None, ())


def made(document, given, model="document-reference", filling=HOLE):
    """The checked message as the receiver reads it."""
    check(document, given, api="fhir", model=model)
    message = compose(document, given, route(model), filling)
    if filling is not HOLE:
        return json.loads(render(message))
    envelope = split_at_hole(message)
    return json.loads(envelope.prefix + EMBEDDED.encode() + envelope.suffix)


def resource(bundle, kind):
    return next(e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind)


def test_a_full_document_reference_by_upload(full, facts):
    one = ids("document-reference")
    document_id, patient_id = one("document"), one("patient")
    visit_id = one("visit")

    bundle = made(full(), facts(), filling=URL)

    assert bundle == {
        "resourceType": "Bundle",
        "id": one("bundle"),
        "type": "message",
        "timestamp": "2026-07-02T14:05:11.250Z",
        "entry": [
            {
                "fullUrl": f"{BASE}/MessageHeader/{one('header')}",
                "resource": {
                    "resourceType": "MessageHeader",
                    "id": one("header"),
                    "eventUri": "https://fhir.redoxengine.com/EventDefinition/DocumentReferenceCreate",
                    "source": {
                        "name": "Harbor Forms",
                        "endpoint": "urn:uuid:3f1c9a52-8f0e-4e53-9f0b-2a7b2d7d9e10",
                    },
                    "focus": [{"reference": f"DocumentReference/{document_id}"}],
                },
            },
            {
                "fullUrl": f"{BASE}/DocumentReference/{document_id}",
                "resource": {
                    "resourceType": "DocumentReference",
                    "id": document_id,
                    "masterIdentifier": {"value": "4411"},
                    "identifier": [{"value": "4411"}],
                    "status": "current",
                    "type": {
                        "coding": [
                            {
                                "system": "http://loinc.org",
                                "code": "59284-0",
                                "display": "Consent Document",
                            }
                        ],
                        "text": "Consent Form",
                    },
                    "subject": {"reference": f"Patient/{patient_id}"},
                    "date": "2026-07-02T14:04:55.000Z",
                    "author": [{"reference": f"Practitioner/{one('provider')}"}],
                    "authenticator": {"reference": f"Practitioner/{one('authenticator')}"},
                    "description": "Signed consent, visit of 2 July",
                    "content": [
                        {
                            "attachment": {
                                "contentType": "application/pdf",
                                "url": URL,
                                "size": 184_213,
                                "title": "consent-4411.pdf",
                                "creation": "2026-07-02T14:04:55.000Z",
                            }
                        }
                    ],
                    "context": {
                        "encounter": [{"reference": f"Encounter/{visit_id}"}],
                        "period": {"start": "2026-07-02T13:30:00.000Z"},
                        "related": [
                            {
                                "type": "ServiceRequest",
                                "identifier": {
                                    "type": {
                                        "coding": [
                                            {
                                                "system": "http://terminology.hl7.org"
                                                "/CodeSystem/v2-0203",
                                                "code": "PLAC",
                                            }
                                        ]
                                    },
                                    "value": "ORD-5",
                                },
                                "display": "Consent for surgery",
                            }
                        ],
                    },
                },
            },
            {
                "fullUrl": f"{BASE}/Patient/{patient_id}",
                "resource": {
                    "resourceType": "Patient",
                    "id": patient_id,
                    "identifier": [
                        {"system": "urn:redox:health-one:MR", "value": "0000991234"},
                        {"type": {"text": "EHRID"}, "value": "E-7"},
                    ],
                    "name": [{"family": "Quillfeather", "given": ["Marla"]}],
                    "telecom": [
                        {"system": "phone", "value": "+16085550123"},
                        {"system": "email", "value": "marla@example.org"},
                    ],
                    "gender": "female",
                    "birthDate": "1971-03-09",
                    "address": [
                        {
                            "line": ["1 Pier Rd"],
                            "city": "Monroe",
                            "district": "Green",
                            "state": "WI",
                            "postalCode": "53566",
                            "country": "US",
                        }
                    ],
                },
            },
            {
                "fullUrl": f"{BASE}/Practitioner/{one('provider')}",
                "resource": {
                    "resourceType": "Practitioner",
                    "id": one("provider"),
                    "identifier": [{"system": "http://hl7.org/fhir/sid/us-npi", "value": "9999999995"}],
                    "name": [{"family": "Oduya", "given": ["Tess"]}],
                },
            },
            {
                "fullUrl": f"{BASE}/Practitioner/{one('authenticator')}",
                "resource": {
                    "resourceType": "Practitioner",
                    "id": one("authenticator"),
                    "identifier": [{"type": {"text": "STAFF"}, "value": "A-2"}],
                    "name": [{"family": "Brandt"}],
                },
            },
            {
                "fullUrl": f"{BASE}/Encounter/{visit_id}",
                "resource": {
                    "resourceType": "Encounter",
                    "id": visit_id,
                    "identifier": [{"value": "V-20260702-17"}],
                    "status": "unknown",
                    "class": {
                        "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
                        "code": "AMB",
                    },
                    "subject": {"reference": f"Patient/{patient_id}"},
                    "account": [{"identifier": {"value": "AC-9"}}],
                    "location": [
                        {
                            "location": {"display": "Harbor, 3 West, 136, B"},
                            "physicalType": {"text": "Inpatient"},
                        }
                    ],
                },
            },
        ],
    }


def test_the_least_document_reference_embedded(bare, facts):
    one = ids("document-reference")
    given = facts(source_id=None, source_name=None)

    bundle = made(bare(provider=None), given)

    assert [entry["resource"] for entry in bundle["entry"]] == [
        {
            "resourceType": "MessageHeader",
            "id": one("header"),
            "eventUri": "https://fhir.redoxengine.com/EventDefinition/DocumentReferenceCreate",
            "source": {"endpoint": f"urn:uuid:{NAMESPACE}"},
            "focus": [{"reference": f"DocumentReference/{one('document')}"}],
        },
        {
            "resourceType": "DocumentReference",
            "id": one("document"),
            "masterIdentifier": {"value": "4411"},
            "identifier": [{"value": "4411"}],
            "status": "current",
            "type": {"text": "Consent Form"},
            "subject": {"reference": f"Patient/{one('patient')}"},
            "date": "2026-07-02T14:05:11.250Z",
            "content": [
                {
                    "attachment": {
                        "contentType": "application/pdf",
                        "data": EMBEDDED,
                        "size": 184_213,
                        "title": "consent-4411.pdf",
                    }
                }
            ],
        },
        {
            "resourceType": "Patient",
            "id": one("patient"),
            "identifier": [{"system": "urn:redox:health-one:MR", "value": "0000991234"}],
        },
    ]


def test_a_diagnostic_report(full, facts):
    one = ids("diagnostic-report")
    order = Order(
        id="ORD-5", application_id="LAB-77120", code="24323-8", codeset="LOINC",
        description="Metabolic panel",
    )  # fmt: skip

    bundle = made(
        full(order=order, description=None, status="Corrected"), facts(), "diagnostic-report", URL
    )

    v2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
    assert resource(bundle, "MessageHeader")["eventUri"].endswith("/DiagnosticReportCreate")
    assert resource(bundle, "DiagnosticReport") == {
        "resourceType": "DiagnosticReport",
        "id": one("document"),
        "identifier": [
            {"value": "4411"},
            {"type": {"coding": [{"system": v2, "code": "FILL"}]}, "value": "LAB-77120"},
        ],
        "basedOn": [
            {
                "type": "ServiceRequest",
                "identifier": {
                    "type": {"coding": [{"system": v2, "code": "PLAC"}]},
                    "value": "ORD-5",
                },
                "display": "Metabolic panel",
            }
        ],
        "status": "corrected",
        "code": {
            "coding": [
                {"system": "http://loinc.org", "code": "24323-8", "display": "Metabolic panel"},
                {"system": "http://loinc.org", "code": "59284-0", "display": "Consent Document"},
            ],
            "text": "Consent Form",
        },
        "subject": {"reference": f"Patient/{one('patient')}"},
        "encounter": {"reference": f"Encounter/{one('visit')}"},
        "effectiveDateTime": "2026-07-02T13:30:00.000Z",
        "issued": "2026-07-02T14:04:55.000Z",
        "performer": [{"reference": f"Practitioner/{one('provider')}"}],
        "resultsInterpreter": [{"reference": f"Practitioner/{one('authenticator')}"}],
        "presentedForm": [
            {
                "contentType": "application/pdf",
                "url": URL,
                "size": 184_213,
                "title": "consent-4411.pdf",
                "creation": "2026-07-02T14:04:55.000Z",
            }
        ],
    }


def test_the_least_diagnostic_report_is_final_and_coded_in_words(bare, facts):
    report = resource(made(bare(), facts(), "diagnostic-report"), "DiagnosticReport")

    assert report["status"] == "final"
    assert report["code"] == {"text": "Consent Form"}
    assert report["presentedForm"][0]["data"] == EMBEDDED


def test_an_orders_description_names_a_report_without_a_type(bare, facts):
    document = bare(type=None, order=Order(id="O", description="Metabolic panel"))

    report = resource(made(document, facts(), "diagnostic-report"), "DiagnosticReport")

    assert report["code"] == {"text": "Metabolic panel"}
    assert report["basedOn"][0]["display"] == "Metabolic panel"


def test_a_document_is_related_to_its_order_by_both_numbers(bare, facts):
    order = Order(id="ORD-5", application_id="LAB-77120", code="C")

    reference = resource(made(bare(order=order), facts()), "DocumentReference")

    related = reference["context"]["related"]
    assert [one["identifier"]["value"] for one in related] == ["ORD-5", "LAB-77120"]
    assert [one["identifier"]["type"]["coding"][0]["code"] for one in related] == ["PLAC", "FILL"]
    assert [one["display"] for one in related] == ["C", "C"]


def test_a_replacement_refers_to_the_identity_of_the_old_one(bare, facts):
    reference = resource(made(bare(replaces="4410"), facts()), "DocumentReference")

    assert reference["relatesTo"] == [
        {
            "code": "replaces",
            "target": {"type": "DocumentReference", "identifier": {"value": "4410"}},
        }
    ]
    assert reference["status"] == "current"


def test_every_reference_in_a_bundle_leads_to_an_entry(full, facts):
    def references(value):
        if isinstance(value, dict):
            if "reference" in value:
                yield value["reference"]
            for inner in value.values():
                yield from references(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from references(inner)

    for model in ("document-reference", "diagnostic-report"):
        bundle = made(full(description=None), facts(), model)
        names = {f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"]}

        assert set(references(bundle)) <= names
        assert {e["fullUrl"] for e in bundle["entry"]} == {f"{BASE}/{name}" for name in names}


def test_the_hole_in_a_bundle_is_in_the_attachment(full, facts):
    for model in ("document-reference", "diagnostic-report"):
        envelope = split_at_hole(compose(full(), facts(), route(model), HOLE))

        assert envelope.prefix.endswith(b'"contentType":"application/pdf","data":"')
        assert envelope.suffix.startswith(b'","size":184213,')


def test_a_binary_in_json():
    envelope = split_at_hole(binary('text/plain; a="b"', HOLE))

    assert json.loads(envelope.prefix + b"AAAA" + envelope.suffix) == {
        "resourceType": "Binary",
        "contentType": 'text/plain; a="b"',
        "data": "AAAA",
    }


def test_the_ids_of_a_message_do_not_depend_on_its_time(bare, facts):
    now = facts()
    later = facts(at=now.at + dt.timedelta(hours=1))

    first, second = made(bare(), now), made(bare(), later)

    assert [e["fullUrl"] for e in first["entry"]] == [e["fullUrl"] for e in second["entry"]]
    assert first["id"] == second["id"]
    assert first["timestamp"] != second["timestamp"]
