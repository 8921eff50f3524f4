"""The Data Model endpoint checks what the front door of Redox checks, and answers with Meta."""

from __future__ import annotations

import base64
import copy
import hashlib
import os

import pytest

from chartsend.testing import SandboxProcess


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def meta(model, event, destination):
    return {"DataModel": model, "EventType": event, "Destinations": [{"ID": destination}]}


PATIENT = {"Identifiers": [{"ID": "0000991234", "IDType": "MR"}]}


def message(model, event, destination="af394f14-b34a-464f-8d24-895f370af4c9", contents="QUJD"):
    whole = {"Meta": meta(model, event, destination), "Patient": copy.deepcopy(PATIENT)}
    if model == "Results":
        result = {"Code": "PDF", "Value": contents, "ValueType": "Encapsulated Data"}
        order = {"ID": "o-1", "Status": "Resulted", "Results": [result]}
        if event == "NewUnsolicited":
            order = {"ApplicationOrderID": "a-1"} | order
            del order["ID"]
        return whole | {"Orders": [order]}
    part = {
        "DocumentID": "4411",
        "DocumentType": "Consent",
        "Provider": {"ID": "1"},
        "FileContents": contents,
        "OriginalDocumentID": "4410",
    }
    if model == "Notes":
        return whole | {"Note": part | {"ContentType": "Base64 Encoded"}}
    more = {"FileType": "PDF", "FileName": "a.pdf", "Availability": "Available"}
    return whole | {"Media": part | more}


MESSAGES = [
    ("Notes", "New"),
    ("Notes", "Replace"),
    ("Notes", "Delete"),
    ("Media", "New"),
    ("Media", "Replace"),
    ("Media", "Delete"),
    ("Results", "New"),
    ("Results", "NewUnsolicited"),
]
REQUIRED = {
    "Notes": "Note.ContentType Note.DocumentID Note.DocumentType Note.Provider.ID",
    "Media": "Media.Availability Media.DocumentID Media.DocumentType Media.FileName "
    "Media.FileType Media.Provider.ID",
    "Results": "Orders[].Status Orders[].Results[].Code Orders[].Results[].Value "
    "Orders[].Results[].ValueType",
}
ALSO = {
    ("Notes", "Replace"): "Note.OriginalDocumentID",
    ("Media", "New"): "Media.FileContents",
    ("Media", "Replace"): "Media.FileContents Media.OriginalDocumentID",
    ("Results", "New"): "Orders[].ID",
    ("Results", "NewUnsolicited"): "Orders[].ApplicationOrderID",
}
EVERY = "Patient.Identifiers[].ID Patient.Identifiers[].IDType"
FIELDS = [
    (model, event, path)
    for model, event in MESSAGES
    for path in f"{EVERY} {REQUIRED[model]} {ALSO.get((model, event), '')}".split()
]


def remove(whole, path):
    *steps, last = [step.removesuffix("[]") for step in path.split(".")]
    for step in steps:
        whole = whole[step]
        whole = whole[0] if isinstance(whole, list) else whole
    del whole[last]


@pytest.mark.parametrize(("model", "event"), MESSAGES)
def test_every_model_and_event_is_taken(sandbox, client, model, event):
    answer = client.endpoint(message(model, event))

    assert answer.status == 200
    body = answer.json()["Meta"]
    assert (body["DataModel"], body["EventType"]) == (model, event)
    assert body["Source"] == {"ID": sandbox.info.source_id, "Name": "Harbor Forms (dev)"}
    assert body["Destinations"] == [{"ID": "af394f14-b34a-464f-8d24-895f370af4c9", "Name": "Redox EMR"}]
    assert set(body["Logs"][0]) == {"ID", "AttemptID"}
    last = sandbox.events()[-1]
    has_file = event != "Delete"
    assert last | {"at": "", "seq": 0} == {
        "seq": 0,
        "at": "",
        "kind": "message",
        "api": "data-model",
        "method": "embed" if has_file else None,
        "model": model.lower(),
        "event_type": event,
        "destination": "redox-fhir-sandbox",
        "document_id": {"New": "o-1", "NewUnsolicited": "a-1"}[event] if model == "Results" else "4411",
        "reference": None,
        "bytes": 3 if has_file else None,
        "sha256": sha256(b"ABC") if has_file else None,
        "log_id": body["Logs"][0]["ID"],
    }


