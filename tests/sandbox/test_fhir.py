"""FHIR operations take what Redox documents, refuse the rest with an OperationOutcome, and log it."""

from __future__ import annotations

import base64
import copy
import hashlib
import os
from urllib.parse import urlencode

import pytest

from chartsend.testing import SandboxProcess

FORM = "application/x-www-form-urlencoded"
EVENTS = "https://fhir.redoxengine.com/EventDefinition/"


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def test_an_uploaded_file_is_referenced(sandbox, client):
    content = os.urandom(1000)
    location = client.binary(content).headers["Location"]

    answer = client.create(client.bundle(url=location))

    assert answer.status == 200
    entry = answer.json()["entry"][0]["response"]
    assert entry["status"] == "201 Created"
    assert entry["location"].startswith("https://fhir.redoxengine.com/fhir-sandbox/DocumentReference/")
    event = sandbox.events()[-1]
    assert event.pop("log_id")
    assert event | {"at": "", "seq": 0} == {
        "seq": 0,
        "at": "",
        "kind": "message",
        "api": "fhir",
        "method": "upload",
        "model": "document-reference",
        "event_type": "DocumentReferenceCreate",
        "destination": "redox-fhir-sandbox",
        "document_id": "4411",
        "reference": location,
        "bytes": 1000,
        "sha256": sha256(content),
    }


@pytest.mark.parametrize("size", [1, 2, 3, 49_151, 49_152, 49_153, 3_000_001])
def test_an_embedded_file_is_logged_as_its_receiver_gets_it(sandbox, client, size):
    content = os.urandom(size)

    answer = client.create(client.bundle(data=base64.b64encode(content).decode()))

    assert answer.status == 200
    event = sandbox.events()[-1]
    assert (event["method"], event["reference"]) == ("embed", None)
    assert (event["bytes"], event["sha256"]) == (size, sha256(content))
    assert sandbox.file(sha256(content)) == content


def test_the_encoded_dollar_means_the_same(client):
    path = "/fhir/R4/memorial-ehr/Development/DocumentReference/%24documentreference-create"

    answer = client.post(path, client.bundle(data="QQ=="), "application/fhir+json")

    assert answer.status == 200
    assert answer.json()["type"] == "message"
    assert "entry" not in answer.json()


def test_a_diagnostic_report_carries_a_presented_form(sandbox, client):
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r",
        "identifier": [{"value": "LAB-77"}],
        "status": "final",
        "presentedForm": [{"contentType": "application/pdf", "data": "QUJD"}],
    }
    path = "/fhir/R4/memorial-ehr/Development/DiagnosticReport/$diagnosticreport-create"
    bundle = client.bundle_of(report, EVENTS + "DiagnosticReportCreate")

    assert client.post(path, bundle, "application/json").status == 200

    event = sandbox.events()[-1]
    assert (event["model"], event["document_id"]) == ("diagnostic-report", "LAB-77")
    assert (event["bytes"], event["sha256"]) == (3, sha256(b"ABC"))


def test_an_observation_has_no_file(sandbox, client):
    observation = {"resourceType": "Observation", "status": "final"}
    path = "/fhir/R4/memorial-ehr/Development/Observation/$observation-create"
    bundle = client.bundle_of(observation, EVENTS + "ObservationCreate")

    assert client.post(path, bundle, "application/fhir+json").status == 200

    event = sandbox.events()[-1]
    assert (event["model"], event["bytes"], event["method"]) == ("observation", None, None)


def set_at(path, value):
    def change(bundle):
        *steps, last = path
        for step in steps:
            bundle = bundle[step]
        if value is None:
            del bundle[last]
        else:
            bundle[last] = value

    return change


HEADER = ("entry", 0, "resource")
DOCUMENT = ("entry", 1, "resource")
ATTACHMENT = (*DOCUMENT, "content", 0, "attachment")