@pytest.mark.parametrize(("model", "event", "path"), FIELDS)
def test_each_required_field_is_missed_by_name(client, model, event, path):
    whole = message(model, event)
    remove(whole, path)

    answer = client.endpoint(whole)

    assert answer.status == 400
    body = answer.json()["Meta"]
    assert (body["DataModel"], body["EventType"]) == (model, event)
    assert [error["Text"] for error in body["Errors"]] == [
        f"Required field missing - {path} in {model}:{event}"
    ]
    assert (body["Errors"][0]["Type"], body["Errors"][0]["Module"]) == ("message", "DataModels")
    assert isinstance(body["Errors"][0]["ID"], int)


def test_each_missing_field_has_an_error_of_its_own(client):
    whole = message("Notes", "New")
    del whole["Patient"], whole["Note"]["Provider"], whole["Note"]["DocumentID"]

    texts = [e["Text"] for e in client.endpoint(whole).json()["Meta"]["Errors"]]

    assert texts == [
        f"Required field missing - {path} in Notes:New"
        for path in ("Patient", "Note.DocumentID", "Note.Provider")
    ]


@pytest.mark.parametrize(
    "whole",
    [
        {},
        [],
        None,
        {"Meta": {}},
        {"Meta": {"DataModel": "Notes"}},
        {"Meta": {"DataModel": "Notes", "EventType": "Query"}},
        {"Meta": {"DataModel": "Device", "EventType": "New"}},
        {"Meta": {"DataModel": [], "EventType": {}}},
    ],
)
def test_what_the_sandbox_does_not_take_is_a_400_with_errors(client, whole):
    answer = client.post("/endpoint", b"null" if whole is None else whole, "application/json")

    assert answer.status == 400
    assert answer.json()["Meta"]["Errors"]


def test_bad_json_is_a_400_with_errors(client):
    answer = client.endpoint(b'{"Meta":')

    assert answer.status == 400
    assert answer.json()["Meta"]["Errors"]


@pytest.mark.parametrize("destinations", [[], ["nobody"], ["af394f14-b34a-464f-8d24-895f370af4c9", "x"]])
def test_a_destination_must_be_subscribed(client, destinations):
    whole = message("Notes", "New")
    whole["Meta"]["Destinations"] = [{"ID": d} for d in destinations]

    answer = client.endpoint(whole)

    error = answer.json()["Meta"]["Errors"][0]
    assert answer.status == 400
    assert error["Module"] == "Subscriptions"
    assert error["Text"].startswith("No subscriptions. Meta.Destinations needs to contain")


def test_each_destination_has_a_log(sandbox, client):
    ids = [d["id"] for d in sandbox.accounts()["destinations"]]

    body = client.endpoint(client.note("QUJD", destinations=ids)).json()["Meta"]

    assert [d["ID"] for d in body["Destinations"]] == ids
    assert len({log["ID"] for log in body["Logs"]}) == len(ids)
    assert sandbox.events()[-1]["log_id"] == body["Logs"][0]["ID"]


def test_an_upload_is_resolved(sandbox, client):
    content = os.urandom(2000)
    uri = client.upload(client.form(content)).json()["URI"]

    for content_type in ("Base64 Encoded", "Plain Text"):
        assert client.endpoint(client.note(uri, ContentType=content_type)).status == 200

        event = sandbox.events()[-1]
        assert (event["method"], event["reference"]) == ("upload", uri)
        assert (event["bytes"], event["sha256"]) == (2000, sha256(content))


def test_a_result_can_refer_to_an_upload_and_be_found_by_its_group(sandbox, client):
    uri = client.upload(client.form(b"report")).json()["URI"]
    whole = message("Results", "New", contents=uri)
    whole["Orders"][0]["Results"][0]["RelatedGroupID"] = "g-1"
    number = {"Code": "x", "Value": "7", "ValueType": "Numeric"}
    whole["Orders"][0]["Results"].append(number)

    assert client.endpoint(whole).status == 200

    event = sandbox.events()[-1]
    assert (event["document_id"], event["sha256"]) == ("g-1", sha256(b"report"))