DEFECTS = [
    (set_at(["resourceType"], "Patient"), "Bundle.resourceType"),
    (set_at(["type"], "transaction"), "Bundle.type"),
    (set_at(["entry"], []), "DocumentReference"),
    (set_at(["entry"], {}), "DocumentReference"),
    (set_at([*HEADER, "resourceType"], "Basic"), "entry[0].resource.resourceType"),
    (set_at([*HEADER, "eventUri"], None), "eventUri"),
    (set_at([*HEADER, "eventUri"], EVENTS + "ObservationCreate"), "eventUri"),
    (set_at([*DOCUMENT, "resourceType"], "Patient"), "DocumentReference"),
    (set_at([*DOCUMENT, "status"], None), "status"),
    (set_at([*DOCUMENT, "status"], "final"), "status"),
    (set_at([*DOCUMENT, "content"], []), "content[0].attachment"),
    (set_at([*ATTACHMENT, "contentType"], None), "attachment.contentType"),
    (set_at([*ATTACHMENT, "contentType"], "pdf"), "attachment.contentType"),
    (set_at([*ATTACHMENT, "data"], None), "attachment"),
    (set_at([*ATTACHMENT, "data"], ""), "attachment.data"),
    (set_at([*ATTACHMENT, "data"], 7), "attachment.data"),
    (set_at([*ATTACHMENT, "data"], "QQ"), "attachment.data"),
    (set_at([*ATTACHMENT, "data"], "QQ==\n"), "attachment.data"),
    (set_at([*ATTACHMENT, "data"], "QQ==" * 40_000), "attachment.data"),
    (set_at([*ATTACHMENT, "url"], "https://blob.redoxengine.com/1"), "attachment"),
]


@pytest.mark.parametrize(
    ("change", "place"), DEFECTS, ids=[f"{place}-{n}" for n, (_, place) in enumerate(DEFECTS)]
)
def test_each_defect_is_refused_with_its_place(client, change, place):
    bundle = copy.deepcopy(client.bundle(data="QQ=="))
    change(bundle)

    answer = client.create(bundle)

    assert answer.status == 400
    assert answer.headers["Content-Type"] == "application/fhir+json; charset=utf-8"
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["severity"] == "error"
    assert place in outcome["issue"][0]["diagnostics"]


def test_two_documents_in_one_message_are_refused(client):
    bundle = client.bundle(data="QQ==")
    bundle["entry"].append(bundle["entry"][1])

    assert client.create(bundle).status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"7", b"{}", b"\xff\xfe"])
def test_garbage_is_refused(client, body):
    assert client.create(body).status == 400


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_refused(client, content_type):
    path = "/fhir/R4/memorial-ehr/Development/DocumentReference/$documentreference-create"

    assert client.post(path, client.bundle(data="QQ=="), content_type).status == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "nowhere/Development/DocumentReference/$documentreference-create", 404),
        ("POST", "memorial-ehr/development/DocumentReference/$documentreference-create", 404),
        ("POST", "memorial-ehr/Test/DocumentReference/$documentreference-create", 404),
        ("POST", "memorial-ehr/Development/DocumentReference/$write", 404),
        ("POST", "memorial-ehr/Development/DocumentReference", 404),
        ("POST", "memorial-ehr/Development/Binary", 404),
        ("POST", "redox/Development/DocumentReference/$documentreference-create", 404),
        ("POST", "memorial-ehr", 404),
        ("POST", "..%2f..%2fetc/Development/DocumentReference/$documentreference-create", 404),
        ("GET", "memorial-ehr/Development/DocumentReference/$documentreference-create", 403),
        ("PUT", "redox/Development/Binary", 403),
    ],
)
def test_unknown_places_and_verbs_are_refused(client, method, path, status):
    answer = client.request(
        method, f"/fhir/R4/{path}", b"{}", client.bearer(Content_Type="application/fhir+json")
    )

    assert answer.status == status
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_only_the_source_that_uploaded_may_refer_to_a_file(sandbox, client):
    location = client.binary(b"mine").headers["Location"]
    other = sandbox.accounts()["clients"][1]
    client.profile["auth"] |= {"client_id": other["client_id"], "key_id": other["key_id"]}
    signed = client.assertion(key=other["private_key"])
    client.token = client.ask_token(client_assertion=signed).json()["access_token"]

    refused = client.create(client.bundle(url=location))

    assert (refused.status, refused.json()["issue"][0]["code"]) == (400, "not-found")


@pytest.mark.parametrize(
    "change",
    ["/upload/nothing", "?x=1", "#x", "/../upload/1", "", "http://127.0.0.1:1/upload/1", "http://["],
)
def test_a_url_that_was_never_given_out_is_refused(client, change):
    location = client.binary(b"mine").headers["Location"]
    url = change if change.startswith("http") or not change else location + change

    assert client.create(client.bundle(url=url)).status == 400


def test_a_refused_message_leaves_no_event(sandbox, client):
    before = sandbox.events()

    client.create(client.bundle(data="QQ=="), slug="nowhere")
    client.create(client.bundle(data="QQ"))
    client.create(b"{")

    assert sandbox.events() == before
    assert sandbox.requests()["statuses"]["message"] == {"400": 2, "404": 1}


def search(client, slug="redox-fhir-sandbox", **form):
    path = f"/fhir/R4/{slug}/Development/DocumentReference/_search"
    return client.post(path, urlencode(form), FORM)


def test_a_committed_document_is_found_again(sandbox, client):
    client.create(client.bundle("d-1", data="QUJD"))
    client.create(client.bundle("d-2", data="QUJE"))
    client.create(client.bundle("d-1", data="QUJD"), slug="memorial-ehr")

    found = search(client, identifier="urn:example:documents|d-1").json()

    assert (found["type"], found["total"]) == ("searchset", 1)
    resource = found["entry"][0]["resource"]
    assert resource["masterIdentifier"]["value"] == "d-1"
    assert resource["content"][0]["attachment"] == {"contentType": "application/pdf", "size": 3}
    assert search(client, _id=resource["id"]).json()["total"] == 1
    assert search(client, identifier="d-2").json()["total"] == 1
    assert search(client, patient="Patient/pat-1").json()["total"] == 2
    assert search(client, patient="pat-1", identifier="d-1").json()["total"] == 1
    assert search(client, identifier="d-3").json() == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 0,
    }
    assert sandbox.requests()["seen"]["search"] == 6


@pytest.mark.parametrize("form", [{}, {"date": "2026"}])
def test_a_search_for_nothing_is_refused(client, form):
    assert search(client, **form).status == 400


STRICT = [
    (set_at([*HEADER, "source"], None), "source.endpoint"),
    (set_at([*HEADER, "focus"], None), "focus"),
    (set_at([*DOCUMENT, "subject"], None), "subject.reference"),
    (set_at([*ATTACHMENT, "size"], 2), "attachment.size"),
    (set_at([*ATTACHMENT, "hash"], "x"), "attachment.hash"),
]


@pytest.fixture(scope="module")
def strict():
    with SandboxProcess.start("--preset", "strict") as process:
        yield process


@pytest.mark.parametrize(("change", "place"), STRICT, ids=[place for _, place in STRICT])
def test_strict_asks_for_more(strict, shared, client, change, place):
    bundle = copy.deepcopy(client.bundle(data="QQ=="))
    change(bundle)
    assert client.create(bundle).status == 200

    strict_client = type(client)(strict).log_in()
    answer = strict_client.create(bundle)

    assert answer.status == 400
    assert place in answer.json()["issue"][0]["diagnostics"]
    good = client.bundle(data="QQ==", size=1, hash="bc1M4j2I4u6VaLpUbAB8Y9kTHBs=")
    assert strict_client.create(good).status == 200


@pytest.mark.parametrize("sandbox", [("--preset", "lenient")], indirect=True)
def test_lenient_asks_only_for_the_document(sandbox, client):
    bundle = {"entry": [{"resource": {"resourceType": "DocumentReference"}}]}

    assert client.create(bundle).status == 200
    assert client.create({"entry": []}).status == 400