def test_a_dangling_uri_is_taken_and_fails_in_the_log(sandbox, client):
    uri = sandbox.info.blob_url + "/99"

    answer = client.endpoint(client.note(uri))

    assert answer.status == 200
    event = sandbox.events()[-1]
    assert (event["reference"], event["bytes"], event["sha256"]) == (uri, None, None)
    assert b"FAILED" in sandbox.ask("GET", f"/_sandbox/log/{event['log_id']}")


@pytest.mark.parametrize("content_type", ["Plain Text", "Rich Text"])
@pytest.mark.parametrize("text", ["h\u00e9llo \U0001f600\n", "QUJD" * 20_000, "p\u00e4\n" * 50_000])
def test_text_is_logged_as_its_utf8_bytes(sandbox, client, content_type, text):
    assert client.endpoint(client.note(text, ContentType=content_type)).status == 200

    event = sandbox.events()[-1]
    assert (event["bytes"], event["sha256"]) == (len(text.encode()), sha256(text.encode()))
    assert sandbox.file(event["sha256"]) == text.encode()


@pytest.mark.parametrize("contents", ["QQ", "QQ==\n", "not base64!", 7, ["QQ=="], "QUJD" * 30_000 + "?"])
def test_contents_that_are_not_base64_are_refused(client, contents):
    answer = client.endpoint(client.note(contents))

    assert answer.status == 400
    assert "base64" in answer.json()["Meta"]["Errors"][0]["Text"]


@pytest.mark.parametrize("size", [1, 48_000, 2_000_001])
def test_an_embedded_file_is_decoded(sandbox, client, size):
    content = os.urandom(size)

    client.endpoint(client.note(base64.b64encode(content).decode()))

    event = sandbox.events()[-1]
    assert (event["bytes"], event["sha256"]) == (size, sha256(content))


def test_a_number_where_text_belongs_is_taken_as_recorded(client):
    whole = message("Media", "New")
    whole["Visit"] = {"VisitNumber": 42}

    assert client.endpoint(whole).status == 200


@pytest.fixture(scope="module")
def strict():
    with SandboxProcess.start("--preset", "strict") as process:
        yield process


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Media.Availability", "Gone"),
        ("Visit.VisitNumber", 42),
        ("Note.ContentType", "Binary"),
        ("Meta.Test", "true"),
        ("Note.FileName", True),
    ],
)
def test_strict_enforces_value_sets_and_types(strict, shared, client, path, value):
    part, _, field = path.partition(".")
    model = "Media" if part in {"Media", "Visit"} else "Notes"
    whole = message(model, "New")
    whole.setdefault(part, {})[field] = value
    assert client.endpoint(whole).status == 200

    strict_client = type(client)(strict).log_in()
    answer = strict_client.endpoint(whole)

    assert answer.status == 400
    assert answer.json()["Meta"]["Errors"][0]["Text"] == f"Invalid value - {path} in {model}:New"
    assert strict_client.endpoint(message(model, "New")).status == 200


def test_strict_refuses_a_dangling_uri(strict, shared, client):
    strict_client = type(client)(strict).log_in()

    assert strict_client.endpoint(client.note(strict.info.blob_url + "/99")).status == 400


@pytest.mark.parametrize("sandbox", [("--preset", "lenient")], indirect=True)
def test_lenient_takes_what_it_can_route(sandbox, client):
    whole = {"Meta": meta("Notes", "New", sandbox.info.destination_id)}

    assert client.endpoint(whole).status == 200
    assert client.endpoint(whole | {"Note": {"FileContents": "?"}}).status == 200
    assert sandbox.events()[-1]["sha256"] is None


@pytest.mark.parametrize("sandbox", [("--sources", "2")], indirect=True)
def test_a_key_with_several_sources_needs_one_in_meta(sandbox, client):
    whole = message("Notes", "New")
    assert client.endpoint(whole).status == 400

    whole["Meta"]["Source"] = {"ID": sandbox.info.source_id}

    assert client.endpoint(whole).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/endpoint", 403), ("POST", "/nothing", 404), ("POST", "/", 404), ("GET", "/", 404)],
)
def test_other_paths_and_verbs_are_refused(client, method, path, status):
    answer = client.request(method, path, b"", client.bearer())

    assert (answer.status, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
